#!/usr/bin/env bash
# The tour of the README against a broker of yours: creates a profile, two tables and a pipeline, and shows its job.
# Usage: examples/tour.sh [broker url] [penstock url]       e.g. examples/tour.sh mqtt://localhost:1883
set -euo pipefail
broker=${1:-mqtt://localhost:1883}
api=${2:-http://127.0.0.1:5115}/api/v1
auth=(-H "authorization: Bearer ${PENSTOCK_ADMIN_KEY:-none}")

post() {
  curl -sS --fail-with-body "${auth[@]}" -H 'content-type: application/json' -H 'accept: application/json' "$api$1" -d "$2"
}

echo "Testing $broker"
post /connection_profiles/test "{\"name\": \"tour\", \"connector\": \"mqtt\", \"config\": {\"url\": \"$broker\"}}"
echo

created=$(post /connection_profiles "{\"name\": \"tour\", \"connector\": \"mqtt\", \"config\": {\"url\": \"$broker\"}}")
# The profile's id comes first in its answer.
profile=$(grep -o 'cp_[0-9A-Za-z]*' <<<"$created" | head -n 1)
echo "Profile $profile"

schema='{"format": {"type": "json"}, "bad_data": {"behavior": "drop"}, "fields": [
  {"name": "device", "type": "string", "required": true}, {"name": "celsius", "type": "float64", "required": true}]}'
table() {
  post /connection_tables "{\"name\": \"$1\", \"connector\": \"mqtt\", \"connection_profile_id\": \"$profile\",
    \"config\": {\"topic\": \"$2\", \"qos\": \"AtLeastOnce\", \"type\": $3}, \"schema\": $schema}" >/dev/null
  echo "Table $1 on $2"
}
table tour_readings 'plant/+/readings' '{}'
table tour_alerts plant/alerts '{"retain": false}'

post /pipelines '{"name": "tour", "parallelism": 1,
  "query": "INSERT INTO tour_alerts SELECT device, celsius FROM tour_readings WHERE celsius > 90"}' >/dev/null
echo "Pipeline tour; its job:"
curl -sS "${auth[@]}" "$api/jobs"
echo
echo "Now publish to plant/<device>/readings and listen on plant/alerts."
