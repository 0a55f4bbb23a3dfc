#!/usr/bin/env bash
# aedes sends a message again without the DUP flag.
#
# Expected: A resumed session gets its unacknowledged message with the DUP flag, so that a client can
#   tell it from a new message that has the same packet identifier.
# Seen: The second PUBLISH equals the first one, at QoS 1 as at QoS 2.
# Version: aedes 1.2.0, mqtt-packet 9.0.2. Source: MQTT 3.1.1 section 3.3.1.1 [MQTT-3.3.1-1].
# Penstock: Takes a message without the flag for a new one, because dropping a new one would lose it.
#   At aedes a message can therefore count twice at QoS 2 (docs/delivery.md, "Counted once").
# Needs: Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts aedes@1.2.0 mqtt-packet@9.0.2 || cannot "npm install failed"
echo "Versions: aedes $(node -p 'require("./node_modules/aedes/package.json").version'), mqtt-packet $(node -p 'require("./node_modules/mqtt-packet/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'EOF'
import net from 'node:net';
import { Aedes } from 'aedes';
import mqttPacket from 'mqtt-packet';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const broker = await Aedes.createBroker();
const server = net.createServer(broker.handle).listen(0, '127.0.0.1');
await pause(200);

async function client(clientId, clean) {
  const socket = net.connect(server.address().port, '127.0.0.1');
  const received = [];
  const reader = mqttPacket.parser({ protocolVersion: 4 }).on('packet', (packet) => received.push(packet));
  socket.on('data', (chunk) => reader.parse(chunk));
  const send = (packet) => socket.write(mqttPacket.generate(packet));
  send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 60, clientId, clean });
  await pause(300);
  const publishes = () => received.filter(({ cmd }) => cmd === 'publish');
  return { socket, send, publishes };
}

for (const qos of [1, 2]) {
  const topic = `readings/${qos}`;
  const first = await client(`reader${qos}`, false);
  first.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos }] });
  await pause(300);
  const publisher = await client(`publisher${qos}`, true);
  publisher.send({ cmd: 'publish', topic, payload: 'x', qos, messageId: 1 });
  await pause(300);
  if (qos === 2) publisher.send({ cmd: 'pubrel', messageId: 1 });
  await pause(300);
  first.socket.destroy();
  await pause(300);
  const second = await client(`reader${qos}`, false);
  await pause(300);
  const [before] = first.publishes();
  const [again] = second.publishes();
  const same = before.messageId === again.messageId;
  console.log(`QoS of the subscription ${qos}: same packet identifier ${same}, DUP first ${before.dup}, DUP again ${again.dup}`);
}
process.exit();
EOF
node main.mjs | tee seen
cat >expected <<'EOF'
QoS of the subscription 1: same packet identifier true, DUP first false, DUP again false
QoS of the subscription 2: same packet identifier true, DUP first false, DUP again false
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
