#!/usr/bin/env bash
# nats-server does not respond to a pull from a consumer that does not exist.
#
# Expected: A status such as 404 or 503 (No Responders), so that the client knows that its consumer is gone.
# Seen: Nothing, for as long as the client waits. Only a pull that was under way when the consumer was deleted gets 409 Consumer Deleted.
# Version: nats-server 2.9.10. Source: documentation of NATS, JetStream wire API: requests get a response or a status.
# Penstock: Asks for the consumer when a pull is not over in time (source/stream-source.ts).
# Needs: nats-server, Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
cleanup() {
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/sbin
command -v nats-server >/dev/null || cannot "nats-server is missing (Debian: apt-get install nats-server)"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 ||
  cannot "npm install failed"
port=$(free_port)
cat >nats.conf <<END
listen: "127.0.0.1:$port"
jetstream { store_dir: "$work/store" }
END
echo "Versions: $(nats-server --version | tr -d :), @nats-io/jetstream $(node -p 'require("./node_modules/@nats-io/jetstream/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { connect: dial } = require('node:net');
const { connect, createInbox } = require('@nats-io/transport-node');
const { jetstream, jetstreamManager } = require('@nats-io/jetstream');
const port = Number(process.argv[2]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const server = spawn('nats-server', ['-c', 'nats.conf'], { stdio: 'ignore' });
process.on('exit', () => server.kill());
async function listening() {
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (open) return;
    await pause(50);
  }
}
const client = () => connect({ servers: `127.0.0.1:${port}`, reconnect: false });

(async () => {
  await listening();
  const nc = await client();
  const manager = await jetstreamManager(nc);
  await manager.streams.add({ name: 'S', subjects: ['s.>'] });
  await manager.consumers.add('S', { durable_name: 'c', ack_policy: 'explicit' });
  const pull = async (name, then) => {
    const inbox = createInbox();
    let status = 'no response in 5 s';
    nc.subscribe(inbox, { callback: (_error, { headers }) => (status = `${headers.code} ${headers.description}`) });
    const request = JSON.stringify({ batch: 1, expires: 2e9 });
    nc.publish('$JS.API.CONSUMER.MSG.NEXT.S.c', request, { reply: inbox });
    await nc.flush();
    await then();
    await pause(5_000);
    console.log(`${name}: ${status}`);
  };
  await pull('without messages', async () => {});
  await pull('deleted while it waits', () => manager.consumers.delete('S', 'c'));
  await pull('deleted before', async () => {});
  process.exit();
})();
EOF
node main.cjs "$port" | tee seen
cat >expected <<'END'
without messages: 408 Request Timeout
deleted while it waits: 409 Consumer Deleted
deleted before: no response in 5 s
END
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
