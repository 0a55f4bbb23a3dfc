#!/usr/bin/env bash
# MQTT.js acknowledges a message before the handler that got it has finished.
#
# Expected: PUBACK (QoS 1) leaves when an async "message" handler has resolved, so a crash inside it
#   loses nothing.
# Seen: PUBACK leaves as soon as "message" was emitted. After a kill the broker redelivers none of the
#   5 messages at work.
# Version: MQTT.js 5.16.0. Source: MQTT 5 section 4.3.2 [MQTT-4.3.2-4] (PUBACK after ownership was
#   accepted); README of MQTT.js, "handleMessage".
# Penstock: Takes the acknowledgements over and sends them after the sink confirmed
#   (docs/decisions/0005-mqttjs-with-two-seams.md).
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
EOF
start_broker
echo "Versions: MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), $(mosquitto -h | sed -n 's/ version//;1p' || true), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync, connect } = require('mqtt');
const [url, step] = process.argv.slice(2);
const session = { protocolVersion: 5, clientId: 'worker', clean: false, properties: { sessionExpiryInterval: 300 } };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const steps = {
  async prepare() {
    const worker = await connectAsync(url, session);
    await worker.subscribeAsync('work', { qos: 1 });
    await worker.endAsync();
    const publisher = await connectAsync(url);
    for (let i = 1; i <= 5; i += 1) await publisher.publishAsync('work', String(i), { qos: 1 });
    await publisher.endAsync();
  },
  work() {
    let begun = 0;
    connect(url, session).on('message', async () => {
      begun += 1;
      console.log(`handlers begun: ${begun}`);
      await pause(60_000);
      console.log('handler finished');
    });
  },
  async again() {
    let redelivered = 0;
    const worker = connect(url, session).on('message', () => (redelivered += 1));
    await pause(1_500);
    console.log(`redelivered after the kill: ${redelivered}`);
    await worker.endAsync();
  },
};
steps[step]();
EOF
node main.cjs "mqtt://127.0.0.1:$port" prepare
node main.cjs "mqtt://127.0.0.1:$port" work >work.log &
worker=$!
pids+=("$worker")
for _ in $(seq 100); do grep -q "begun: 5" work.log && break || sleep 0.1; done
sleep 0.5
{ kill -9 "$worker" && wait "$worker"; } 2>/dev/null || true
{ tail -n 1 work.log; node main.cjs "mqtt://127.0.0.1:$port" again; } | tee seen
cat >expected <<'EOF'
handlers begun: 5
redelivered after the kill: 0
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
