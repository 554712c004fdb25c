// Fetches https://HOST:PORT/ with the runtime's own fetch, which knows no proxy: every name is an address of this
// machine, where the port leads to the middlebox. NODE_EXTRA_CA_CERTS says what is trusted.
//
// Usage: visit_fetch.mjs PORT HOST
// Exit codes: 0 an answer came, 3 the certificate was refused, 1 anything else.

import dns from 'node:dns';
import process from 'node:process';

dns.lookup = (_, options, done) => {
  const found = { address: '127.0.0.1', family: 4 };
  if (options.all) done(null, [found]);
  else done(null, found.address, found.family);
};

const [port, host] = process.argv.slice(2);
try {
  const answer = await fetch(`https://${host}:${port}/`, { headers: { connection: 'close' } });
  await answer.text();
  console.log(answer.status);
} catch (why) {
  const code = why.cause?.code ?? '';
  console.error(String(why), code);
  process.exit(/CERT|SIGNATURE|ISSUER/.test(code) ? 3 : 1);
}
