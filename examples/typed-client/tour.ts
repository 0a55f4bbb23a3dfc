// The tour of the README in TypeScript: tests a broker step by step, creates a profile, two tables and a pipeline, follows
// it until it runs, and removes all of it.
// Usage: node_modules/.bin/node examples/typed-client/tour.ts [broker url] [penstock url]
import { setTimeout } from 'node:timers/promises';
import { Client, Refused } from './client.ts';
import type { ConnectionTablePost } from './types.ts';

const [url = 'mqtt://localhost:1883', address = 'http://127.0.0.1:5115'] = process.argv.slice(2);
const client = new Client(address, process.env.PENSTOCK_KEY);
const name = `typed_${process.pid}`;
const profileBody = { name, connector: 'mqtt', config: { url } };

for await (const step of client.follow('testConnectionProfile', { body: profileBody })) {
  console.log(`${step.name}: ${step.outcome} (${step.message})`);
  if (step.done && step.error) process.exit(1);
}

const profile = await client.call('createConnectionProfile', { body: profileBody });
const schema: ConnectionTablePost['schema'] = {
  format: { type: 'json' },
  fields: [
    { name: 'device', type: 'string', required: true },
    { name: 'celsius', type: 'float64', required: true },
  ],
};
const table = (of: string, config: Record<string, unknown>) =>
  client.call('createConnectionTable', {
    body: { name: of, connector: 'mqtt', connection_profile_id: profile.id, config, schema },
  });
const readings = await table(`${name}_readings`, { topic: 'typed/+/readings', qos: 'AtLeastOnce', type: {} });
const alerts = await table(`${name}_alerts`, {
  topic: 'typed/alerts',
  qos: 'AtLeastOnce',
  type: { retain: false },
});

const query = `INSERT INTO ${alerts.name} SELECT device, celsius FROM ${readings.name} WHERE celsius > 90`;
const { id } = await client.call('createPipeline', { body: { name, query, parallelism: 1 } });
/** Follows the pipeline until its job reaches a state or fails. */
async function until(state: 'Running' | 'Stopped'): Promise<void> {
  for await (const { job } of client.follow('followPipeline', { params: { id } })) {
    if (job) console.log(`${name} is ${job.state}`);
    if (job?.state === state) return;
    if (job?.failure_reason) throw new Error(job.failure_reason.error);
  }
}
await until('Running');

await client.call('patchPipeline', { params: { id }, body: { stop: 'graceful' } });
await until('Stopped');
for (;;) {
  try {
    await client.call('deletePipeline', { params: { id } });
    break;
  } catch (error) {
    if (!(error instanceof Refused) || error.problem.code !== 'pipeline_running') throw error;
    // The worker releases the job a moment after it has stopped.
    await setTimeout(200);
  }
}
for (const used of [readings, alerts])
  await client.call('deleteConnectionTable', { params: { id: used.id } });
await client.call('deleteConnectionProfile', { params: { id: profile.id } });
console.log('Removed.');
