#!/usr/bin/env bash
# DuckDB rounds a sum of integers, and an interval, when it writes Parquet.
#
# Expected: COPY … TO a Parquet file and reading it again gives the values back, or the COPY is refused.
# Seen: sum(BIGINT) is a HUGEINT, which Parquet has no type for; COPY writes it as a DOUBLE without a word, so that a sum above
#   2^53 comes back as another number. An INTERVAL comes back without its microseconds. An exact type in the query keeps both.
# Version: DuckDB 1.5.6. Source: documentation of DuckDB, "Parquet Files", and Apache Parquet's LogicalTypes.md (INTERVAL counts
#   milliseconds; no integer is wider than 64 bits).
# Penstock: Keeps partial sums of open windows in Parquet. It writes such columns as texts and reads them back with a cast
#   (src/sql/engine/stored-types.ts).
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
  const rows = async (sql) => (await connection.runAndReadAll(sql)).getRowsJson();
  const meter = 'SELECT sum(pulses) AS total FROM (VALUES (9007199254740992::BIGINT), (1::BIGINT)) AS t(pulses)';
  const round = async (query) => {
    const [[type, value]] = await rows(`SELECT typeof(total), CAST(total AS VARCHAR) FROM (${query})`);
    await connection.run(`COPY (${query}) TO 'sums.parquet'`);
    const [[typeRead, read]] = await rows("SELECT typeof(total), CAST(total AS VARCHAR) FROM 'sums.parquet'");
    console.log(`${type} ${value} -> ${typeRead} ${read}`);
  };
  await round(meter);
  await round(`SELECT CAST(total AS DECIMAL(38, 0)) AS total FROM (${meter})`);
  await round("SELECT INTERVAL '1.000250 seconds' AS total");
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
HUGEINT 9007199254740993 -> DOUBLE 9007199254740992.0
DECIMAL(38,0) 9007199254740993 -> DECIMAL(38,0) 9007199254740993
INTERVAL 00:00:01.00025 -> INTERVAL 00:00:01
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
