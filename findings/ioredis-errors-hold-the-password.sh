#!/usr/bin/env bash
# The error of a refused login holds the password, and shows it when it is printed.
#
# Expected: a rejected promise or an error event holds the words of the server, which name no password.
# Seen: ioredis adds the command with its arguments to each error. The error of AUTH has the password in
#   command.args, also if the password is an option and the error comes as an event. console.error and
#   loggers that print the properties of an error write it into the log.
# Version: ioredis 6.0.0 with Redis 7.0.15. Source: README of ioredis, "Error Handling".
# Penstock: Keeps the words of the server only (src/connectors/redis/connection/client.ts).
# Needs: redis-server, Node.js 20, npm.
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
command -v redis-server >/dev/null || cannot "redis-server is missing (Debian: apt-get install redis-server)"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts ioredis@6.0.0 || cannot "npm install failed"
redis-server --port 0 --unixsocket "$work/socket" --dir "$work" --save '' --requirepass right >server.log 2>&1 &
pids+=("$!")
for _ in $(seq 100); do [ -S socket ] && break || sleep 0.1; done
[ -S socket ] || cannot "the server does not start"

cat >try.js <<'EOF'
import { inspect } from 'node:util';
import { Redis } from 'ioredis';
const password = 'a-mistyped-secret';
const client = new Redis({ path: process.argv[2], password, protocol: 2, retryStrategy: null });
const report = (where, error) =>
  console.log(`${where}: the message names it: ${error.message.includes(password)}, printed: ${inspect(error).includes(password)}`);
client.once('error', (error) => report('error event', error));
await client.auth(password).catch((error) => report('auth()', error));
client.disconnect();
EOF
node try.js "$work/socket" | sort >seen
cat >expected <<EOF
auth(): the message names it: false, printed: true
error event: the message names it: false, printed: true
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
