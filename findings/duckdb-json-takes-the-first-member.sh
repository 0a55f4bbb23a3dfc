#!/usr/bin/env bash
# DuckDB takes the first of two JSON members with one name; JSON.parse takes the last.
#
# Expected: Two parsers in one pipeline see the same value, by custom the last.
# Seen: "->>" gives the first. A cast to a STRUCT fails with "duplicate key" instead.
# Version: DuckDB 1.5.6. Source: RFC 8259 section 4 (names should be unique; many implementations
#   report the last).
# Penstock: The last member counts, in columns, json columns and unstructured documents, which never hold
#   two (docs/formats.md). A text that a query casts to JSON is as in DuckDB.
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
  await show(`'{"level": 1, "level": 2}' ->> 'level'`);
  await show(`json_extract('{"level": 1, "level": 2}', '$.level')`);
  const cast = `SELECT CAST(CAST('{"level": 1, "level": 2}' AS JSON) AS STRUCT(level INTEGER))`;
  await connection.run(cast).then(
    () => console.log('cast to STRUCT: no error'),
    ({ message }) => console.log(`cast to STRUCT: ${/duplicate key/.test(message) ? 'duplicate key' : message}`),
  );
  console.log(`JSON.parse: ${JSON.parse('{"level": 1, "level": 2}').level}`);
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
'{"level": 1, "level": 2}' ->> 'level' -> 1
json_extract('{"level": 1, "level": 2}', '$.level') -> 1
cast to STRUCT: duplicate key
JSON.parse: 2
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
