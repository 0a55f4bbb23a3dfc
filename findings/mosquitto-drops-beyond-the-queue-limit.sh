#!/usr/bin/env bash
# mosquitto confirms messages that it drops because the queue of a session is full.
#
# Expected: A publisher at QoS 1 learns that nobody will get its message, for instance by reason code
#   0x97 (quota exceeded) of MQTT 5.
# Seen: 1,500 messages for a session that is away are all confirmed with reason code 0. The session
#   gets the first 1,000. Only the counter $SYS/broker/publish/messages/dropped tells.
# Version: mosquitto 2.0.11. Source: mosquitto.conf(5), max_queued_messages (1,000 unless set); MQTT 5
#   section 3.4.2.1.
# Penstock: Cannot see it. docs/delivery.md says to set max_queued_messages on the broker of a source.
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
sys_interval 1
EOF
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync, connect } = require('mqtt');
const url = process.argv[2];
const session = { protocolVersion: 5, clientId: 'away', clean: false, properties: { sessionExpiryInterval: 300 } };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const away = await connectAsync(url, session);
  await away.subscribeAsync('readings', { qos: 1 });
  await away.endAsync();

  const reasons = {};
  const publisher = await connectAsync(url, { protocolVersion: 5 });
  publisher.on('packetreceive', ({ cmd, reasonCode }) => {
    if (cmd === 'puback') reasons[reasonCode] = (reasons[reasonCode] ?? 0) + 1;
  });
  for (let i = 0; i < 1_500; i += 1) await publisher.publishAsync('readings', String(i), { qos: 1 });
  console.log(`PUBACKs by reason code: ${JSON.stringify(reasons)}`);

  const received = [];
  const back = connect(url, session).on('message', (topic, payload) => received.push(payload.toString()));
  await pause(2_000);
  console.log(`delivered: ${received.length}, from ${received[0]} to ${received.at(-1)}`);
  await back.endAsync();

  let dropped;
  publisher.on('message', (topic, payload) => (dropped = payload.toString()));
  await publisher.subscribeAsync('$SYS/broker/publish/messages/dropped');
  await pause(2_000);
  console.log(`counted as dropped by the broker: ${dropped}`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
PUBACKs by reason code: {"0":1500}
delivered: 1000, from 0 to 999
counted as dropped by the broker: 500
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
