#!/usr/bin/env bash
# RabbitMQ replies to a QoS 2 message with the PUBACK of QoS 1.
#
# Expected: PUBREC, then PUBCOMP; or the broker refuses QoS 2 in a way that a publisher sees.
# Seen: A subscription for QoS 2 is granted 1. A message of QoS 2 gets a PUBACK, and subscribers get
#   it at QoS 1. MQTT.js takes the PUBACK for the end of the exchange.
# Version: RabbitMQ 3.10.8. Source: MQTT 3.1.1 section 3.3.4; documentation of RabbitMQ, "MQTT Plugin"
#   (lists QoS 0 and 1).
# Penstock: Takes the PUBACK for a confirmation and warns with mqtt_qos_downgraded (docs/delivery.md,
#   "When a broker does less than a table asks for").
# Needs: rabbitmq-server (about half a minute to start), Node.js 20, npm.
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
server=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server 2>/dev/null | head -n 1) || true
[ -n "$server" ] || cannot "rabbitmq-server is missing (Debian: apt-get install rabbitmq-server)"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
until_open() {
  for _ in $(seq 1200); do
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  cat broker.log
  cannot "the broker does not start"
}

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"
port=$(free_port)
names=$(free_port)
cat >rabbitmq.conf <<EOF
listeners.tcp = none
mqtt.listeners.tcp.1 = 127.0.0.1:$port
mqtt.allow_anonymous = true
EOF
echo '[rabbitmq_mqtt].' >enabled_plugins
# Erlang's port mapper, which would otherwise be started as a daemon that outlives this script.
epmd -port "$names" -address 127.0.0.1 &
mapper=$!
sleep 1
HOME=$work ERL_EPMD_PORT=$names ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=finding$names@localhost \
  RABBITMQ_DIST_PORT=$(free_port) RABBITMQ_MNESIA_BASE=$work/mnesia RABBITMQ_LOG_BASE=$work/log RABBITMQ_LOGS=- \
  RABBITMQ_CONFIG_FILE=$work/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$work/none RABBITMQ_PID_FILE=$work/pid \
  RABBITMQ_ENABLED_PLUGINS_FILE=$work/enabled_plugins RABBITMQ_GENERATED_CONFIG_DIR=$work/generated \
  RABBITMQ_FEATURE_FLAGS_FILE=$work/feature_flags "$server" >broker.log 2>&1 &
pids+=("$!" "$mapper")
until_open "$port"
echo "Versions: RabbitMQ $(basename "$(dirname "$(dirname "$server")")" | cut -d - -f 2), MQTT.js $(node -p 'require("./node_modules/mqtt/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connectAsync } = require('mqtt');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const subscriber = await connectAsync(url);
  const arrived = [];
  subscriber.on('message', (topic, payload, { qos }) => arrived.push(`QoS ${qos}`));
  const [{ qos }] = await subscriber.subscribeAsync('readings', { qos: 2 });
  console.log(`SUBSCRIBE at QoS 2: granted ${qos}`);
  const publisher = await connectAsync(url);
  const packets = [];
  publisher.on('packetreceive', ({ cmd }) => packets.push(cmd));
  publisher.publish('readings', 'x', { qos: 2 }, (error) => packets.push(error ? error.message : 'callback'));
  await pause(2_000);
  console.log(`PUBLISH at QoS 2: ${packets.join(', ')}`);
  console.log(`delivered: ${arrived}`);
  process.exit();
})();
EOF
node main.cjs "mqtt://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
SUBSCRIBE at QoS 2: granted 1
PUBLISH at QoS 2: puback, callback
delivered: QoS 1
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
