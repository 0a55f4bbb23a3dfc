#!/usr/bin/env bash
# RabbitMQ confirms messages for a stream that starts, and does not store them.
#
# Expected: A message that is confirmed is stored. While its queue cannot take it, the confirmation waits or is negative.
# Seen: After a crash and restart of the server the stream is down for a while. A message for it is confirmed at once. With mandatory it
#   comes back as one that no queue takes, though the stream is declared.
# Version: RabbitMQ 3.10.8. Source: documentation of RabbitMQ, "Consumer Acknowledgements and Publisher Confirms" (when will published
#   messages be confirmed); AMQP 0-9-1, basic.publish (mandatory).
# Penstock: Publishes with mandatory. For a message that comes back it looks whether the queue exists, and tries again later if it does.
# Needs: rabbitmq-server (about 10 seconds to start), Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}" "${broker:-}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
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
start_server() {
  HOME=$work ERL_EPMD_PORT=$names ERL_EPMD_ADDRESS=127.0.0.1 RABBITMQ_NODENAME=finding$names@localhost \
    RABBITMQ_DIST_PORT=$distribution RABBITMQ_MNESIA_BASE=$work/mnesia RABBITMQ_LOG_BASE=$work/log RABBITMQ_LOGS=- \
    RABBITMQ_CONFIG_FILE=$work/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$work/none RABBITMQ_PID_FILE=$work/pid \
    RABBITMQ_ENABLED_PLUGINS_FILE=$work/enabled_plugins RABBITMQ_GENERATED_CONFIG_DIR=$work/generated \
    RABBITMQ_FEATURE_FLAGS_FILE=$work/feature_flags "$server" >broker.log 2>&1 &
  broker=$!
  until_open "$port"
}
distribution=$(free_port)
start_server
pids+=("$mapper")
echo "Versions: RabbitMQ $(basename "$(dirname "$(dirname "$server")")" | cut -d - -f 2), amqplib $(node -p 'require("./node_modules/amqplib/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { connect } = require('amqplib');

(async () => {
  const client = await connect(process.argv[2]);
  const channel = await client.createConfirmChannel();
  if (process.argv[3] === 'declare') {
    await channel.assertQueue('s', { durable: true, arguments: { 'x-queue-type': 'stream' } });
    channel.sendToQueue('s', Buffer.from('x'));
    await channel.waitForConfirms();
    process.exit();
  }
  channel.on('return', ({ fields }) => console.log(`mandatory message: ${fields.replyText}`));
  for (const mandatory of [false, true]) {
    channel.sendToQueue('s', Buffer.from('x'), { mandatory });
    await channel.waitForConfirms();
    console.log(`${mandatory ? 'mandatory' : 'ordinary'} message: confirmed`);
  }
  channel.on('error', () => {});
  await channel.checkQueue('s').catch(({ message }) => console.log(`the stream: ${/is down or inaccessible/.exec(message) ?? message}`));
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" declare
kill -9 "$(cat pid)"
wait "$broker" 2>/dev/null || true
while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do sleep 0.1; done
start_server
node main.cjs "amqp://127.0.0.1:$port" publish | tee seen
cat >expected <<'EOF'
ordinary message: confirmed
mandatory message: NO_ROUTE
mandatory message: confirmed
the stream: is down or inaccessible
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
