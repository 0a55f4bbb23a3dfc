#!/usr/bin/env bash
# nats.js reports that JetStream is not enabled when no stream has the subject.
#
# Expected: An error that says that nobody responds on the subject, as the server does (status 503, No Responders).
# Seen: JetStreamNotEnabled: "jetstream is not enabled", though the server has JetStream and a stream.
# Version: @nats-io/jetstream 3.4.0 with nats-server 2.9.10. Source: ADR-1 of NATS: JetStream is asked by $JS.API.INFO; 503 on a
#   subject only says that nobody subscribes to it.
# Penstock: Reads the responses to what it publishes itself, and asks for the stream at a 503.
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
  console.log('streams:', (await manager.getAccountInfo()).streams);
  const ack = await jetstream(nc).publish('s.a', 'x');
  console.log('to its subject: stored in', ack.stream);
  await jetstream(nc)
    .publish('other', 'x')
    .catch((error) => console.log(`to another subject: ${error.name}: ${error.message}`));
  process.exit();
})();
EOF
node main.cjs "$port" | tee seen
cat >expected <<'END'
streams: 1
to its subject: stored in S
to another subject: JetStreamNotEnabled: jetstream is not enabled
END
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
