#!/usr/bin/env bash
# A new Packr of msgpackr and a new Encoder of cbor-x write records that other readers do not know.
#
# Expected: A class of a MessagePack or CBOR library writes an object as a map, as its functions
#   pack() and encode() do.
# Seen: The classes write a record definition with the names: extension 0x72 and more bytes behind it,
#   or tag 57343. Python's msgpack takes that for several values, cbor2 for an unknown tag.
# Version: msgpackr 2.1.3, cbor-x 1.6.9; read by msgpack 1.2.4 and cbor2 6.3.0 of Python. Source:
#   README of both, "Record / Object Structures" (useRecords).
# Penstock: Sets useRecords to false for every reader and writer.
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
echo "Versions: msgpackr $(node -p 'require("./node_modules/msgpackr/package.json").version'), cbor-x $(node -p 'require("./node_modules/cbor-x/package.json").version'), cbor2 $(py/bin/python -c 'import importlib.metadata as m; print(m.version("cbor2"))'), msgpack $(py/bin/python -c 'import importlib.metadata as m; print(m.version("msgpack"))'), Node.js $(node --version)"
cat >write.cjs <<'EOF'
const { Encoder, encode } = require('cbor-x');
const { Packr, pack } = require('msgpackr');
const row = { device: 'oven', celsius: 95.5 };
for (const bytes of [pack(row), new Packr().pack(row), encode(row), new Encoder().encode(row)]) {
  console.log(bytes.toString('hex'));
}
EOF
cat >read.py <<'EOF'
import cbor2, msgpack
def read(name, function, text):
    try:
        print(name + ":", function(bytes.fromhex(text)))
    except Exception as error:
        print(name + ":", type(error).__name__)
written = open("written").read().split()
read("msgpackr pack()", msgpack.unpackb, written[0])
read("msgpackr new Packr().pack()", msgpack.unpackb, written[1])
read("cbor-x encode()", cbor2.loads, written[2])
read("cbor-x new Encoder().encode()", cbor2.loads, written[3])
EOF
node write.cjs >written
py/bin/python read.py | tee seen
cat >expected <<'EOF'
msgpackr pack(): {'device': 'oven', 'celsius': 95.5}
msgpackr new Packr().pack(): ExtraData
cbor-x encode(): {'device': 'oven', 'celsius': 95.5}
cbor-x new Encoder().encode(): CBORTag(57343, (57344, ('device', 'celsius'), 'oven', 95.5))
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
