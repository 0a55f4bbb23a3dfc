#!/usr/bin/env bash
# nats-server ends the connection at a QoS 2 message and at a topic with a dot or a space.
#
# Expected: QoS 2 is part of MQTT 3.1.1, and a dot or a space may be in any topic.
# Seen: A subscription for QoS 2 is granted 1. A message of QoS 2, or of QoS 1 to "plant/10.0.0.5",
#   gets no reply: the connection ends. Only the log of the broker says why.
# Version: nats-server 2.9.10. Source: MQTT 3.1.1 sections 3.3.4 and 4.7.1; documentation of NATS,
#   "MQTT" ("MQTT Topics and NATS Subjects").
# Penstock: Writes at QoS 1 after two connections that ended so (docs/delivery.md, "When a broker does
#   less than a table asks for"). Takes a topic with a dot for a lost connection, and tries again.
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
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"
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
echo "Versions: $(nats-server --version | tr -d :), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const subscriber = await connectAsync(url);
  const [{ qos }] = await subscriber.subscribeAsync('plant/#', { qos: 2 });
  console.log(`SUBSCRIBE at QoS 2: granted ${qos}`);
  for (const [topic, qos] of [['plant/oven', 1], ['plant/oven', 2], ['plant/10.0.0.5', 1], ['plant/oven 1', 1]]) {
    const client = await connectAsync(url, { reconnectPeriod: 0 });
    const events = [];
    client.on('packetreceive', ({ cmd }) => events.push(cmd));
    client.on('error', ({ message }) => events.push(message));
    client.on('close', () => events.push('end of the connection'));
    client.publish(topic, 'x', { qos }, () => {});
    await pause(1_000);
    console.log(`PUBLISH to "${topic}" at QoS ${qos}: ${events.join(', ')}`);
    client.end(true);
  }
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
grep -oE "publish QoS=2 not supported|characters ' ' and '.' not supported for MQTT topics" broker.log | sort -u |
  sed 's/^/log: /' | tee -a seen
cat >expected <<'EOF'
SUBSCRIBE at QoS 2: granted 1
PUBLISH to "plant/oven" at QoS 1: puback
PUBLISH to "plant/oven" at QoS 2: end of the connection
PUBLISH to "plant/10.0.0.5" at QoS 1: end of the connection
PUBLISH to "plant/oven 1" at QoS 1: end of the connection
log: characters ' ' and '.' not supported for MQTT topics
log: publish QoS=2 not supported
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
