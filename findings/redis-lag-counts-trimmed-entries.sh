#!/usr/bin/env bash
# The lag of a consumer group counts entries that were trimmed, and never returns to 0.
#
# Expected: lag is "the number of entries in the stream that are still waiting to be delivered to the
#   group's consumers, or a NULL when that number can't be determined" (XINFO GROUPS).
# Seen: 10 entries, of which the group reads 5 and XTRIM leaves 3. The lag is 5. When the group has read
#   all 3 the lag is 2, though no entry waits. An alarm on the lag never ends. Valkey 8.1.8 says 5, then 0.
# Version: Redis 7.0.15. Source: documentation of XINFO GROUPS, "Consumer group lag".
# Penstock: Compares IDs too, and takes the difference as the number of entries that were lost
#   (docs/connectors/redis.md, "Delivery").
# Needs: redis-server and redis-cli.
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
command -v redis-cli >/dev/null || cannot "redis-cli is missing (Debian: apt-get install redis-tools)"
redis-server --port 0 --unixsocket "$work/socket" --dir "$work" --save '' >server.log 2>&1 &
pids+=("$!")
cli() { redis-cli -s "$work/socket" "$@"; }
for _ in $(seq 100); do cli ping >/dev/null 2>&1 && break || sleep 0.1; done
cli ping >/dev/null || cannot "the server does not start"

lag() { cli xinfo groups stream | grep -A1 '^lag$' | tail -1; }
for n in $(seq 10); do cli xadd stream '*' n "$n" >/dev/null; done
cli xgroup create stream group 0 >/dev/null
cli xreadgroup group group reader count 5 streams stream '>' >/dev/null
cli xtrim stream maxlen 3 >/dev/null
{
  echo "entries that wait: $(cli xlen stream), lag: $(lag)"
  cli xreadgroup group group reader count 10 streams stream '>' >/dev/null
  left=$(cli xreadgroup group group reader count 10 streams stream '>')
  echo "entries that wait: ${left:-none}, lag: $(lag)"
} >seen
cat >expected <<EOF
entries that wait: 3, lag: 5
entries that wait: none, lag: 2
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
