#!/usr/bin/env bash
# DuckDB takes NaN, Infinity and a trailing comma for JSON, and writes NaN itself.
#
# Expected: A value of type JSON is a document that any JSON parser reads.
# Seen: json_valid says true for NaN and the cast to JSON keeps {"a": 1,}. to_json of a NaN is NaN,
#   which JSON.parse refuses.
# Version: DuckDB 1.5.6. Source: RFC 8259 sections 4 and 6; documentation of DuckDB, "JSON Overview".
# Penstock: Parses each json column before it writes it; text that is not JSON makes a bad row. Its
#   JSON reader refuses both (docs/formats.md).
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
  await show(`json_valid('NaN')`);
  await show(`json_valid('-Infinity')`);
  await show(`CAST('{"a": 1,}' AS JSON)`);
  await show(`to_json(CAST('NaN' AS DOUBLE))`);
  await show(`to_json({celsius: CAST('inf' AS DOUBLE)})`);
  const [[text]] = (await connection.runAndReadAll("SELECT to_json({celsius: CAST('NaN' AS DOUBLE)})")).getRowsJson();
  try {
    JSON.parse(text);
    console.log('JSON.parse reads it');
  } catch ({ name }) {
    console.log(`JSON.parse: ${name}`);
  }
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
json_valid('NaN') -> true
json_valid('-Infinity') -> true
CAST('{"a": 1,}' AS JSON) -> {"a": 1,}
to_json(CAST('NaN' AS DOUBLE)) -> NaN
to_json({celsius: CAST('inf' AS DOUBLE)}) -> {"celsius":Infinity}
JSON.parse: SyntaxError
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
