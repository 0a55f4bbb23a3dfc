#!/usr/bin/env bash
# Bento acknowledges MQTT messages before its output has them.
#
# Expected: Between two MQTT brokers at QoS 1, with a persistent session, a message is acknowledged when the output has
#   delivered it. While the second broker is away, the first keeps the messages, also when Bento ends.
# Seen: All are acknowledged at once. When Bento is killed, or stopped with SIGTERM, they are gone.
# Version: Bento 1.10.0, mosquitto 2.0.11. Source: README of Bento, "Delivery Guarantees" ("at-least-once delivery without
#   needing to persist messages during transit"). Its input hands an acknowledgement to `msg.Ack()`, but never calls
#   SetAutoAckDisabled of paho.mqtt.golang, which then acknowledges when the handler returns. The
#   input of Benthos 4.27.0 differs from it in names only.
# Penstock: Acknowledges after the sink has confirmed (docs/delivery.md).
# Needs: Go 1.25, mosquitto, Node.js 20, npm. The first run compiles Bento, which takes a minute or more.
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

mkdir bento
cat >bento/main.go <<'END'
package main

import (
	"context"

	_ "github.com/warpstreamlabs/bento/public/components/mqtt"
	_ "github.com/warpstreamlabs/bento/public/components/pure"
	"github.com/warpstreamlabs/bento/public/service"
)

func main() { service.RunCLI(context.Background()) }
END
(
  cd bento
  go mod init peer && go get github.com/warpstreamlabs/bento@v1.10.0 && go mod tidy && go build -o ../bento-cli .
) >go.log 2>&1 || cannot "go build failed"
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
echo "Versions: Bento 1.10.0, $(mosquitto -h | sed -n 's/ version//;1p' || true), $(go version | cut -d' ' -f3)"

cat >bento.yaml <<END
http: { enabled: false }
shutdown_timeout: 2s
input:
  mqtt: { urls: ["tcp://127.0.0.1:$from"], client_id: bento, topics: [in], qos: 1, clean_session: false }
output:
  mqtt: { urls: ["tcp://127.0.0.1:$to"], topic: out, qos: 1 }
END
start_bento() {
  ./bento-cli --config bento.yaml >bento.log 2>&1 &
  bento=$!
  pids+=("$bento")
}

cat >main.cjs <<'END'
const { connect, connectAsync } = require('mqtt');
const { setTimeout: sleep } = require('node:timers/promises');
const [step, port, ...rest] = process.argv.slice(2);
const open = (options) => connectAsync(`mqtt://127.0.0.1:${port}`, options);

const steps = {
  // Publishes until one arrives at the other broker, which shows that Bento is ready.
  async ready() {
    const [source, sink] = [await open({}), await connectAsync(`mqtt://127.0.0.1:${rest[0]}`)];
    let arrived = false;
    sink.on('message', () => (arrived = true));
    await sink.subscribeAsync('out', { qos: 1 });
    for (let tries = 0; !arrived && tries < 100; tries += 1) {
      await source.publishAsync('in', 'ready?', { qos: 1 });
      await sleep(100);
    }
    await sleep(500);
    await Promise.all([source.endAsync(), sink.endAsync()]);
    if (!arrived) process.exit(1);
  },
  async publish() {
    const client = await open({});
    for (let seq = 1; seq <= 10; seq += 1) await client.publishAsync('in', `{"seq":${seq}}`, { qos: 1 });
    await client.endAsync();
  },
  // What a topic, or the session of a client, has within two seconds. Nothing is acknowledged, so the session keeps it.
  async count() {
    const seen = new Set();
    const session = rest[0] === 'session' ? { clientId: 'bento', clean: false } : {};
    const client = connect(`mqtt://127.0.0.1:${port}`, { ...session, customHandleAcks: () => {} });
    client.on('packetreceive', ({ cmd, payload }) => {
      if (cmd === 'publish' && payload.includes('seq')) seen.add(String(payload));
    });
    if (rest[0] === 'topic') client.subscribe('out', { qos: 1 });
    await sleep(3_000);
    await client.endAsync(true);
    console.log(seen.size);
  },
};
steps[step]();
END

# Ends Bento with the signal $2 while the output is away, starts it again with the output, and says where the messages are.
try() {
  start_broker "$to"
  start_bento
  node main.cjs ready "$from" "$to" || { cat bento.log && cannot "Bento does not forward"; }
  { kill "$broker" && wait "$broker"; } 2>/dev/null || true
  node main.cjs publish "$from"
  sleep 2
  { kill "-$2" "$bento" && wait "$bento"; } 2>/dev/null || true
  local left
  left=$(node main.cjs count "$from" session)
  start_broker "$to"
  node main.cjs count "$to" topic >arrived &
  local counter=$!
  start_bento
  wait "$counter"
  echo "$1: $left of 10 messages unacknowledged, $(cat arrived) of 10 arrive after another start"
  { kill -9 "$bento" "$broker" && wait "$bento" "$broker"; } 2>/dev/null || true
}

{
  try "killed" 9
  try "stopped with SIGTERM" TERM
} | tee seen
cat >expected <<'END'
killed: 0 of 10 messages unacknowledged, 0 of 10 arrive after another start
stopped with SIGTERM: 0 of 10 messages unacknowledged, 0 of 10 arrive after another start
END
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
