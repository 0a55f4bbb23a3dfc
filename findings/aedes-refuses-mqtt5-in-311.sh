#!/usr/bin/env bash
# aedes refuses MQTT 5 with a CONNACK of MQTT 3.1.1.
#
# Expected: A client that asks for MQTT 5 gets packets and reason codes of MQTT 5, here 0x84
#   (unsupported protocol version).
# Seen: The CONNACK has no property length, and return code 1, which is no reason code of MQTT 5.
#   RabbitMQ 3.10.8 was seen to close the connection without a CONNACK.
# Version: aedes 1.2.0. Source: MQTT 5 section 3.2.2.2; MQTT 3.1.1 section 3.1.2.2 [MQTT-3.1.2-2] asks
#   for just this.
# Penstock: Reads a refusal below 0x80 in the words of 3.1.1 and, with protocolVersion auto, connects
#   again with 3.1.1.
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
npm install --silent --no-audit --no-fund --ignore-scripts aedes@1.2.0 mqtt@5.16.0 mqtt-packet@9.0.2 || cannot "npm install failed"
echo "Versions: aedes $(node -p 'require("./node_modules/aedes/package.json").version'), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'EOF'
import net from 'node:net';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';
import packets from 'mqtt-packet';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const broker = await Aedes.createBroker();
const server = net.createServer(broker.handle).listen(0, '127.0.0.1');
await pause(200);
const { port } = server.address();

const socket = net.connect(port, '127.0.0.1');
socket.on('data', (bytes) => console.log(`CONNACK: ${bytes.toString('hex')}`)).on('error', () => {});
const connect = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true, keepalive: 60, clientId: 'five' };
socket.write(packets.generate(connect, { protocolVersion: 5 }));
await pause(500);
const options = { protocolVersion: 5, reconnectPeriod: 0 };
await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, options).catch(({ code, message }) => {
  console.log(`MQTT.js: ${message} (${code})`);
});
process.exit();
EOF
node main.mjs | tee seen
cat >expected <<'EOF'
CONNACK: 20020001
MQTT.js: Connection refused: Unacceptable protocol version (1)
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
