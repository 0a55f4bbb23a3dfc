#!/bin/sh
# Fetches the brokers that come from Maven Central and as a Go module into a folder, for the soak:
#   sh test/brokers/get.sh ~/brokers && PENSTOCK_TEST_BROKERS=~/brokers npm run soak -- test/brokers
# Needs mvn, java 17 and go.
set -eu
folder=${1:?usage: get.sh FOLDER}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

# get NAME VERSION GROUP:ARTIFACT:VERSION …
get() {
  name=$1 version=$2
  shift 2
  mkdir -p "$folder/$name"
  {
    echo '<project><modelVersion>4.0.0</modelVersion><groupId>penstock</groupId>'
    echo "<artifactId>$name</artifactId><version>1</version><packaging>pom</packaging><dependencies>"
    for artifact in "$@"; do
      echo "$artifact" | awk -F: '{ print "<dependency><groupId>" $1 "</groupId><artifactId>" $2 "</artifactId><version>" $3 "</version></dependency>" }'
    done
    echo '</dependencies></project>'
  } >"$folder/$name/pom.xml"
  (cd "$folder/$name" && mvn -q dependency:copy-dependencies -DoutputDirectory=lib)
  echo "$version" >"$folder/$name/version"
}

get activemq 5.17.2 org.apache.activemq:activemq-broker:5.17.2 org.apache.activemq:activemq-mqtt:5.17.2 \
  org.apache.activemq:activemq-kahadb-store:5.17.2 org.slf4j:slf4j-nop:1.7.36
get artemis 2.40.0 org.apache.activemq:artemis-server:2.40.0 org.apache.activemq:artemis-mqtt-protocol:2.40.0
get hivemq 2025.5 com.hivemq:hivemq-community-edition-embedded:2025.5
get moquette 0.17 io.moquette:moquette-broker:0.17 org.slf4j:slf4j-nop:1.7.36

GOBIN="$folder/mochi" go install github.com/mochi-mqtt/server/v2/cmd/docker@v2.7.9
mv "$folder/mochi/docker" "$folder/mochi/mochi"
echo 2.7.9 >"$folder/mochi/version"
