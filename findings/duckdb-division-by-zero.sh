#!/usr/bin/env bash
# DuckDB gives NULL, Infinity or NaN for a division by zero, and never an error.
#
# Expected: A division by zero of whole numbers fails, as in PostgreSQL, or all divisions give NULL.
# Seen: "//" and "%" of whole numbers give NULL. "/" is always one of floating point: 5 / 2 is 2.5, 1
#   / 0 is Infinity, 0 / 0 is NaN.
# Version: DuckDB 1.5.6. Source: documentation of DuckDB, "Numeric Functions" and the settings
#   ieee_floating_point_ops and integer_division.
# Penstock: Gives the same, compiled or not (docs/sql.md, "Expressions"). A float that is not finite
#   is written to json as null.
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
  const show = async (expression) => {
    const [[value]] = (await connection.runAndReadAll(`SELECT ${expression}`)).getRowsJson();
    console.log(`${expression} -> ${value}`);
  };
  await show(`5 / 2`);
  await show(`1 // 0`);
  await show(`1 % 0`);
  await show(`1 / 0`);
  await show(`0 / 0`);
  await show(`CAST(1 AS DECIMAL(4, 2)) / 0`);
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
5 / 2 -> 2.5
1 // 0 -> null
1 % 0 -> null
1 / 0 -> Infinity
0 / 0 -> NaN
CAST(1 AS DECIMAL(4, 2)) / 0 -> Infinity
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
