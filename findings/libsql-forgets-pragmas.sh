#!/usr/bin/env bash
# @libsql/client changes its connection with each transaction and loses the PRAGMAs that were set.
#
# Expected: A client is one connection to the file: what PRAGMA sets stays, and a busy_timeout of 5 s
#   is waited for.
# Seen: busy_timeout is 0 at first. After one transaction() busy_timeout and synchronous are back at
#   their defaults, so a write that meets a lock fails at once with SQLITE_BUSY.
# Version: @libsql/client 0.17.4. Source: documentation of SQLite, "PRAGMA busy_timeout" and "PRAGMA
#   synchronous" (per connection).
# Penstock: Runs its transactions on the one connection that it has set up, and checks each PRAGMA
#   (src/store).
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
npm install --silent --no-audit --no-fund --ignore-scripts @libsql/client@0.17.4 || cannot "npm install failed"
echo "Versions: @libsql/client $(node -p 'require("./node_modules/@libsql/client/package.json").version'), Node.js $(node --version)"
cat >main.cjs <<'EOF'
const { createClient } = require('@libsql/client');

(async () => {
  const client = createClient({ url: 'file:test.db' });
  const pragma = async (name) => (await client.execute(`PRAGMA ${name}`)).rows[0][0];
  const show = async (when) => {
    console.log(`${when}: busy_timeout ${await pragma('busy_timeout')}, synchronous ${await pragma('synchronous')}`);
  };
  await client.execute('CREATE TABLE jobs (id INTEGER PRIMARY KEY)');
  await show('at first');
  await client.execute('PRAGMA busy_timeout = 5000');
  await client.execute('PRAGMA synchronous = 1');
  await show('set');
  const transaction = await client.transaction('write');
  await transaction.execute('INSERT INTO jobs VALUES (1)');
  await transaction.commit();
  await show('after a transaction');

  const other = await createClient({ url: 'file:test.db' }).transaction('write');
  await other.execute('INSERT INTO jobs VALUES (2)');
  await client.execute('INSERT INTO jobs VALUES (3)').then(
    () => console.log('a write beside a lock: done'),
    ({ code }) => console.log(`a write beside a lock: ${code}`),
  );
  await other.rollback();
})();
EOF
node main.cjs | tee seen
cat >expected <<'EOF'
at first: busy_timeout 0, synchronous 2
set: busy_timeout 5000, synchronous 1
after a transaction: busy_timeout 0, synchronous 2
a write beside a lock: SQLITE_BUSY
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
