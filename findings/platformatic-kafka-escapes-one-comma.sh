#!/usr/bin/env bash
# @platformatic/kafka escapes only the first comma of a user name for SCRAM.
#
# Expected: Each comma of a user name is sent as =2C, so that the broker reads the name as it is.
# Seen: The second comma is sent as it is, where it ends the name: the broker sees another attribute
#   and refuses the login. Names with one comma work.
# Version: @platformatic/kafka 2.12.0. Source: RFC 5802 section 5.1, attribute "n".
# Penstock: Uses this code to log in, so a user with two commas in its name needs another mechanism
#   (docs/connectors/kafka.md).
# Needs: Node.js 22, npm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 22 ? 0 : 1)' || cannot "Node.js 22 or newer is missing"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @platformatic/kafka@2.12.0 || cannot "npm install failed"
echo "Versions: @platformatic/kafka $(node -p 'require("./node_modules/@platformatic/kafka/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'EOF'
import { saslScramSha } from '@platformatic/kafka';

const sent = [];
// The first message of a login, as a broker receives it. Nothing answers it.
const authenticate = (_connection, bytes) => void sent.push(String(bytes).replace(/,r=.*/, ''));
for (const name of ['plant,line', 'plant,line,press', 'a=b=c'])
  saslScramSha.authenticate(authenticate, {}, 'SHA-256', name, 'secret', undefined, () => {});
for (const text of sent) console.log(text);
EOF
node main.mjs | tee seen
cat >expected <<'EOF'
n,,n=plant=2Cline
n,,n=plant=2Cline,press
n,,n=a=3Db=3Dc
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
