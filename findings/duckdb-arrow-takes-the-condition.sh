#!/usr/bin/env bash
# In DuckDB ->> takes all that stands before it, even a condition and AND.
#
# Guess: With PostgreSQL's operators ->> binds tighter than =, AND and NOT, so that
#   "a->>'x' = '1' AND b->>'y' = '2'" compares two members.
# Seen: The first ->> is as guessed. The second is applied to "a->>'x' = '1' AND b": a condition
#   as JSON. It fails for every row whose b is an object, and is NULL where b is a boolean.
# Version: DuckDB 1.5.6. Source: PostgreSQL manual, 4.1.6 "Operator Precedence" (other operators bind
#   tighter than comparisons); DuckDB's documentation of JSON says that -> binds weakly.
# Penstock: Refuses a query in which an arrow takes a condition, and says where brackets are missing.
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
  const show = async (expression, json) => {
    const sql = `SELECT ${expression} FROM (SELECT ${json} AS v)`;
    const result = await connection.runAndReadAll(sql).then(
      (rows) => rows.getRowsJson()[0][0],
      ({ message }) => (/cast value to numerical/i.test(message) ? 'the object is cast to BOOLEAN' : message),
    );
    console.log(`${expression} -> ${result}`);
  };
  const twoMembers = `'{"a": "x", "b": "y"}'::JSON`;
  await show(`v->>'a' = 'x'`, twoMembers);
  await show(`v->>'a' = 'x' AND v->>'b' = 'y'`, twoMembers);
  await show(`(v->>'a') = 'x' AND (v->>'b') = 'y'`, twoMembers);
  await show(`true AND v->>'b' = 'y'`, `'true'::JSON`);
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
v->>'a' = 'x' -> true
v->>'a' = 'x' AND v->>'b' = 'y' -> the object is cast to BOOLEAN
(v->>'a') = 'x' AND (v->>'b') = 'y' -> true
true AND v->>'b' = 'y' -> null
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
