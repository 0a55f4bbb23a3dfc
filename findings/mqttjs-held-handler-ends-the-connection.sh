#!/usr/bin/env bash
# MQTT.js stops reading while handleMessage waits, and then misses the PINGRESP.
#
# Expected: Holding the callback of handleMessage delays one PUBACK; the connection stays up.
# Seen: Nothing is read until the callback is called. The broker answers the ping, MQTT.js reports
#   "Keepalive timeout" and closes.
# Version: MQTT.js 5.16.0 with mosquitto 2.0.11. Source: MQTT 5 section 3.1.2.10 (keep alive); README
#   of MQTT.js, "handleMessage".
# Penstock: Lets the parser go on, withholds only the acknowledgement, and forgives missing PINGRESPs
#   while it does not read (docs/decisions/0005-mqttjs-with-two-seams.md).
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
echo "Versions: MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), $(mosquitto -h | sed -n 's/ version//;1p' || true), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const publisher = await connectAsync(url);
  const client = await connectAsync(url, { clientId: 'held', keepalive: 1, reconnectPeriod: 0 });
  let answered = 0;
  client.on('packetreceive', ({ cmd }) => cmd === 'pingresp' && (answered += 1));
  client.on('error', ({ message }) => console.log(`error: ${message}`));
  client.handleMessage = (packet, done) => setTimeout(done, 20_000);
  await client.subscribeAsync('work', { qos: 1 });
  await pause(2_500);
  console.log(`connected and answered before the message: ${client.connected && answered > 0}`);
  const before = answered;
  await publisher.publishAsync('work', 'x', { qos: 1 });
  await pause(5_000);
  console.log(`PINGRESPs seen while the handler waits: ${answered - before}`);
  console.log(`connected: ${client.connected}`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
answers=$(sed -n '/Sending PUBLISH to held/,$p' broker.log | grep -c "Sending PINGRESP to held" || true)
echo "the broker sent PINGRESPs meanwhile: $([ "$answers" -gt 0 ] && echo true || echo false)" | tee -a seen
cat >expected <<'EOF'
connected and answered before the message: true
error: Keepalive timeout
PINGRESPs seen while the handler waits: 0
connected: false
the broker sent PINGRESPs meanwhile: true
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
