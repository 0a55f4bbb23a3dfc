// Separate process: from MQTT to Kafka or back with MQTT.js and @platformatic/kafka. It acknowledges on receipt, so a crash loses messages.
import { Consumer, Producer } from '@platformatic/kafka';
import { connect } from 'mqtt';
import { kafkaTopic, topic } from './message.ts';

const [direction, port, address] = process.argv.slice(2) as [string, string, string];
const bootstrapBrokers = [address];
const client = connect(`mqtt://127.0.0.1:${port}`);

const fail = (error: Error): void => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
};

client.on('error', fail);
for (const ending of ['SIGTERM', 'SIGINT'] as const) process.once(ending, () => process.exit(0));

/** Sends what comes while a request is on its way in the next one. */
function toKafka(): void {
  const producer = new Producer({ clientId: 'bench', bootstrapBrokers });
  let waiting: Buffer[] = [];
  let sending = false;
  const send = async (): Promise<void> => {
    sending = true;
    while (waiting.length > 0) {
      const messages = waiting.map((value) => ({ topic: kafkaTopic, partition: 0, value }));
      waiting = [];
      await producer.send({ acks: -1, messages });
    }
    sending = false;
  };
  client.on('message', (_name, payload) => {
    waiting.push(payload);
    if (!sending) setImmediate(() => void send().catch(fail));
    sending = true;
  });
  client.subscribe(topic, { qos: 1 }, (error) => {
    if (error) fail(error);
  });
}

async function toMqtt(): Promise<void> {
  const consumer = new Consumer({ clientId: 'bench', groupId: 'bare', bootstrapBrokers });
  const stream = await consumer.consume({
    topics: [kafkaTopic],
    mode: 'earliest',
    autocommit: 1_000,
    maxWaitTime: 500,
  });
  stream.on('error', fail);
  stream.on('data', ({ value }) => {
    client.publish(topic, value, { qos: 1 }, (error) => {
      if (error) fail(error);
    });
  });
}

if (direction === 'to kafka') toKafka();
else toMqtt().catch(fail);
