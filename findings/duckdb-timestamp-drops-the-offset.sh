#!/usr/bin/env bash
# DuckDB ignores the UTC offset of a text that is cast to TIMESTAMP, but not to TIMESTAMP_NS.
#
# Expected: "08:15+02:00" is 06:15 in UTC for every timestamp type, or for none.
# Seen: TIMESTAMP, TIMESTAMP_MS and TIMESTAMP_S keep 08:15 and drop the offset. TIMESTAMP_NS gives
#   06:15, as TIMESTAMPTZ does.
# Version: DuckDB 1.5.6. Source: documentation of DuckDB, "Timestamp Types" (TIMESTAMP is "naive", the
#   format of a literal has an offset).
# Penstock: Casts as DuckDB does, compiled or not. A column of type timestamp honours the offset of a
#   message in every format; in SQL cast to TIMESTAMPTZ first.
# Needs: Node.js 20, npm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @duckdb/node-api@1.5.6-r.1 || cannot "npm install failed"
echo "Versions: DuckDB $(node -p 'require("@duckdb/node-api").version()'), @duckdb/node-api $(node -p 'require("./node_modules/@duckdb/node-api/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { DuckDBInstance } = require('@duckdb/node-api');

(async () => {
  const connection = await (await DuckDBInstance.create(':memory:')).connect();
  await connection.run("SET TimeZone = 'UTC'");
  const show = async (expression) => {
    const [[value]] = (await connection.runAndReadAll(`SELECT ${expression}`)).getRowsJson();
    console.log(`${expression} -> ${value}`);
  };
  for (const type of ['TIMESTAMP', 'TIMESTAMP_MS', 'TIMESTAMP_S', 'TIMESTAMP_NS', 'TIMESTAMPTZ']) {
    await show(`CAST('2026-01-31T08:15:00+02:00' AS ${type})`);
  }
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
CAST('2026-01-31T08:15:00+02:00' AS TIMESTAMP) -> 2026-01-31 08:15:00
CAST('2026-01-31T08:15:00+02:00' AS TIMESTAMP_MS) -> 2026-01-31 08:15:00
CAST('2026-01-31T08:15:00+02:00' AS TIMESTAMP_S) -> 2026-01-31 08:15:00
CAST('2026-01-31T08:15:00+02:00' AS TIMESTAMP_NS) -> 2026-01-31 06:15:00
CAST('2026-01-31T08:15:00+02:00' AS TIMESTAMPTZ) -> 2026-01-31 06:15:00+00
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
