#!/usr/bin/env bash
# A consumer of @platformatic/kafka with read_committed returns messages of an aborted transaction.
#
# Expected: With the isolation level READ_COMMITTED no message of an aborted transaction is returned.
# Seen: When a fetch holds two aborted transactions of one producer, the messages of the first one are returned.
# Version: @platformatic/kafka 2.12.0, Apache Kafka 4.1.1. Source: documentation of Kafka, "isolation.level" of consumers; the Fetch
#   response, "aborted_transactions", which may have several of one producer.
# Penstock: Reads the responses itself (src/connectors/kafka/connection/reader.ts).
# Needs: Java 17 and Maven (Debian: apt-get install default-jre-headless maven), Node.js 22, npm.
set -euo pipefail
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 22 ? 0 : 1)' || cannot "Node.js 22 or newer is missing"
command -v java >/dev/null || cannot "Java is missing (Debian: apt-get install default-jre-headless)"
command -v mvn >/dev/null || cannot "Maven is missing (Debian: apt-get install maven)"
free_port() {
  node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close(); })'
}
until_open() {
  for _ in $(seq 600); do
    (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
    sleep 0.1
  done
  cat broker.log
  cannot "the broker does not start"
}

cat >pom.xml <<'XML'
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>finding</groupId><artifactId>kafka</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>4.1.1</version>
  </dependency></dependencies>
</project>
XML
mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$work/jars" >mvn.log 2>&1 ||
  cannot "Maven cannot fetch Kafka: $(tail -n 1 mvn.log)"
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @platformatic/kafka@2.12.0 || cannot "npm install failed"

port=$(free_port)
controller=$(free_port)
cat >server.properties <<CONF
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=CONTROLLER://127.0.0.1:$controller,PLAINTEXT://127.0.0.1:$port
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
log.dirs=$work/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
CONF
run=(java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$work/jars/*")
"${run[@]}" kafka.tools.StorageTool format -t AAAAAAAAQACAAAAAAAAAAQ -c server.properties >format.log 2>&1 ||
  cannot "the storage of Kafka cannot be prepared: $(tail -n 1 format.log)"
"${run[@]}" kafka.Kafka server.properties >broker.log 2>&1 &
pids+=("$!")
until_open "$port"
echo "Versions: Apache Kafka $(basename jars/kafka_2.13-*.jar .jar | cut -d - -f 2), @platformatic/kafka $(node -p 'require("./node_modules/@platformatic/kafka/package.json").version'), Node.js $(node --version)"
cat >main.mjs <<'JS'
import { Admin, Consumer, Producer } from '@platformatic/kafka';

const own = { clientId: 'finding', bootstrapBrokers: [process.argv[2]] };
const admin = new Admin({ ...own, retries: 20, retryDelay: 500 });
for (const topic of ['one', 'two']) await admin.createTopics({ topics: [topic], partitions: 1, replicas: 1 });
await admin.close();

// Writes texts, each in a transaction that is aborted, and then one that is committed.
async function write(topic, aborted) {
  const producer = new Producer({ ...own, idempotent: true, transactionalId: topic, retries: 20, retryDelay: 500 });
  for (const text of [...aborted, 'committed']) {
    const transaction = await producer.beginTransaction();
    await transaction.send({ acks: -1, messages: [{ topic, partition: 0, value: Buffer.from(text) }] });
    await (text === 'committed' ? transaction.commit() : transaction.abort());
  }
  await producer.close();
}

// All that a consumer with READ_COMMITTED returns, up to the committed message.
async function read(topic) {
  const consumer = new Consumer({ ...own, groupId: topic, isolationLevel: 1 });
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', autocommit: false, isolationLevel: 1 });
  const found = [];
  for await (const { value } of stream) {
    found.push(String(value));
    if (found.at(-1) === 'committed') break;
  }
  await consumer.close(true);
  return found.join(', ');
}

await write('one', ['aborted']);
await write('two', ['aborted first', 'aborted second']);
console.log(`after one aborted transaction: ${await read('one')}`);
console.log(`after two: ${await read('two')}`);
process.exit();
JS
node main.mjs "127.0.0.1:$port" | tee seen
cat >expected <<'TXT'
after one aborted transaction: committed
after two: aborted first, committed
TXT
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
