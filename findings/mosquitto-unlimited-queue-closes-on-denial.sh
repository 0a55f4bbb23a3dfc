#!/usr/bin/env bash
# mosquitto with max_queued_messages 0 ends the connection of a client whose message it denies.
#
# Expected: max_queued_messages 0 means no limit for queues and changes nothing else.
# Seen: With 1000 a denied message gets PUBACK 0x87 and the connection stays. With 0 the same PUBACK
#   is followed by the end of the connection, without a DISCONNECT.
# Version: mosquitto 2.0.11. Source: mosquitto.conf(5), max_queued_messages (0 is "no maximum (not
#   recommended)"); MQTT 5 section 3.4.2.1.
# Penstock: docs/delivery.md and docs/bad-data.md say to set a large number instead of 0.
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
allow_anonymous false
password_file passwords
acl_file acl
max_queued_messages 1000
EOF
command -v mosquitto_passwd >/dev/null || cannot "mosquitto_passwd is missing (Debian: apt-get install mosquitto)"
for user in ada admin; do
  mosquitto_passwd $([ -e passwords ] || echo -c) -b passwords "$user" secret 2>/dev/null
done
printf 'user admin\ntopic readwrite #\nuser ada\ntopic readwrite mine/#\n' >acl
chmod 600 passwords acl
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const [url, limit] = process.argv.slice(2);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const ada = await connectAsync(url, { protocolVersion: 5, username: 'ada', password: 'secret', reconnectPeriod: 0 });
  const received = [];
  ada.on('packetreceive', ({ cmd, reasonCode }) => received.push(`${cmd} ${reasonCode}`));
  ada.on('error', () => {});
  await ada.publishAsync('theirs/b', 'x', { qos: 1 }).catch(() => {});
  await pause(1_000);
  console.log(`max_queued_messages ${limit}: received ${received}, still connected ${ada.connected}`);
  process.exit();
})();
EOF
for limit in 1000 0; do
  sed -i "s/^max_queued_messages .*/max_queued_messages $limit/" mosquitto.conf
  start_broker
  node main.cjs "mqtt://127.0.0.1:$port" "$limit" | tee -a seen
  kill "$broker" && wait "$broker" || true
done
cat >expected <<'EOF'
max_queued_messages 1000: received puback 135, still connected true
max_queued_messages 0: received puback 135, still connected false
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
