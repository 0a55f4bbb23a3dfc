#!/usr/bin/env bash
# mosquitto replies to the PUBREL of an unknown message with success.
#
# Expected: PUBCOMP says 0x92 (packet identifier not found), so a publisher that resends PUBREL after
#   a lost session sees that its message is gone.
# Seen: PUBCOMP with reason code 0, over MQTT 5 as over 3.1.1. A QoS 2 publisher with a clean session
#   takes a lost message for a delivered one.
# Version: mosquitto 2.0.11. Source: MQTT 5 section 3.7.2.1 (0x92, packet identifier not found),
#   section 4.3.3.
# Penstock: Starts each sink connection with a clean session and resends nothing; an unconfirmed
#   message comes again from the source (docs/decisions/0001-fresh-sink-sessions.md). A sink that keeps
#   its session relies on Session Present alone (docs/decisions/0026-exact-sinks-keep-their-session.md).
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
npm install --silent --no-audit --no-fund --ignore-scripts mqtt-packet@9.0.2 || cannot "npm install failed"
port=$(free_port)
cat >mosquitto.conf <<EOF
listener $port 127.0.0.1
user $(id -un)
allow_anonymous true
EOF
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), mqtt-packet $(node -p 'require("./node_modules/mqtt-packet/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const net = require('node:net');
const { generate, parser } = require('mqtt-packet');
const port = Number(process.argv[2]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  for (const [name, protocolVersion] of [['5', 5], ['3.1.1', 4]]) {
    const socket = net.connect(port, '127.0.0.1');
    const received = [];
    const reader = parser({ protocolVersion }).on('packet', (packet) => received.push(packet));
    socket.on('data', (chunk) => reader.parse(chunk));
    const send = (packet) => socket.write(generate(packet, { protocolVersion }));
    send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion, clean: true, keepalive: 60, clientId: 'publisher' });
    await pause(300);
    send({ cmd: 'pubrel', messageId: 77 });
    await pause(300);
    const { cmd, messageId, reasonCode = 'none' } = received.at(-1);
    const present = received[0].sessionPresent;
    console.log(`MQTT ${name}: session present ${present}, PUBREL 77 -> ${cmd} ${messageId}, reason code ${reasonCode}`);
    socket.destroy();
  }
})();
EOF
node main.cjs "$port" | tee seen
cat >expected <<'EOF'
MQTT 5: session present false, PUBREL 77 -> pubcomp 77, reason code 0
MQTT 3.1.1: session present false, PUBREL 77 -> pubcomp 77, reason code none
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
