#!/usr/bin/env bash
# cbor-x and msgpackr read exact decimals and times as doubles and milliseconds.
#
# Expected: A decimal fraction (CBOR tag 4) and a time with nanoseconds or microseconds come out with
#   all their digits.
# Seen: cbor-x makes a number of the decimal and a Date of the time; msgpackr makes a Date of a
#   timestamp with nanoseconds. What does not fit is gone without an error. 64-bit integers are exact
#   (BigInt).
# Version: cbor-x 1.6.9, msgpackr 2.1.3; written by cbor2 6.3.0 and msgpack 1.2.4 of Python. Source:
#   RFC 8949 sections 3.4.1 and 3.4.4; MessagePack specification, "Timestamp extension type".
# Penstock: Replaces these tags and the extension with readers of its own (docs/formats.md, "cbor and
#   msgpack").
# Needs: Node.js 20, npm, Python 3 with venv and pip.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
{ python3 -m venv py && py/bin/pip install --quiet --disable-pip-version-check cbor2==6.3.0 msgpack==1.2.4; } || cannot "pip install failed"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts cbor-x@1.6.9 msgpackr@2.1.3 || cannot "npm install failed"
echo "Versions: cbor-x $(node -p 'require("./node_modules/cbor-x/package.json").version'), msgpackr $(node -p 'require("./node_modules/msgpackr/package.json").version'), cbor2 $(py/bin/python -c 'import importlib.metadata as m; print(m.version("cbor2"))'), msgpack $(py/bin/python -c 'import importlib.metadata as m; print(m.version("msgpack"))'), Node.js $(node --version)"
cat >write.py <<'EOF'
import datetime, decimal, cbor2, msgpack
at = datetime.datetime(2026, 1, 31, 8, 15, 0, 123456, tzinfo=datetime.timezone.utc)
print(cbor2.dumps({"price": decimal.Decimal("12345678901234567.89"), "at": at, "count": 9007199254740993}).hex())
print(msgpack.packb({"at": msgpack.Timestamp(1769847300, 123456789), "count": 9007199254740993}).hex())
EOF
cat >read.cjs <<'EOF'
const { readFileSync } = require('node:fs');
const cborX = require('cbor-x');
const msgpackr = require('msgpackr');
const [first, second] = readFileSync('written', 'utf8').trim().split('\n').map((hex) => Buffer.from(hex, 'hex'));
const cbor = cborX.decode(first);
const msgpack = msgpackr.unpack(second);
console.log(`cbor-x: price ${cbor.price}, at ${cbor.at.toISOString()}, count ${cbor.count}`);
console.log(`msgpackr: at ${msgpack.at.toISOString()}, count ${msgpack.count}`);
EOF
py/bin/python write.py >written
node read.cjs | tee seen
cat >expected <<'EOF'
cbor-x: price 12345678901234568, at 2026-01-31T08:15:00.123Z, count 9007199254740993
msgpackr: at 2026-01-31T08:15:00.123Z, count 9007199254740993
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
