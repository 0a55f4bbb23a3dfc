#!/usr/bin/env bash
# mosquitto restores a persistent session after a restart without its shared subscriptions.
#
# Expected: With "persistence true" a session keeps all its subscriptions over a restart in good
#   order.
# Seen: The session is there (session present 1) with what was queued before. A plain subscription
#   still works, a $share one is gone: nothing published after the restart arrives.
# Version: mosquitto 2.0.11. Source: MQTT 5 section 4.1 (subscriptions are part of the session state),
#   section 4.8.2.
# Penstock: Uses ordinary subscriptions, of which each task handles its share. For a $share topic of the
#   user's own it detects the loss by the UNSUBACK of a spare subscription (mqtt_shared_forgotten).
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
persistence true
persistence_location $work/
EOF
start_broker
echo "Versions: $(mosquitto -h | sed -n 's/ version//;1p' || true), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync, connect } = require('mqtt');
const [url, step] = process.argv.slice(2);
const session = (clientId) => ({
  protocolVersion: 5,
  clientId,
  clean: false,
  properties: { sessionExpiryInterval: 300 },
});
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const publish = async (text) => {
  const publisher = await connectAsync(url);
  await publisher.publishAsync('readings', text, { qos: 1 });
  await publisher.endAsync();
};

const steps = {
  async before() {
    for (const [clientId, filter] of [['plain', 'readings'], ['shared', '$share/group/readings']]) {
      const client = await connectAsync(url, session(clientId));
      await client.subscribeAsync(filter, { qos: 1 });
      await client.endAsync();
    }
    await publish('before the restart');
  },
  async after() {
    await publish('after the restart');
    for (const clientId of ['plain', 'shared']) {
      const received = [];
      let present;
      const client = connect(url, session(clientId));
      client.on('connect', ({ sessionPresent }) => (present = sessionPresent));
      client.on('message', (topic, payload) => received.push(payload.toString()));
      await pause(500);
      await publish('while connected');
      await pause(500);
      console.log(`${clientId}: session present ${present}, received: ${received.join(', ')}`);
      await client.endAsync();
    }
  },
};
steps[step]();
EOF
node main.cjs "mqtt://127.0.0.1:$port" before
kill "$broker" && wait "$broker" || true
start_broker
node main.cjs "mqtt://127.0.0.1:$port" after | tee seen
cat >expected <<'EOF'
plain: session present true, received: before the restart, after the restart, while connected
shared: session present true, received: before the restart
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
