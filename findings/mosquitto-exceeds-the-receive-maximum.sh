#!/usr/bin/env bash
# mosquitto sends more unacknowledged messages than the client's receive maximum.
#
# Expected: With a receive maximum of 10 at most 10 messages of QoS 1 or 2 are unacknowledged.
# Seen: Each acknowledgement brings 10 more messages instead of one. After 8 of them 82 are
#   unacknowledged. MQTT.js counts at QoS 2, reports an error and ends the connection.
# Version: mosquitto 2.0.11, MQTT.js 5.16.0. Source: MQTT 5 section 3.3.4 [MQTT-3.3.4-9], section 4.9.
# Penstock: Stops reading the socket when its window is full, and never counts on the receive maximum
#   (docs/decisions/0005-mqttjs-with-two-seams.md; docs/delivery.md, "A long queue at QoS 2").
# Needs: mosquitto, Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/sbin
command -v mosquitto >/dev/null || cannot "mosquitto is missing (Debian: apt-get install mosquitto)"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
until_open() {
  for _ in $(seq 100); do
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  cat broker.log
  cannot "the broker does not start"
}
start_broker() {
  mosquitto -c mosquitto.conf >>broker.log 2>&1 &
  broker=$!
  pids+=("$broker")
  until_open "$port"
}

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 mqtt-packet@9.0.2 || cannot "npm install failed"
port=$(free_port)
cat >mosquitto.conf <<EOF
listener $port 127.0.0.1
user $(id -un)
allow_anonymous true
EOF
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const net = require('node:net');
const { connectAsync, connect } = require('mqtt');
const { generate, parser } = require('mqtt-packet');
const port = Number(process.argv[2]);
const url = `mqtt://127.0.0.1:${port}`;
const session = (clientId) => ({
  protocolVersion: 5,
  clientId,
  clean: false,
  properties: { sessionExpiryInterval: 300, receiveMaximum: 10 },
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Subscribes, leaves, and has 200 messages queued for the session. */
async function queued(clientId, qos) {
  const client = await connectAsync(url, session(clientId));
  await client.subscribeAsync(clientId, { qos });
  await client.endAsync();
  const publisher = await connectAsync(url, { protocolVersion: 5 });
  for (let i = 0; i < 200; i += 1) await publisher.publishAsync(clientId, String(i), { qos: 1 });
  await publisher.endAsync();
}

/** A client that acknowledges only what it is told to. */
async function slowReader(clientId) {
  await queued(clientId, 1);
  const socket = net.connect(port, '127.0.0.1');
  const received = [];
  const reader = parser({ protocolVersion: 5 }).on('packet', (packet) => received.push(packet));
  socket.on('data', (chunk) => reader.parse(chunk));
  const send = (packet) => socket.write(generate(packet, { protocolVersion: 5 }));
  send({ cmd: 'connect', protocolId: 'MQTT', keepalive: 60, ...session(clientId) });
  await pause(500);
  const messages = () => received.filter(({ cmd }) => cmd === 'publish');
  const counts = [messages().length];
  for (let acked = 1; acked <= 8; acked += 1) {
    send({ cmd: 'puback', messageId: messages()[acked - 1].messageId });
    await pause(200);
    counts.push(messages().length - acked);
  }
  socket.destroy();
  console.log(`unacknowledged after 0 to 8 PUBACKs, receive maximum 10: ${counts.join(' ')}`);
}

async function mqttJs(clientId) {
  const publisher = await connectAsync(url, { protocolVersion: 5 });
  const first = await connectAsync(url, session(clientId));
  await first.subscribeAsync(clientId, { qos: 2 });
  await first.endAsync();
  for (let i = 0; i < 200; i += 1) await publisher.publishAsync(clientId, String(i), { qos: 2 });
  const client = connect(url, { ...session(clientId), reconnectPeriod: 0 });
  client.on('error', ({ message }) => console.log(`MQTT.js: ${message}`));
  await pause(2_000);
  console.log(`MQTT.js is connected: ${client.connected}`);
}

(async () => {
  await slowReader('slow');
  await mqttJs('stock');
  process.exit();
})();
EOF
node main.cjs "$port" | tee seen
cat >expected <<'EOF'
unacknowledged after 0 to 8 PUBACKs, receive maximum 10: 10 19 28 37 46 55 64 73 82
MQTT.js: Receive Maximum exceeded: 11 inbound QoS 2 messages in flight, receiveMaximum is 10
MQTT.js is connected: false
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
