#!/usr/bin/env bash
# A quorum queue of RabbitMQ drops a message whose connection was lost a few times.
#
# Expected: A message that no consumer rejects stays in its queue. The delivery limit is for messages that a consumer cannot process.
# Seen: The end of a channel counts like a rejection. With a limit of 2 the message is gone after three consumers that did nothing
#   but disconnect. Without a dead letter exchange nothing says so. Since 4.0 each quorum queue has a limit of 20.
# Version: RabbitMQ 3.10.8. Source: documentation of RabbitMQ, "Quorum Queues" (poison message handling).
# Penstock: Warns in the connection test of a limit without a dead letter exchange, and in the job of a message that came back often.
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
  await admin.assertQueue('q', { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 } });
  admin.sendToQueue('q', Buffer.from('x'));
  await admin.waitForConfirms();
  for (let attempt = 1; attempt <= 4; attempt++) {
    const channel = await client.createChannel();
    let got = 'nothing';
    await channel.consume('q', ({ properties }) => {
      got = `the message, x-delivery-count ${properties.headers['x-delivery-count'] ?? 'missing'}`;
    });
    await pause(1_000);
    console.log(`consumer ${attempt} gets ${got}`);
    await channel.close();
    await pause(500);
  }
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
consumer 1 gets the message, x-delivery-count missing
consumer 2 gets the message, x-delivery-count 1
consumer 3 gets the message, x-delivery-count 2
consumer 4 gets nothing
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
