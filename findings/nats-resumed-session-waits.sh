#!/usr/bin/env bash
# nats-server does not resend unacknowledged messages when a session is resumed.
#
# Expected: On a reconnection without clean session the broker sends unacknowledged messages again at
#   once.
# Seen: Nothing comes until ack_wait is over (30 s by default, 5 s here), counted from the first
#   delivery. A message published meanwhile overtakes them.
# Version: nats-server 2.9.10. Source: MQTT 3.1.1 section 4.4 [MQTT-4.4.0-1], section 4.6;
#   documentation of NATS, "MQTT", ack_wait.
# Penstock: Loses nothing, but after a crash the messages in flight come that much later
#   (docs/delivery.md, "Other brokers").
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
mqtt { host: "127.0.0.1", port: $port, ack_wait: "5s" }
EOF
nats-server -c nats.conf >broker.log 2>&1 &
pids+=("$!")
until_open "$port"
echo "Versions: $(nats-server --version | tr -d :), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connect, connectAsync } = require('mqtt');
const url = process.argv[2];
const session = { clientId: 'worker', clean: false, reconnectPeriod: 0 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const publisher = await connectAsync(url);
  const worker = await connectAsync(url, session);
  let unacknowledged = 0;
  worker.handleMessage = () => (unacknowledged += 1);
  await worker.subscribeAsync('readings', { qos: 1 });
  await publisher.publishAsync('readings', 'old', { qos: 1 });
  await pause(500);
  worker.stream.destroy();
  await pause(500);

  const received = [];
  let present;
  const again = connect(url, session);
  again.on('connect', ({ sessionPresent }) => (present = sessionPresent));
  again.on('message', (topic, payload, { dup }) => received.push(`${payload}${dup ? ' (dup)' : ''}`));
  await pause(500);
  await again.subscribeAsync('readings', { qos: 1 });
  await pause(500);
  await publisher.publishAsync('readings', 'new', { qos: 1 });
  await pause(1_000);
  console.log(`left unacknowledged: ${unacknowledged}; session present: ${present}`);
  console.log(`within 2 s: ${received.join(', ')}`);
  await pause(5_000);
  console.log(`within 7 s: ${received.join(', ')}`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
left unacknowledged: 1; session present: true
within 2 s: new
within 7 s: new, old (dup)
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
