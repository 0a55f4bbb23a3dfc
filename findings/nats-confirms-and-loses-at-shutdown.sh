#!/usr/bin/env bash
# nats-server confirms messages at QoS 1 while it shuts down, and loses them.
#
# Expected: A PUBACK means that the broker has taken the message. A subscriber with a stored session gets it after a
#   clean stop (SIGTERM) and a new start, because JetStream keeps sessions and messages in files.
# Seen: The last few messages that were confirmed before the connection closed are gone for every stored session, in most of
#   six stops.
# Version: nats-server 2.9.10. Source: MQTT 3.1.1 section 4.3.2 (method B: the receiver owns the message when it has sent
#   the PUBACK); documentation of NATS, "MQTT", QoS 1 messages are stored in a stream.
# Penstock: Cannot see it; docs/brokers.md has it in the table ("messages confirmed while it stops").
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
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"
port=$(free_port)
cat >nats.conf <<EOF
server_name: finding
listen: "127.0.0.1:$(free_port)"
jetstream { store_dir: "$work/store" }
mqtt { host: "127.0.0.1", port: $port, ack_wait: "3s" }
EOF
echo "Versions: $(nats-server --version | tr -d :), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { connect: dial } = require('node:net');
const { connectAsync } = require('mqtt');
const port = Number(process.argv[2]);
const url = `mqtt://127.0.0.1:${port}`;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let server;
process.on('exit', () => server?.kill());
async function start() {
  server = spawn('nats-server', ['-c', 'nats.conf'], { stdio: 'ignore' });
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    const open = await Promise.race([
      once(socket, 'connect').then(() => true),
      once(socket, 'error').then(() => false, () => false),
    ]).catch(() => false);
    socket.destroy();
    if (open) return;
    await pause(50);
  }
}
async function stop() {
  const over = once(server, 'exit');
  server.kill('SIGTERM');
  await over;
}

(async () => {
  await start();
  const received = new Set();
  const options = { protocolVersion: 4, reconnectPeriod: 100 };
  const reader = await connectAsync(url, { ...options, clean: false, clientId: 'reader' });
  reader.on('error', () => {}).on('message', (_topic, payload) => received.add(Number(payload)));
  await reader.subscribeAsync('readings', { qos: 1 });
  const confirmed = [];
  let next = 0;
  let unconfirmed = 0;
  for (let round = 0; round < 6; round++) {
    // A client of its own for each stop, so that nothing is sent again.
    const publisher = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0 });
    publisher.on('error', () => {});
    let open = true;
    publisher.on('close', () => (open = false));
    const stopping = pause(1_000).then(stop);
    while (open) {
      const number = next++;
      publisher.publish('readings', String(number), { qos: 1 }, (error) => (error ? unconfirmed++ : confirmed.push(number)));
      await pause(5);
    }
    await stopping;
    publisher.end(true);
    await start();
  }
  await pause(10_000);
  const lost = confirmed.filter((number) => !received.has(number));
  console.log(`confirmed: ${confirmed.length}, of which lost: ${lost.length}`);
  console.log(lost.length > 0 ? 'some confirmed messages are lost' : 'nothing confirmed is lost');
  reader.end(true);
  await stop();
  process.exit();
})();
EOF
node main.cjs "$port" | tee seen
echo 'some confirmed messages are lost' >expected
if diff expected <(tail -1 seen); then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
