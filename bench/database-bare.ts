// Separate process: one INSERT a message with MQTT.js and pg, over a pool of connections. It acknowledges on receipt.
import { connect } from 'mqtt';
import pg from 'pg';
import { topic } from './message.ts';

const [port, url, connections] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url as string, max: Number(connections) });
const from = connect(`mqtt://127.0.0.1:${port}`);

const fail = (error: Error): void => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
};

pool.on('error', fail);
from.on('error', fail);
for (const ending of ['SIGTERM', 'SIGINT'] as const) process.once(ending, () => process.exit(0));

from.on('message', (_name, payload) => {
  const { seq, text } = JSON.parse(payload.toString());
  pool.query('INSERT INTO rows (seq, text) VALUES ($1, $2)', [seq, text]).catch(fail);
});
from.subscribe(topic, { qos: 1 }, (error) => {
  if (error) fail(error);
});
