#!/usr/bin/env bash
# Telegraf drops messages over MQTT 5 while the broker of its output is away, and acknowledges them to that of its input.
#
# Expected: At QoS 1 with a persistent session messages wait until outputs.mqtt has delivered them, with `protocol = "5"` as with
#   the default of 3.1.1: the output fails, and the agent tries again.
# Seen: With the default they wait and arrive. With "5" each is dropped with a warning, and acknowledged as delivered: the output
#   asks for a retry after a timeout only, and the client for MQTT 5 says at once that the connection is down.
# Version: Telegraf 1.37.2, mosquitto 2.0.11. Source: README of inputs.mqtt_consumer, max_undelivered_messages ("to ensure data
#   is not lost"); a comment in outputs/mqtt/mqtt.go ("timeout error if the remote broker is down, so let's retry").
# Penstock: Acknowledges after the sink has confirmed, with either version of MQTT (docs/delivery.md).
# Needs: Go 1.25, mosquitto, Node.js 20, npm. The first run compiles Telegraf, which takes a minute or more.
set -euo pipefail
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/sbin:/usr/local/go/bin
command -v mosquitto >/dev/null || cannot "mosquitto is missing (Debian: apt-get install mosquitto)"
command -v go >/dev/null || cannot "Go is missing"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

tags=custom,inputs.mqtt_consumer,outputs.mqtt,parsers.json_v2,serializers.template
GOBIN=$work go install -tags "$tags" github.com/influxdata/telegraf/cmd/telegraf@v1.37.2 2>go.log || cannot "go install failed"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mqtt@5.16.0 || cannot "npm install failed"

from=$(free_port)
to=$(free_port)
start_broker() {
  printf 'listener %s 127.0.0.1\nuser %s\nallow_anonymous true\n' "$1" "$(id -un)" >"$1.conf"
  mosquitto -c "$1.conf" >"$1.log" 2>&1 &
  broker=$!
  pids+=("$broker")
}
start_broker "$from"
echo "Versions: Telegraf 1.37.2, $(mosquitto -h | sed -n 's/ version//;1p' || true), $(go version | cut -d' ' -f3)"

cat >main.cjs <<'END'
const { connect, connectAsync } = require('mqtt');
const { setTimeout: sleep } = require('node:timers/promises');
const [step, port, ...rest] = process.argv.slice(2);

/** Collects the payloads with a seq that come, and acknowledges none, so that a session keeps them. */
function listen(address, options) {
  const client = connect(`mqtt://127.0.0.1:${address}`, { ...options, customHandleAcks: () => {} });
  const seen = new Set();
  client.on('packetreceive', ({ cmd, payload }) => cmd === 'publish' && seen.add(String(payload)));
  return { client, seen };
}

const steps = {
  // Publishes until one arrives at the other broker, which shows that Telegraf is ready.
  async ready() {
    const source = await connectAsync(`mqtt://127.0.0.1:${port}`);
    const { client, seen } = listen(rest[0], {});
    client.subscribe('out', { qos: 1 });
    for (let tries = 0; seen.size === 0 && tries < 100; tries += 1) {
      await source.publishAsync('in', '{"seq":0}', { qos: 1 });
      await sleep(200);
    }
    await sleep(2_000);
    await Promise.all([source.endAsync(), client.endAsync(true)]);
    process.exitCode = seen.size === 0 ? 1 : 0;
  },
  async publish() {
    const client = await connectAsync(`mqtt://127.0.0.1:${port}`);
    for (let seq = 1; seq <= 10; seq += 1) await client.publishAsync('in', `{"seq":${seq}}`, { qos: 1 });
    await client.endAsync();
  },
  // What comes to the topic until all is there, 20 seconds at most.
  async arrived() {
    const { client, seen } = listen(port, {});
    client.subscribe('out', { qos: 1 });
    for (let tries = 0; seen.size < 10 && tries < 200; tries += 1) await sleep(100);
    await client.endAsync(true);
    console.log(seen.size);
  },
  async unacknowledged() {
    const { client, seen } = listen(port, { clientId: 'telegraf', clean: false });
    await sleep(2_000);
    await client.endAsync(true);
    console.log(seen.size);
  },
};
steps[step]();
END

# Stops the broker of the output, publishes, starts it again, and says where the messages are.
try() {
  cat >telegraf.conf <<END
[agent]
  interval = "1s"
  flush_interval = "1s"
  omit_hostname = true
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:$from"]
  topics = ["in"]
  topic_tag = ""
  qos = 1
  client_id = "telegraf"
  persistent_session = true
  data_format = "json_v2"
  [[inputs.mqtt_consumer.json_v2]]
    measurement_name = "m"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "seq"
      type = "int"
[[outputs.mqtt]]
  servers = ["tcp://127.0.0.1:$to"]
  protocol = "$1"
  topic = "out"
  qos = 1
  layout = "non-batch"
  data_format = "template"
  template = '{"seq":{{.Field "seq"}}}'
END
  start_broker "$to"
  sleep 1
  ./telegraf --config telegraf.conf >telegraf.log 2>&1 &
  local telegraf=$!
  pids+=("$telegraf")
  node main.cjs ready "$from" "$to" || { cat telegraf.log && cannot "Telegraf does not forward"; }
  { kill "$broker" && wait "$broker"; } 2>/dev/null || true
  node main.cjs publish "$from"
  sleep 3
  start_broker "$to"
  local arrived
  arrived=$(node main.cjs arrived "$to")
  { kill -9 "$telegraf" "$broker" && wait "$telegraf" "$broker"; } 2>/dev/null || true
  local dropped
  dropped=$(grep -c 'Could not publish message to MQTT server: connection' telegraf.log || true)
  echo "protocol $1: $arrived of 10 arrive, $(node main.cjs unacknowledged "$from") unacknowledged, $dropped dropped in the log"
}

{
  try 3.1.1
  try 5
} | tee seen
cat >expected <<'END'
protocol 3.1.1: 10 of 10 arrive, 0 unacknowledged, 0 dropped in the log
protocol 5: 0 of 10 arrive, 0 unacknowledged, 10 dropped in the log
END
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
