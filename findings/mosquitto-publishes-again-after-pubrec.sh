#!/usr/bin/env bash
# mosquitto publishes QoS 2 messages again after a restart, although it has their PUBREC.
#
# Expected: A sender that has the PUBREC of a message sends PUBREL, and must not send the PUBLISH again. After a
#   restart that keeps the session, the client gets a PUBREL for each message without PUBCOMP.
# Seen: Of the messages in flight, mosquitto restores max_inflight_messages (20) as such. The others go to its
#   queue, however far their handshakes were. A client with a receive maximum of 100 gets 20 PUBREL and 40
#   PUBLISH for 60 messages. Their receiver forgets an identifier when it sends PUBCOMP: if the restart comes
#   before mosquitto has read that, the receiver has the message twice. With max_inflight_messages 0 there
#   is no PUBREL at all, with 100 there are 60.
# Version: mosquitto 2.0.11, mqtt-packet 9.0.2. The function persist__client_msg_restore of 2.1.2 has the same
#   lines. Source: MQTT 5 section 4.3.3 [MQTT-4.3.3-6], section 4.4.
# Penstock: Cannot tell such a message from a new one. docs/delivery.md says how to set max_inflight_messages.
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
stop_broker() {
  kill "$broker"
  wait "$broker" || true
  pids=()
}

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 mqtt-packet@9.0.2 || cannot "npm install failed"
port=$(free_port)
configure() {
  rm -f mosquitto.db
  cat >mosquitto.conf <<EOF
listener $port 127.0.0.1
user $(id -un)
allow_anonymous true
persistence true
persistence_location $work/
max_inflight_messages $1
EOF
}
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const net = require('node:net');
const { once } = require('node:events');
const { connectAsync } = require('mqtt');
const { generate, parser } = require('mqtt-packet');
const [, , port, step] = process.argv;
const protocolVersion = 5;

/** Connects as the reader, whose session stays, and tells what comes. */
async function reader() {
  const socket = net.connect(Number(port), '127.0.0.1');
  const received = [];
  const packets = parser({ protocolVersion }).on('packet', (packet) => received.push(packet));
  socket.on('data', (chunk) => packets.parse(chunk));
  const send = (packet) => socket.write(generate(packet, { protocolVersion }));
  const of = (cmd) => received.filter((packet) => packet.cmd === cmd);
  const until = async (condition) => {
    while (!condition()) await once(socket, 'data', { signal: AbortSignal.timeout(10_000) });
  };
  const properties = { sessionExpiryInterval: 300, receiveMaximum: 100 };
  send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clientId: 'reader', clean: false, keepalive: 60, properties });
  await until(() => of('connack').length > 0);
  return { send, of, until, socket };
}

async function before() {
  const { send, of, until, socket } = await reader();
  send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'in', qos: 2, nl: false, rap: false, rh: 0 }] });
  await until(() => of('suback').length > 0);
  const publisher = await connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion });
  for (let i = 0; i < 60; i += 1) await publisher.publishAsync('in', String(i), { qos: 2 });
  await until(() => of('publish').length === 60);
  for (const { messageId } of of('publish')) send({ cmd: 'pubrec', messageId });
  await until(() => of('pubrel').length === 60);
  console.log(`before: ${of('publish').length} PUBLISH, ${of('pubrel').length} PUBREL`);
  socket.destroy();
  await publisher.endAsync();
}

async function after() {
  const { send, of, until, socket } = await reader();
  await until(() => of('pubrel').length + of('publish').length >= 60);
  send({ cmd: 'pingreq' });
  await until(() => of('pingresp').length > 0);
  const again = of('publish');
  const dup = again.length > 0 && again.every((packet) => packet.dup) ? ' with DUP' : '';
  console.log(`after the ${step}: session present ${of('connack')[0].sessionPresent}, ${of('pubrel').length} PUBREL, ${again.length} PUBLISH${dup}`);
  socket.destroy();
}

(step === 'first' ? before() : after()).then(() => process.exit());
EOF
seen() {
  configure "$1"
  start_broker
  echo "max_inflight_messages $1"
  node main.cjs "$port" first
  node main.cjs "$port" reconnect
  stop_broker
  start_broker
  node main.cjs "$port" restart
  stop_broker
}
{
  seen 20
  seen 0
  seen 100
} | tee seen
cat >expected <<'EOF'
max_inflight_messages 20
before: 60 PUBLISH, 60 PUBREL
after the reconnect: session present true, 60 PUBREL, 0 PUBLISH
after the restart: session present true, 20 PUBREL, 40 PUBLISH with DUP
max_inflight_messages 0
before: 60 PUBLISH, 60 PUBREL
after the reconnect: session present true, 60 PUBREL, 0 PUBLISH
after the restart: session present true, 0 PUBREL, 60 PUBLISH with DUP
max_inflight_messages 100
before: 60 PUBLISH, 60 PUBREL
after the reconnect: session present true, 60 PUBREL, 0 PUBLISH
after the restart: session present true, 60 PUBREL, 0 PUBLISH
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
