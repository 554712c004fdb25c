// Answers with pac-resolver what tests/pac_resolver.rs asks. Standard input is one JSON object: `now` (milliseconds
// since 1970), `names` (host to IPv4 address), `scripts` (each with its `text` and `hosts`). Standard output is one list
// per script with what FindProxyForURL returned for each host, or null where it threw.
const dns = require('dns');
const fs = require('fs');
const net = require('net');

const { now, names, scripts } = JSON.parse(fs.readFileSync(0, 'utf8'));

const EngineDate = Date;
globalThis.Date = class extends EngineDate {
  constructor(...values) {
    super(...(values.length === 0 ? [now] : values));
  }
};

// No name is asked of the network.
dns.lookup = (host, options, callback) => {
  const address = net.isIPv4(host) ? host : names[host];
  setImmediate(() => (address ? callback(null, address, 4) : callback(new Error(`${host} has no address`))));
};

const { createPacResolver } = require('pac-resolver');
const { getQuickJS } = require('@tootallnate/quickjs-emscripten');

(async () => {
  const engine = await getQuickJS();
  const answers = [];
  for (const { text, hosts } of scripts) {
    const find = createPacResolver(engine, text);
    const found = [];
    for (const host of hosts) {
      found.push(await find('https://unused.example/', host).then(String, () => null));
    }
    answers.push(found);
  }
  process.stdout.write(JSON.stringify(answers));
})();
