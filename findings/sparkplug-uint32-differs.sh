#!/usr/bin/env bash
# Sparkplug B libraries write a UInt32 into two different members, and one reads the other's as null.
#
# Expected: All Sparkplug B libraries read 5 where another wrote a UInt32 of 5.
# Seen: sparkplug-payload writes it to long_value, pysparkplug to int_value. The first reads the
#   second's as null, without an error; the second reads both.
# Version: sparkplug-payload 1.0.3 (npm), pysparkplug 0.6.1 (PyPI). Source: Sparkplug 3.0, "Payloads"
#   (the member for each datatype).
# Penstock: Reads integers from any member, and writes a UInt32 to long_value (docs/formats.md,
#   "sparkplug_b").
# Needs: Node.js 20, npm, Python 3 with venv and pip.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
{ python3 -m venv py && py/bin/pip install --quiet --disable-pip-version-check pysparkplug==0.6.1; } || cannot "pip install failed"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts sparkplug-payload@1.0.3 || cannot "npm install failed"
echo "Versions: sparkplug-payload $(node -p 'require("./node_modules/sparkplug-payload/package.json").version'), pysparkplug $(py/bin/python -c 'import importlib.metadata as m; print(m.version("pysparkplug"))'), Node.js $(node --version)"
cat >payload.cjs <<'EOF'
const { readFileSync } = require('node:fs');
const { encodePayload, decodePayload } = require('sparkplug-payload').get('spBv1.0');
const types = ['UInt8', 'UInt16', 'UInt32', 'UInt64'];
const of = (type) => ({ timestamp: 0, seq: 0, metrics: [{ name: 'm', timestamp: 0, type, value: 5 }] });
if (process.argv[2] === 'write') {
  for (const type of types) console.log(Buffer.from(encodePayload(of(type))).toString('hex'));
} else {
  for (const from of ['sparkplug-payload', 'pysparkplug']) {
    const values = readFileSync(from, 'utf8').trim().split('\n').map((hex) => decodePayload(Buffer.from(hex, 'hex')).metrics[0].value);
    console.log(`sparkplug-payload reads from ${from}: ${types.map((type, i) => `${type} ${values[i]}`).join(', ')}`);
  }
}
EOF
cat >payload.py <<'EOF'
import sys, pysparkplug as spb
types = ["UINT8", "UINT16", "UINT32", "UINT64"]
def read(text):
    try:
        return spb.NBirth.decode(bytes.fromhex(text)).metrics[0].value
    except Exception as error:
        return type(error).__name__
if sys.argv[1] == "write":
    for name in types:
        metric = spb.Metric(timestamp=0, name="m", datatype=spb.DataType[name], value=5)
        print(spb.NBirth(timestamp=0, seq=0, metrics=(metric,)).encode().hex())
else:
    for source in ("sparkplug-payload", "pysparkplug"):
        values = [read(line) for line in open(source).read().split()]
        print(f"pysparkplug reads from {source}:", ", ".join(f"{n.replace('INT', 'Int')} {v}" for n, v in zip(types, values)))
EOF
node payload.cjs write >sparkplug-payload
py/bin/python payload.py write >pysparkplug
{ node payload.cjs read; py/bin/python payload.py read; } | tee seen
cat >expected <<'EOF'
sparkplug-payload reads from sparkplug-payload: UInt8 5, UInt16 5, UInt32 5, UInt64 5
sparkplug-payload reads from pysparkplug: UInt8 5, UInt16 5, UInt32 null, UInt64 5
pysparkplug reads from sparkplug-payload: UInt8 5, UInt16 5, UInt32 5, UInt64 5
pysparkplug reads from pysparkplug: UInt8 5, UInt16 5, UInt32 5, UInt64 5
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
