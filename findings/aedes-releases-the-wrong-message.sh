#!/usr/bin/env bash
# aedes sends the PUBREL of a QoS 2 message twice and that of the first queued one never.
#
# Expected: Each QoS 2 message of a resumed session gets PUBLISH, PUBREC, PUBREL, PUBCOMP with its own
#   packet identifier.
# Seen: When the PUBREC of the first message arrives, aedes sends PUBREL with the identifier of the
#   second. A client that hands messages out at PUBREL, as MQTT.js does, never gets the first.
# Version: aedes 1.2.0, MQTT.js 5.16.0. Source: MQTT 3.1.1 section 4.3.3 [MQTT-4.3.3-1].
# Penstock: Takes a message over at PUBLISH and acknowledges it with PUBREC, so none is lost; aedes
#   serves its demo and tests only (docs/delivery.md, "Other brokers").
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
npm install --silent --no-audit --no-fund --ignore-scripts aedes@1.2.0 mqtt@5.16.0 || cannot "npm install failed"
echo "Versions: aedes $(node -p 'require("./node_modules/aedes/package.json").version'), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'EOF'
import net from 'node:net';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const broker = await Aedes.createBroker();
const server = net.createServer(broker.handle).listen(0, '127.0.0.1');
await pause(200);
const url = `mqtt://127.0.0.1:${server.address().port}`;

const session = { clientId: 'away', clean: false, reconnectPeriod: 0 };
const away = await mqtt.connectAsync(url, session);
await away.subscribeAsync('readings', { qos: 2 });
await away.endAsync();
const publisher = await mqtt.connectAsync(url);
for (const text of ['a', 'b', 'c']) await publisher.publishAsync('readings', text, { qos: 2 });

const received = { publish: [], pubrel: [] };
const handedOut = [];
const back = mqtt.connect(url, session);
back.on('packetreceive', ({ cmd, messageId }) => received[cmd]?.push(messageId));
back.on('message', (topic, payload) => handedOut.push(payload.toString()));
await pause(1_500);
const place = (id) => received.publish.indexOf(id) + 1;
console.log(`PUBLISH: ${received.publish.map(place)}`);
console.log(`PUBREL for: ${received.pubrel.map(place)}`);
console.log(`handed out: ${handedOut}`);
process.exit();
EOF
node main.mjs | tee seen
cat >expected <<'EOF'
PUBLISH: 1,2,3
PUBREL for: 2,2,3
handed out: b,c
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
