#!/usr/bin/env bash
# A stream of RabbitMQ sends more messages than the prefetch allows.
#
# Expected: With a prefetch of 10 the server sends 10 messages, and more when some are acknowledged.
# Seen: It sends whole chunks, as the messages were stored, though none is acknowledged.
# Version: RabbitMQ 3.10.8. Source: documentation of RabbitMQ, "Streams" (consuming, prefetch); AMQP 0-9-1, basic.qos.
# Penstock: Keeps what exceeds the window, up to a number of bytes; beyond that it ends the consumer and begins it again where it was.
# Needs: rabbitmq-server (about 10 seconds to start), Node.js 20, npm.
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
npm install --silent --no-audit --no-fund --ignore-scripts amqplib@2.3.1 || cannot "npm install failed"
port=$(free_port)
names=$(free_port)
cat >rabbitmq.conf <<EOF
listeners.tcp.1 = 127.0.0.1:$port
EOF
echo '[].' >enabled_plugins
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
echo "Versions: RabbitMQ $(basename "$(dirname "$(dirname "$server")")" | cut -d - -f 2), amqplib $(node -p 'require("./node_modules/amqplib/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connect } = require('amqplib');
const url = process.argv[2];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

(async () => {
  const client = await connect(url);
  const admin = await client.createConfirmChannel();
  await admin.assertQueue('s', { durable: true, arguments: { 'x-queue-type': 'stream' } });
  for (let n = 0; n < 3_000; n++) admin.sendToQueue('s', Buffer.from(String(n)));
  await admin.waitForConfirms();
  const channel = await client.createChannel();
  await channel.prefetch(10);
  let count = 0;
  await channel.consume('s', () => (count += 1), { arguments: { 'x-stream-offset': 'first' } });
  await pause(2_000);
  console.log(`prefetch 10, nothing acknowledged: ${count > 10 ? 'more than 10' : count} messages`);
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
prefetch 10, nothing acknowledged: more than 10 messages
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
