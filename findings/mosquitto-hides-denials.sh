#!/usr/bin/env bash
# mosquitto grants subscriptions that its access list denies, and confirms messages that it denies.
#
# Expected: SUBACK says 0x80 or 0x87 for a topic that the access list does not let the user read, and
#   a denied message is not confirmed.
# Seen: SUBACK grants the QoS asked for; nothing ever comes. A denied message of QoS 1 gets a PUBACK.
#   With MQTT 5 that PUBACK says 0x87, with 3.1.1 it looks like any other.
# Version: mosquitto 2.0.11. Source: MQTT 5 sections 3.9.3 and 3.4.2.1; MQTT 3.1.1 section 3.3.5
#   allows the confirmation; mosquitto.conf(5), acl_file.
# Penstock: Its connection test does not take SUBACK for proof: the first_message step warns about
#   read access, the publish step of 3.1.1 says that a refusal cannot be seen (docs/delivery.md, "Bad
#   messages").
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
EOF
command -v mosquitto_passwd >/dev/null || cannot "mosquitto_passwd is missing (Debian: apt-get install mosquitto)"
for user in ada admin; do
  mosquitto_passwd $([ -e passwords ] || echo -c) -b passwords "$user" secret 2>/dev/null
done
printf 'user admin\ntopic readwrite #\nuser ada\ntopic readwrite mine/#\n' >acl
chmod 600 passwords acl
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const admin = await connectAsync(url, { username: 'admin', password: 'secret' });
  for (const [name, protocolVersion] of [['3.1.1', 4], ['5', 5]]) {
    const ada = await connectAsync(url, { protocolVersion, username: 'ada', password: 'secret' });
    const topics = [];
    ada.on('message', (topic) => topics.push(topic));
    const granted = await ada.subscribeAsync(['theirs/#', 'mine/#'], { qos: 1 });
    for (const topic of ['theirs/a', 'mine/a']) await admin.publishAsync(topic, 'x', { qos: 1 });
    await pause(500);
    console.log(`MQTT ${name}: granted ${granted.map(({ topic, qos }) => `${topic} ${qos}`).join(', ')}; received ${topics}`);
    let answer;
    ada.on('packetreceive', ({ cmd, reasonCode }) => cmd === 'puback' && (answer = reasonCode ?? 'none'));
    await ada.publishAsync('theirs/b', 'x', { qos: 1 }).catch(() => {});
    console.log(`MQTT ${name}: denied message -> PUBACK, reason code ${answer}`);
    await ada.endAsync();
  }
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
MQTT 3.1.1: granted theirs/# 1, mine/# 1; received mine/a
MQTT 3.1.1: denied message -> PUBACK, reason code none
MQTT 5: granted theirs/# 1, mine/# 1; received mine/a
MQTT 5: denied message -> PUBACK, reason code 135
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
