#!/usr/bin/env bash
# The tour of the README against a broker of yours: tests it, creates a profile, two tables and a pipeline, waits until it
# runs, and removes everything when you press Enter (or at once without a terminal).
# Usage: examples/tour.sh [broker url] [penstock url]       e.g. examples/tour.sh mqtt://localhost:1883
set -euo pipefail
broker=${1:-mqtt://localhost:1883}
api=${2:-http://127.0.0.1:5115}/api/v1
name=tour_$$

# call METHOD PATH [BODY]: prints the response or the error.
call() {
  local answer
  if ! answer=$(curl -sS --fail-with-body -X "$1" -H "authorization: Bearer ${PENSTOCK_KEY:-none}" \
    -H 'content-type: application/json' -H 'accept: application/json' "$api$2" ${3:+-d "$3"}); then
    echo "$1 $2: $answer" >&2
    return 1
  fi
  echo "$answer"
}
id() { grep -o "$1_[0-9A-Za-z]*" | head -n 1; }

echo "Testing $broker"
profile_body="{\"name\": \"$name\", \"connector\": \"mqtt\", \"config\": {\"url\": \"$broker\"}}"
call POST /connection_profiles/test "$profile_body"

profile=$(call POST /connection_profiles "$profile_body" | id cp)
echo "Profile $profile"

schema='{"format": {"type": "json"}, "bad_data": {"behavior": "drop"}, "fields": [
  {"name": "device", "type": "string", "required": true}, {"name": "celsius", "type": "float64", "required": true}]}'
table() {
  call POST /connection_tables "{\"name\": \"$1\", \"connector\": \"mqtt\", \"connection_profile_id\": \"$profile\",
    \"config\": {\"topic\": \"$2\", \"qos\": \"AtLeastOnce\", \"type\": $3}, \"schema\": $schema}" | id ct
}
readings=$(table "${name}_readings" 'tour/+/readings' '{}')
alerts=$(table "${name}_alerts" tour/alerts '{"retain": false}')
echo "Tables $readings on tour/+/readings and $alerts on tour/alerts"

pipeline=$(call POST /pipelines "{\"name\": \"$name\", \"parallelism\": 1,
  \"query\": \"INSERT INTO ${name}_alerts SELECT device, celsius FROM ${name}_readings WHERE celsius > 90\"}" | id pl)
until call GET "/pipelines/$pipeline/jobs" | grep -q '"state":"Running"'; do sleep 0.2; done
echo "Pipeline $pipeline is running: publish to tour/<device>/readings and listen on tour/alerts."

if [ -t 0 ]; then read -rp 'Enter removes it all again. '; fi
call PATCH "/pipelines/$pipeline" '{"stop": "graceful"}' >/dev/null
until call DELETE "/pipelines/$pipeline" >/dev/null 2>&1; do sleep 0.2; done
for used in "/connection_tables/$readings" "/connection_tables/$alerts" "/connection_profiles/$profile"; do
  call DELETE "$used" >/dev/null
done
echo 'Removed.'
