#!/usr/bin/env bash
# RabbitMQ reveals the arguments of a queue when a client declares it differently.
#
# Expected: By AMQP 0-9-1 a client learns of a queue only whether it exists, with the numbers of messages and consumers.
# Seen: A declaration that differs is refused with the name and the value of the first argument that differs, and changes nothing. So
#   repeated declarations find out all of them.
# Version: RabbitMQ 3.10.8. Source: documentation of RabbitMQ, "Queues" (property equivalence).
# Penstock: Finds the type, the delivery limit and the dead letter exchange of a queue in the connection test.
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
  const admin = await client.createChannel();
  const wanted = { 'x-queue-type': 'quorum', 'x-delivery-limit': 5, 'x-dead-letter-exchange': 'dead' };
  await admin.assertQueue('q', { durable: true, arguments: wanted });
  const found = {};
  for (let attempt = 0; attempt < 5; attempt++) {
    const channel = await client.createChannel();
    channel.on('error', () => {});
    const declaring = channel.assertQueue('q', { durable: true, arguments: found });
    const refusal = await declaring.then(() => null, ({ message }) => message);
    if (refusal === null) break;
    const [, name, value, type] = /inequivalent arg '([^']+)'.*is the value '(.*)' of type '(\w+)'/.exec(refusal) ?? [];
    console.log(`${name}: ${value} (${type})`);
    found[name] = type === 'longstr' ? value : Number(value);
  }
  console.log(`accepted with ${Object.keys(found).length} arguments`);
  process.exit();
})();
EOF
node main.cjs "amqp://127.0.0.1:$port" | tee seen
cat >expected <<'EOF'
x-dead-letter-exchange: dead (longstr)
x-queue-type: quorum (longstr)
x-delivery-limit: 5 (byte)
accepted with 3 arguments
EOF
if diff expected seen; then
  echo "Still as described."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
