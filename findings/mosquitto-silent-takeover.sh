#!/usr/bin/env bash
# mosquitto does not tell an MQTT 5 client that another one has taken over its session.
#
# Expected: The broker sends DISCONNECT with 0x8E (session taken over) to the first client before it
#   closes the connection.
# Seen: The connection just ends. The first client cannot tell a second one with its client id from a
#   bad link.
# Version: mosquitto 2.0.11. Source: MQTT 5 section 3.1.4 [MQTT-3.1.4-3].
# Penstock: Looks for the other client with connections of its own after the third such end within a
#   minute (docs/delivery.md, "When another client has our client id").
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
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const session = { protocolVersion: 5, clientId: 'twice', clean: false, properties: { sessionExpiryInterval: 300 }, reconnectPeriod: 0 };
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const first = await connectAsync(url, session);
  const events = [];
  first.on('packetreceive', ({ cmd, reasonCode }) => events.push(`${cmd} ${reasonCode}`));
  first.on('error', ({ message }) => events.push(message));
  first.on('close', () => events.push('close'));
  const second = await connectAsync(url, session);
  await pause(1_000);
  console.log(`the first client sees: ${events.join(', ')}`);
  console.log(`the second client is connected: ${second.connected}`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
the first client sees: close
the second client is connected: true
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
