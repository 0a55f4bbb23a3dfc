#!/usr/bin/env bash
# amqplib opens a channel in the middle of a message of the one before.
#
# Expected: After the server has closed a channel, a new one can be opened on the same connection.
# Seen: A message that is too large makes the server close the channel while parts of a second one wait to be sent. The new channel
#   has the same number, and its first frame leaves before those parts: the server takes it for an error and closes the
#   connection. With a pause in between it works.
# Version: amqplib 2.3.1, RabbitMQ 3.10.8. Source: lib/connection.js (releaseChannel, freshChannel) and lib/mux.js; AMQP 0-9-1, section
#   2.2.6 (channels).
# Penstock: Opens the new channel when everything that was written on the old one has left.
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
max_message_size = 15000000
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
  const attempt = async (ms) => {
    const client = await connect(url);
    let said = 'nothing';
    client.on('error', ({ message }) => (said = message.replace(/ with message.*/s, '')));
    const channel = await client.createConfirmChannel();
    channel.on('error', () => {});
    const closed = new Promise((resolve) => channel.on('close', resolve));
    for (let n = 0; n < 2; n++) channel.sendToQueue('q', Buffer.alloc(60_000_000));
    await closed;
    if (ms > 0) await pause(ms);
    const opened = await client.createChannel().then(() => 'opened', () => 'lost');
    console.log(`new channel after ${ms} ms: ${opened}; the connection says ${said}`);
    await client.close().catch(() => {});
  };
  await attempt(0);
  await attempt(2_000);
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
new channel after 0 ms: lost; the connection says Connection closed: 505 (UNEXPECTED-FRAME)
new channel after 2000 ms: opened; the connection says nothing
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
