#!/usr/bin/env bash
# DuckDB returns no rows from a statement that was prepared while its table was empty.
#
# Expected: A prepared statement sees the rows that are in the table when it is executed.
# Seen: SELECT with a WHERE, prepared before the first row came, gives nothing. The same text executed
#   afresh gives the row. With the optimizer statistics_propagation disabled both do.
# Version: DuckDB 1.5.6. Source: duckdb/duckdb issue 23704 and pull request 24696 (statistics become
#   part of the plan).
# Penstock: Prepares each transform on an empty table, so it disables statistics_propagation with the
#   other optimizers.
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
  const rows = async (run) => JSON.stringify((await run).getRowsJson());
  const look = async (table) => {
    const query = `SELECT celsius FROM ${table} WHERE celsius > 60`;
    await connection.run(`CREATE TEMP TABLE ${table} (celsius INTEGER)`);
    const prepared = await connection.prepare(query);
    await connection.run(`INSERT INTO ${table} VALUES (95)`);
    console.log(`prepared before: ${await rows(prepared.runAndReadAll())}, afresh: ${await rows(connection.runAndReadAll(query))}`);
  };
  await look('readings');
  await connection.run("SET disabled_optimizers = 'statistics_propagation'");
  console.log('without statistics_propagation:');
  await look('others');
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
prepared before: [], afresh: [[95]]
without statistics_propagation:
prepared before: [[95]], afresh: [[95]]
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
