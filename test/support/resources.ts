import type supertest from 'supertest';
import { until } from './until.ts';

/** Valid bodies, with the changes of a test. */

export const profileBody = (url: string, more: object = {}) => ({
  name: 'plant',
  connector: 'mqtt',
  config: { url },
  ...more,
});

const readingFields = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int64', required: true },
  { name: 'celsius', type: 'float64' },
];

export const tableBody = (
  name: string,
  profileId: string,
  config: { topic: string; type: object; qos?: string },
  schema: object = { format: { type: 'json' }, bad_data: { behavior: 'drop' }, fields: readingFields },
) => ({
  name,
  connector: 'mqtt',
  connection_profile_id: profileId,
  config: { qos: 'AtLeastOnce', ...config },
  schema,
});

type Client = ReturnType<typeof supertest>;

/** The response to a request, which is sent again while a process is too busy to serve it. */
const served = (send: () => supertest.Test): Promise<supertest.Response> =>
  until('a process that is not overloaded', async () => {
    const response = await send();
    return response.body?.code !== 'overloaded' && response;
  });

/** Sends it, expects 200, and returns what came back. */
export async function created(
  client: Client,
  path: string,
  body: object,
): Promise<{ id: string; [key: string]: unknown }> {
  const response = await served(() =>
    client.post(`/api/v1${path}`).set('accept', 'application/json').send(body),
  );
  if (response.status !== 200) throw new Error(`POST ${path}: ${response.status} ${response.text}`);
  return response.body;
}

interface Ends {
  /** Topics of the source table and of the sink table. */
  from?: string;
  to?: string;
  /** Configuration of the profile beside its URL. */
  config?: object;
  /** Of both tables. */
  schema?: object | undefined;
}

/** A profile `plant`, a source table `readings` and a sink table `alerts`; returns their ids. */
export async function createTables(
  client: Client,
  url: string,
  { from = 'plant/+/readings', to = 'plant/alerts', config = {}, schema }: Ends = {},
): Promise<{ profile: string; readings: string; alerts: string }> {
  const profile = await created(
    client,
    '/connection_profiles',
    profileBody(url, { config: { url, ...config } }),
  );
  const source = tableBody('readings', profile.id, { topic: from, type: {} }, schema);
  const readings = await created(client, '/connection_tables', source);
  const sink = tableBody('alerts', profile.id, { topic: to, type: { retain: false } }, schema);
  const alerts = await created(client, '/connection_tables', sink);
  return { profile: profile.id, readings: readings.id, alerts: alerts.id };
}

/** Creates a pipeline with one task, and returns its id. */
export const createPipeline = async (client: Client, query: string, name = 'p'): Promise<string> =>
  (await created(client, '/pipelines', { name, query, parallelism: 1 })).id;

/** The state of a pipeline's only job. */
export async function jobOf(client: Client, pipeline: string) {
  const { body } = await served(() => client.get(`/api/v1/pipelines/${pipeline}/jobs`));
  return body.data[0] as {
    id: string;
    state: string;
    run_id: number;
    tasks: number | null;
    created_at: number;
    start_time: number | null;
    state_since: number;
    failure_reason: { error: string; code: string; domain: string } | null;
  };
}

/** Whether the job of a pipeline runs. Throws if it has failed for good. */
export async function runs({
  penstock,
  id,
}: {
  penstock: { request: Client };
  id: string;
}): Promise<boolean> {
  const { state, failure_reason } = await jobOf(penstock.request, id);
  if (state === 'Failed') throw new Error(`The job has failed: ${JSON.stringify(failure_reason)}`);
  return state === 'Running';
}
