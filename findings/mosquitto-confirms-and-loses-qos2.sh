#!/usr/bin/env bash
# mosquitto completes the QoS 2 handshake of messages that it has dropped.
#
# Expected: After PUBREC and PUBCOMP the broker has the message. MQTT 3.1.1 has no limit for messages
#   in flight.
# Seen: mosquitto takes 20 QoS 2 messages in flight (max_inflight_messages) and drops the rest. It
#   sends PUBREC and PUBCOMP for each all the same. A 3.1.1 publisher gets 100 confirmations while
#   some 20 messages arrive. With MQTT 5 the PUBREC says 0x97 (quota exceeded).
# Version: mosquitto 2.0.11, MQTT.js 5.16.0. Source: MQTT 3.1.1 section 4.3.3; mosquitto.conf(5) calls
#   max_inflight_messages a limit of outgoing messages.
# Penstock: Over 3.1.1 first sends 20 test messages at once and counts those that arrive. The sink has
#   that many in flight, or one if none arrives.
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
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"
port=$(free_port)
cat >mosquitto.conf <<EOF
listener $port 127.0.0.1
user $(id -un)
allow_anonymous true
log_type all
EOF
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const arrived = new Set();
  const subscriber = await connectAsync(url, { protocolVersion: 4 });
  subscriber.on('message', (topic, payload) => arrived.add(payload.toString()));
  await subscriber.subscribeAsync('readings', { qos: 0 });

  const publisher = await connectAsync(url, { protocolVersion: 4, clientId: 'publisher' });
  const received = { pubrec: 0, pubcomp: 0 };
  publisher.on('packetreceive', ({ cmd }) => cmd in received && (received[cmd] += 1));
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, (_, i) => publisher.publishAsync('readings', String(i), { qos: 2 })),
  );
  await pause(1_000);
  const confirmed = outcomes.filter(({ status }) => status === 'fulfilled').length;
  console.log(`published without an error: ${confirmed}`);
  console.log(`PUBREC: ${received.pubrec}, PUBCOMP: ${received.pubcomp}`);
  console.log(`all of them arrived: ${arrived.size === confirmed}`);
  console.error(`(arrived: ${arrived.size})`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
refused=$(grep -c "Sending PUBREC to publisher (m[0-9]*, rc151)" broker.log || true)
echo "the broker knew (PUBREC with 151 in its log): $([ "$refused" -gt 0 ] && echo true || echo false)" | tee -a seen
cat >expected <<'EOF'
published without an error: 100
PUBREC: 100, PUBCOMP: 100
all of them arrived: false
the broker knew (PUBREC with 151 in its log): true
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
