#!/usr/bin/env bash
# DuckDB extracts a JSON number as the nearest double, even as text.
#
# Expected: "->>" gives the text of a number as it is in the document, so a cast to DECIMAL is exact.
# Seen: A number with a point or an exponent goes through a double: "12345678901234567.89" comes out
#   as "12345678901234568.0". Whole numbers keep all digits.
# Version: DuckDB 1.5.6. Source: RFC 8259 section 6 (precision is up to the implementation);
#   documentation of DuckDB, "JSON Processing Functions".
# Penstock: Reads decimal128 columns of a message exactly (docs/formats.md); take money from a column,
#   not from a json column by "->>".
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
  await show(`'{"price": 12345678901234567.89}' ->> 'price'`);
  await show(`CAST('{"price": 12345678901234567.89}' ->> 'price' AS DECIMAL(20, 2))`);
  await show(`'{"price": 12345678901234567890123}' ->> 'price'`);
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
'{"price": 12345678901234567.89}' ->> 'price' -> 12345678901234568.0
CAST('{"price": 12345678901234567.89}' ->> 'price' AS DECIMAL(20, 2)) -> 12345678901234568.00
'{"price": 12345678901234567890123}' ->> 'price' -> 12345678901234567890123
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
