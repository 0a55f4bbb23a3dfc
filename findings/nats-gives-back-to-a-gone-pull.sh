#!/usr/bin/env bash
# nats-server sends a message that was given back to a pull whose client is gone, and another one twice as if it were new.
#
# Expected: A client pulls 100 messages of which five exist, leaves, and three of them are given back with -NAK. The next client that
#   pulls gets these three, each as its second delivery.
# Seen: The first of the three is missing: the server spent it on the pull of the client that is gone, so it comes only after the
#   acknowledgement wait. The last one comes twice, once with delivery count 1. With a delay beyond the end of that pull
#   (-NAK {"delay": …}) all is well.
# Version: nats-server 2.9.10. Source: documentation of NATS, JetStream consumers: a -NAK is redelivered; a pull without
#   interest does not count.
# Penstock: Pulls for 2 seconds at a time, and gives messages back with a delay until its last pull is over.
# Needs: nats-server, Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
cleanup() {
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/sbin
command -v nats-server >/dev/null || cannot "nats-server is missing (Debian: apt-get install nats-server)"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}

echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 ||
  cannot "npm install failed"
port=$(free_port)
cat >nats.conf <<END
listen: "127.0.0.1:$port"
jetstream { store_dir: "$work/store" }
END
echo "Versions: $(nats-server --version | tr -d :), @nats-io/jetstream $(node -p 'require("./node_modules/@nats-io/jetstream/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { connect: dial } = require('node:net');
const { connect, createInbox } = require('@nats-io/transport-node');
const { jetstream, jetstreamManager } = require('@nats-io/jetstream');
const port = Number(process.argv[2]);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const server = spawn('nats-server', ['-c', 'nats.conf'], { stdio: 'ignore' });
process.on('exit', () => server.kill());
async function listening() {
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    const open = await once(socket, 'connect').then(() => true, () => false);
    socket.destroy();
    if (open) return;
    await pause(50);
  }
}
const client = () => connect({ servers: `127.0.0.1:${port}`, reconnect: false });

async function trial(name, stream, expiresMs, word) {
  const admin = await client();
  const manager = await jetstreamManager(admin);
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`] });
  await manager.consumers.add(stream, { durable_name: 'c', ack_policy: 'explicit', ack_wait: 30e9, max_ack_pending: -1 });
  const pull = async (ms, taken) => {
    const reader = await client();
    const inbox = createInbox();
    const subscription = reader.subscribe(inbox, { callback: (_error, message) => message.reply && taken(message) });
    const request = JSON.stringify({ batch: 100, expires: ms * 1e6 });
    reader.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.c`, request, { reply: inbox });
    await reader.flush();
    return { reader, subscription };
  };
  const first = [];
  const { reader, subscription } = await pull(expiresMs, (message) => first.push(message));
  for (let number = 0; number < 5; number++) await jetstream(admin).publish(`${stream}.a`, `m${number}`);
  while (first.length < 5) await pause(5);
  for (const message of first.slice(0, 2)) message.respond('+ACK');
  await subscription.drain();
  for (const message of first.slice(2)) message.respond(word);
  await reader.flush();
  await reader.close();
  await pause(200);
  const second = [];
  await pull(30_000, (message) => {
    second.push(`${message.string()} (delivery ${message.reply.split('.')[4]})`);
    message.respond('+ACK');
  });
  await pause(4_000);
  console.log(`${name}: ${second.join(', ')}`);
}

(async () => {
  await listening();
  await trial('given back at once', 'A', 30_000, '-NAK');
  await trial('given back after the end of the pull', 'B', 2_000, '-NAK {"delay":2500000000}');
  process.exit();
})();
EOF
node main.cjs "$port" | tee seen
cat >expected <<'END'
given back at once: m3 (delivery 2), m4 (delivery 2), m4 (delivery 1)
given back after the end of the pull: m2 (delivery 2), m3 (delivery 2), m4 (delivery 2)
END
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
