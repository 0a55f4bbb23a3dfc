#!/usr/bin/env bash
# avsc refuses to read an Avro long of 2^53 - 1 or more.
#
# Expected: An Avro long has 64 bits; a reader gives a BigInt, or rounds.
# Seen: Reading fails with "potential precision loss", so the whole record is lost.
#   Number.MAX_SAFE_INTEGER, which a double holds exactly, is refused too. A long type of one's own
#   avoids it.
# Version: avsc 5.7.9; written by fastavro 1.13.1 of Python. Source: Avro specification 1.12,
#   "Primitive Types"; wiki of avsc, "Custom long types".
# Penstock: Parses schemas with avsc and reads the bytes itself (docs/decisions/0007-avro-bytes-of-
#   our-own.md); int64 is exact.
# Needs: Node.js 20, npm, Python 3 with venv and pip.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
{ python3 -m venv py && py/bin/pip install --quiet --disable-pip-version-check fastavro==1.13.1; } || cannot "pip install failed"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts avsc@5.7.9 || cannot "npm install failed"
echo "Versions: avsc $(node -p 'require("./node_modules/avsc/package.json").version'), fastavro $(py/bin/python -c 'import importlib.metadata as m; print(m.version("fastavro"))'), Node.js $(node --version)"
cat >write.py <<'EOF'
import io, fastavro
schema = fastavro.parse_schema({"type": "record", "name": "Row", "fields": [{"name": "id", "type": "long"}]})
for number in (2**53 - 2, 2**53 - 1, 2**63 - 1):
    bytes = io.BytesIO()
    fastavro.schemaless_writer(bytes, schema, {"id": number})
    print(number, bytes.getvalue().hex())
EOF
cat >read.cjs <<'EOF'
const { readFileSync } = require('node:fs');
const avsc = require('avsc');
const type = avsc.Type.forSchema({ type: 'record', name: 'Row', fields: [{ name: 'id', type: 'long' }] });
for (const line of readFileSync('written', 'utf8').trim().split('\n')) {
  const [number, hex] = line.split(' ');
  try {
    console.log(`${number}: ${type.fromBuffer(Buffer.from(hex, 'hex')).id}`);
  } catch ({ message }) {
    console.log(`${number}: ${message}`);
  }
}
EOF
py/bin/python write.py >written
node read.cjs | tee seen
cat >expected <<'EOF'
9007199254740990: 9007199254740990
9007199254740991: potential precision loss
9223372036854775807: potential precision loss
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
