#!/usr/bin/env bash
# RabbitMQ closes a connection whose client does not read for 30 seconds.
#
# Expected: A client that is busy may stop reading. The server then waits, as long as the client sends heartbeats.
# Seen: Half a minute after its buffers are full the server closes the connection, though heartbeats arrive. Everything that was not
#   acknowledged comes again.
# Version: RabbitMQ 3.10.8. Source: documentation of RabbitMQ, "Networking" (tcp_listen_options.send_timeout) and "Flow Control".
# Penstock: Always reads. When many large messages arrive, it ends the consumer, gives back what has no room, and begins again with a
#   smaller prefetch.
# Needs: rabbitmq-server (about 10 seconds to start, and 40 to wait), Node.js 20, npm.
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
  await admin.assertQueue('q', { durable: true });
  for (let n = 0; n < 60; n++) admin.sendToQueue('q', Buffer.alloc(1_000_000));
  await admin.waitForConfirms();
  const reader = await connect(`${url}?heartbeat=5`);
  reader.on('error', () => {});
  let state = 'open';
  reader.on('close', () => (state = 'closed'));
  const { connection } = reader;
  const receive = connection.recvFrame.bind(connection);
  let reading = true;
  connection.recvFrame = () => reading && receive();
  const channel = await reader.createChannel();
  channel.on('error', () => {});
  await channel.consume('q', () => (reading = false));
  // The heartbeats of the server cannot be read either; those to it leave.
  const alive = setInterval(() => (connection.recvSinceLastCheck = true), 500);
  await pause(20_000);
  console.log(`after 20 s without reading: ${state}`);
  await pause(20_000);
  clearInterval(alive);
  console.log(`after 40 s without reading: ${state}`);
  const { messageCount } = await admin.checkQueue('q');
  console.log(`messages in the queue again: ${messageCount}`);
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
after 20 s without reading: open
after 40 s without reading: closed
messages in the queue again: 60
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
