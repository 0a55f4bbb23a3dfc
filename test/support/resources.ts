import type supertest from 'supertest';

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

/** Sends it, expects 200, and returns the response. */
export async function created(
  client: Client,
  path: string,
  body: object,
): Promise<{ id: string; [key: string]: unknown }> {
  const response = await client.post(`/api/v1${path}`).set('accept', 'application/json').send(body);
  if (response.status !== 200) throw new Error(`POST ${path}: ${response.status} ${response.text}`);
  return response.body;
}

/** A profile `plant`, a source table `readings` and a sink table `alerts`. */
export async function createTables(
  client: Client,
  url: string,
): Promise<{ profile: string; readings: string; alerts: string }> {
  const profile = await created(client, '/connection_profiles', profileBody(url));
  const source = { topic: 'plant/+/readings', type: {} };
  const readings = await created(client, '/connection_tables', tableBody('readings', profile.id, source));
  const sink = { topic: 'plant/alerts', type: { retain: false } };
  const alerts = await created(client, '/connection_tables', tableBody('alerts', profile.id, sink));
  return { profile: profile.id, readings: readings.id, alerts: alerts.id };
}

/** The state of a pipeline's only job. */
export async function jobOf(client: Client, pipeline: string) {
  const { body } = await client.get(`/api/v1/pipelines/${pipeline}/jobs`);
  return body.data[0] as {
    id: string;
    state: string;
    run_id: number;
    tasks: number | null;
    failure_reason: { error: string; code: string; domain: string } | null;
  };
}
