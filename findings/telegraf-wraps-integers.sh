#!/usr/bin/env bash
# Telegraf reads a JSON integer that does not fit as another number.
#
# Expected: With `type = "int"` in json_v2 an integer beyond 64 bits is an error, as it is when it comes as a text. Without
#   `type` an integer keeps its digits.
# Seen: 2^63 becomes -2^63, 2^64 becomes 0 as "uint", -1 becomes 2^64 - 1. Nothing is logged. Without `type` each number is a
#   float, so 2^53 + 1 loses its last digit.
# Version: Telegraf 1.37.2. Source: README of parsers.json_v2, "Types" ("If the type can't be converted then the parser will
#   fail", "the default type defined in the JSON (int, float, string)"); RFC 8259 section 6 sets no limit.
# Penstock: Makes a message whose number does not fit its column a bad row, and keeps each digit of a number that fits
#   (docs/formats.md).
# Needs: Go 1.25. The first run compiles Telegraf, which takes a minute or more.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
PATH=$PATH:/usr/local/go/bin
command -v go >/dev/null || cannot "Go is missing"
tags=custom,inputs.file,outputs.file,parsers.json_v2,serializers.influx
GOBIN=$work go install -tags "$tags" github.com/influxdata/telegraf/cmd/telegraf@v1.37.2 2>go.log || cannot "go install failed"
echo "Versions: Telegraf 1.37.2, $(go version | cut -d' ' -f3)"

# Reads {"n": $1} with the line $2 in the description of the field, and prints the value.
read_number() {
  echo "{\"n\": $1}" >in.json
  cat >telegraf.conf <<EOF
[agent]
  omit_hostname = true
[[inputs.file]]
  files = ["in.json"]
  data_format = "json_v2"
  [[inputs.file.json_v2]]
    measurement_name = "m"
    [[inputs.file.json_v2.field]]
      path = "n"
      $2
[[outputs.file]]
  files = ["stdout"]
  influx_uint_support = true
EOF
  local value
  value=$(./telegraf --config telegraf.conf --once --quiet 2>telegraf.log | sed 's/^m n=//; s/ .*//') || true
  echo "$1 ${2:-without type}: ${value:-error}$(grep -q 'E!' telegraf.log && echo ', logged' || true)"
}
{
  read_number 9223372036854775807 'type = "int"'
  read_number 9223372036854775808 'type = "int"'
  read_number '"9223372036854775808"' 'type = "int"'
  read_number 18446744073709551616 'type = "uint"'
  read_number -1 'type = "uint"'
  read_number 9007199254740993 ''
} | tee seen
cat >expected <<'EOF'
9223372036854775807 type = "int": 9223372036854775807i
9223372036854775808 type = "int": -9223372036854775808i
"9223372036854775808" type = "int": error, logged
18446744073709551616 type = "uint": 0u
-1 type = "uint": 18446744073709551615u
9007199254740993 without type: 9007199254740992
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
