#!/usr/bin/env bash
# aedes and nats-server grant "$share/group/topic" and then treat it as an ordinary topic.
#
# Expected: A broker without shared subscriptions refuses the filter.
# Seen: SUBACK grants it at QoS 1. Messages to "topic" never arrive; one to the topic named
#   "$share/group/topic" does.
# Version: aedes 1.2.0, nats-server 2.9.10 (RabbitMQ 3.10.8 was seen to do the same). Source: MQTT
#   3.1.1 section 4.7 knows no shared subscriptions; MQTT 5 section 4.8.2.
# Penstock: Uses no shared subscription of its own. For one of the user's, job and connection test send a
#   message through such a filter, and report mqtt_shared_unsupported (docs/delivery.md).
# Needs: nats-server, Node.js 20, npm.
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
command -v nats-server >/dev/null || cannot "nats-server is missing (Debian: apt-get install nats-server)"
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

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts aedes@1.2.0 mqtt@5.16.0 || cannot "npm install failed"
port=$(free_port)
cat >nats.conf <<EOF
server_name: finding
listen: "127.0.0.1:$(free_port)"
jetstream { store_dir: "$work/store" }
mqtt { host: "127.0.0.1", port: $port, ack_wait: "30s" }
EOF
nats-server -c nats.conf >broker.log 2>&1 &
pids+=("$!")
until_open "$port"
echo "Versions: aedes $(node -p 'require("./node_modules/aedes/package.json").version'), $(nats-server --version | tr -d :), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'EOF'
import net from 'node:net';
import { Aedes } from 'aedes';
import mqtt from 'mqtt';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const broker = await Aedes.createBroker();
const server = net.createServer(broker.handle).listen(0, '127.0.0.1');
await pause(200);

async function look(name, port) {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: 4 });
  const topics = [];
  client.on('message', (topic) => topics.push(topic));
  const [{ qos }] = await client.subscribeAsync('$share/group/readings', { qos: 1 });
  for (const topic of ['readings', '$share/group/readings']) await client.publishAsync(topic, 'x', { qos: 1 });
  await pause(1_000);
  console.log(`${name}: granted QoS ${qos}, messages from: ${topics}`);
}
await look('aedes', server.address().port);
await look('nats-server', Number(process.argv[2]));
process.exit();
EOF
node main.mjs "$port" | tee seen
cat >expected <<'EOF'
aedes: granted QoS 1, messages from: $share/group/readings
nats-server: granted QoS 1, messages from: $share/group/readings
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
