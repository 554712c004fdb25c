// Fetches https://HOST/ through a proxy, over a CONNECT of its own. NODE_EXTRA_CA_CERTS says what is trusted.
//
// Usage: visit.mjs PROXY HOST TLS PIN
// TLS is 1.2, 1.3 or any; PIN is the base64 of the only public key accepted, checked in checkServerIdentity, or -.
// Exit codes: 0 an answer came, 3 the certificate was refused, 1 anything else.

import crypto from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import process from 'node:process';
import tls from 'node:tls';

const [proxy, host, version, pin] = process.argv.slice(2);
const [proxyHost, proxyPort] = proxy.split(':');

const options = { host, servername: net.isIP(host) ? '' : host, ALPNProtocols: ['http/1.1'] };
if (version !== 'any') {
  options.minVersion = options.maxVersion = `TLSv${version}`;
}
options.checkServerIdentity = (name, certificate) => {
  const wrong = tls.checkServerIdentity(host, certificate);
  if (wrong || pin === '-') return wrong;
  const key = new crypto.X509Certificate(certificate.raw).publicKey.export({ type: 'spki', format: 'der' });
  const shown = crypto.createHash('sha256').update(key).digest('base64');
  return shown === pin ? undefined : new Error('the public key is not the pinned one');
};

function leave(code) {
  return (why) => {
    console.error(String(why));
    process.exit(code);
  };
}

const connect = http.request({
  host: proxyHost,
  port: proxyPort,
  method: 'CONNECT',
  path: `${host}:443`,
  headers: { 'User-Agent': 'visit.mjs' },
});
connect.on('error', leave(1));
connect.on('connect', (answer, socket) => {
  if (answer.statusCode !== 200) return leave(1)(`the proxy answers ${answer.statusCode}`);
  // What goes wrong before the certificate is accepted is a refusal of it.
  let code = 3;
  const request = https.request({ ...options, socket, path: '/', agent: false }, (response) => {
    console.log(response.statusCode);
    response.resume();
  });
  request.on('socket', (secure) => secure.on('secureConnect', () => (code = 1)));
  request.on('error', (why) => leave(code)(why));
  request.end();
});
connect.end();
