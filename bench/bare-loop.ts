// Separate process: forwards with MQTT.js and its defaults. It acknowledges on receipt, so a crash loses messages.
import { connect } from 'mqtt';
import type { QoS } from 'mqtt-packet';
import { topic } from './message.ts';

const [fromPort, toPort, level] = process.argv.slice(2).map(Number);
const qos = level as QoS;
const from = connect(`mqtt://127.0.0.1:${fromPort}`);
const to = connect(`mqtt://127.0.0.1:${toPort}`);

const fail = (error: Error): void => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
};

for (const client of [from, to]) client.on('error', fail);
for (const ending of ['SIGTERM', 'SIGINT'] as const) process.once(ending, () => process.exit(0));

from.on('message', (name, payload) => {
  to.publish(name, payload, { qos }, (error) => {
    if (error) fail(error);
  });
});
from.subscribe(topic, { qos }, (error) => {
  if (error) fail(error);
});
