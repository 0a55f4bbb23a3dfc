#!/usr/bin/env bash
# Telegraf confirms MQTT messages that it never wrote to PostgreSQL.
#
# Expected: With QoS 1 and a persistent session a message is acknowledged when its row is committed. A row that PostgreSQL
#   refuses costs that row alone. A lost connection is an error of the temporary kind, after which the batch is written again.
# Seen: One duplicate key, or an abrupt stop of PostgreSQL during COPY, drops the whole batch, and all its messages are
#   acknowledged. With pool_max_conns=2 they are acknowledged before the COPY has begun. Only a clean stop is retried.
# Version: Telegraf 1.37.2, PostgreSQL 15, mosquitto 2.0.11. Source: README of outputs.postgresql, "Error handling" ("temporary
#   errors are things like connection interruption") and "Concurrency"; README of inputs.mqtt_consumer,
#   max_undelivered_messages ("to ensure data is not lost").
# Penstock: Acknowledges after the COMMIT, searches for the row that is refused and writes the others, and repeats after any
#   lost connection (docs/connectors/postgres.md).
# Needs: Go 1.25, mosquitto, PostgreSQL, Node.js 20, npm. The first run compiles Telegraf, which takes a minute or more.
set -euo pipefail
work=$(mktemp -d)
data=$(mktemp -d)
pids=()
server=
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  [ -z "$server" ] || as_user "$server/pg_ctl" -D "$data/rows" -m immediate stop >/dev/null 2>&1 || true
  rm -rf "$work" "$data"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/sbin:/usr/local/go/bin
command -v mosquitto >/dev/null || cannot "mosquitto is missing (Debian: apt-get install mosquitto)"
command -v psql >/dev/null || cannot "PostgreSQL is missing (Debian: apt-get install postgresql)"
command -v go >/dev/null || cannot "Go is missing"
# PostgreSQL does not run as root.
as_user() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
until_true() {
  for _ in $(seq 200); do
    [ "$("$@" 2>/dev/null)" != t ] || return 0
    sleep 0.1
  done
  cat telegraf.log
  cannot "it took too long: $*"
}

tags=custom,inputs.mqtt_consumer,outputs.postgresql,parsers.json_v2
GOBIN=$work go install -tags "$tags" github.com/influxdata/telegraf/cmd/telegraf@v1.37.2 2>go.log || cannot "go install failed"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"

folder=$(dirname "$(command -v initdb || ls -d /usr/lib/postgresql/*/bin/initdb | tail -n 1)")
[ "$(id -u)" != 0 ] || chown postgres "$data"
db=$(free_port)
as_user "$folder/initdb" -D "$data/rows" -U finder -A trust --no-sync >/dev/null
server=$folder
start_postgres() {
  local options="-p $db -c listen_addresses=127.0.0.1 -c unix_socket_directories=$data"
  as_user "$server/pg_ctl" -w -D "$data/rows" -l "$data/log" -o "$options" start >/dev/null
}
sql() {
  psql -qAt "postgresql://finder@127.0.0.1:$db/postgres" -c "$1"
}
start_postgres
sql 'CREATE TABLE readings (time timestamp, seq bigint PRIMARY KEY)'

port=$(free_port)
cat >mosquitto.conf <<EOF
listener $port 127.0.0.1
user $(id -un)
allow_anonymous true
EOF
mosquitto -c mosquitto.conf >broker.log 2>&1 &
pids+=("$!")
echo "Versions: Telegraf 1.37.2, $("$server/postgres" --version), $(mosquitto -h | sed -n 's/ version//;1p' || true), $(go version | cut -d' ' -f3)"

cat >main.cjs <<'EOF'
const { connect, connectAsync } = require('mqtt');
const [url, step, from, to] = process.argv.slice(2);

const steps = {
  async publish() {
    const publisher = await connectAsync(url);
    for (let seq = Number(from); seq <= Number(to); seq += 1)
      await publisher.publishAsync('readings', JSON.stringify({ seq }), { qos: 1 });
    await publisher.endAsync();
  },
  // What the broker still has for the session of Telegraf.
  unacknowledged() {
    let count = 0;
    const session = connect(url, { clientId: 'telegraf', clean: false });
    session.on('message', () => (count += 1));
    setTimeout(() => (console.log(count), session.end()), 1_500);
  },
};
steps[step]();
EOF
mqtt() {
  node main.cjs "mqtt://127.0.0.1:$port" "$@"
}

# A batch is written when ten messages have arrived, never by the clock.
start_telegraf() {
  cat >telegraf.conf <<EOF
[agent]
  interval = "1s"
  flush_interval = "300s"
  metric_batch_size = 10
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:$port"]
  topics = ["readings"]
  topic_tag = ""
  qos = 1
  client_id = "telegraf"
  persistent_session = true
  data_format = "json_v2"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "readings"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "seq"
      type = "int"
[[outputs.postgresql]]
  connection = "postgresql://finder@127.0.0.1:$db/postgres?sslmode=disable&pool_max_conns=$1"
EOF
  ./telegraf --config telegraf.conf >telegraf.log 2>&1 &
  telegraf=$!
  pids+=("$telegraf")
  until_true said "Connected .tcp"
  sleep 1
}
said() {
  ! grep -q "$1" telegraf.log || echo t
}
# Ends Telegraf as a crash would, and says where its ten messages are.
report() {
  { kill -9 "$telegraf" && wait "$telegraf"; } 2>/dev/null || true
  sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" >/dev/null
  local left
  left=$(mqtt unacknowledged)
  echo "$1: $(sql 'SELECT count(*) FROM readings WHERE seq <= 10') of 10 rows, $left of 10 messages unacknowledged"
  sql 'TRUNCATE readings'
}
# Another transaction holds the table, so that COPY waits.
hold_copy() {
  sql 'BEGIN; LOCK TABLE readings IN SHARE MODE; SELECT pg_sleep(300)' >/dev/null 2>&1 &
  pids+=("$!")
  until_true sql "SELECT true FROM pg_locks WHERE mode = 'ShareLock' AND relation = 'readings'::regclass AND granted"
  mqtt publish 1 10
  until_true sql "SELECT true FROM pg_stat_activity WHERE application_name = 'telegraf' AND wait_event_type = 'Lock'"
}
# Once the next batch is written the one before is settled. SIGUSR1 asks Telegraf to write now, also what it has kept.
next_batch() {
  mqtt publish 11 20
  for _ in $(seq 30); do
    kill -USR1 "$telegraf"
    sleep 0.5
    [ "$(sql 'SELECT true FROM readings WHERE seq = 20')" != t ] || break
  done
  sleep 2
}

{
  start_telegraf 1
  sql "INSERT INTO readings VALUES (now(), 5)"
  mqtt publish 1 10
  until_true said "write error"
  next_batch
  report "one key taken"

  start_telegraf 1
  hold_copy
  as_user "$server/pg_ctl" -D "$data/rows" -m immediate stop >/dev/null
  start_postgres
  next_batch
  report "PostgreSQL stopped abruptly"

  start_telegraf 1
  hold_copy
  as_user "$server/pg_ctl" -D "$data/rows" -m fast stop >/dev/null
  start_postgres
  next_batch
  report "PostgreSQL stopped cleanly"

  start_telegraf 1
  hold_copy
  report "Telegraf killed, pool_max_conns=1"

  start_telegraf 2
  hold_copy
  report "Telegraf killed, pool_max_conns=2"
} | tee seen
cat >expected <<'EOF'
one key taken: 1 of 10 rows, 0 of 10 messages unacknowledged
PostgreSQL stopped abruptly: 0 of 10 rows, 0 of 10 messages unacknowledged
PostgreSQL stopped cleanly: 10 of 10 rows, 0 of 10 messages unacknowledged
Telegraf killed, pool_max_conns=1: 0 of 10 rows, 10 of 10 messages unacknowledged
Telegraf killed, pool_max_conns=2: 0 of 10 rows, 0 of 10 messages unacknowledged
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
