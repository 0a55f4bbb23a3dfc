import { beforeEach, expect, test } from 'vitest';
import { rotateSecrets } from '../../src/definitions/rotate.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { type Endpoint, endpoint } from '../support/http-endpoint.ts';
import { created, createTables } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';

/** Secrets in the config of a table: sealed, masked and kept as those of a profile. */

const secretKey = Buffer.alloc(32, 7).toString('base64');
const rig = useRig({ service: { worker: true, secretKey } });
const mask = '********';
const headers = 'Authorization: Bearer hunter2';

let at: Endpoint;
beforeEach(async () => {
  at = await endpoint();
});

const body = (config: object = {}) => ({
  name: 'hook',
  connector: 'webhook',
  config: { endpoint: at.url, headers, ...config },
  schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
});
const store = () => created(rig.request, '/connection_tables', body());
const stored = async () =>
  (await rig.service.db.connectionTable.findMany()).map(({ config }) => config).join();

test('are sealed in the database and masked in every response', async () => {
  const table = await store();
  const { body: listed } = await rig.request.get('/api/v1/connection_tables');
  const { body: one } = await rig.request.get(`/api/v1/connection_tables/${table.id}`);
  for (const shown of [table, listed.data[0], one])
    expect(shown.config).toEqual({ endpoint: at.url, headers: mask });
  expect(await stored()).toContain('$sealed');
  expect(await stored()).not.toContain('hunter2');
  const { body: audit } = await rig.request.get('/api/v1/audit');
  expect(JSON.stringify(audit)).not.toContain('hunter2');
});

test('are kept when the mask comes back', async () => {
  const { id } = await store();
  const path = `/api/v1/connection_tables/${id}`;
  const before = await rig.request.get(path);
  const same = await rig.request
    .put(path)
    .send(body({ headers: mask }))
    .expect(200);
  expect(same.headers.etag).toBe(before.headers.etag);
  const changed = await rig.request
    .put(path)
    .send(body({ headers: mask, method: 'PUT' }))
    .expect(200);
  expect(changed.headers.etag).not.toBe(before.headers.etag);
  await rig.request
    .patch(path)
    .send({ config: { method: 'PATCH' } })
    .expect(200);
  const tested = await rig.request
    .post(`${path}/test`)
    .set('accept', 'application/json')
    .send({ config: { headers: mask, endpoint: `${at.url}/other` } });
  expect(tested.body).toMatchObject({ error: false });
  expect(at.received).toMatchObject([
    { method: 'PATCH', url: '/in/other', headers: { authorization: 'Bearer hunter2' } },
  ]);
});

test('must be sent themselves where none is stored', async () => {
  for (const path of ['/connection_tables', '/connection_tables/test']) {
    const refused = await rig.request
      .post(`/api/v1${path}`)
      .send(body({ headers: mask }))
      .expect(400);
    expect(refused.body).toMatchObject({ code: 'invalid_config', errors: [{ path: '/config/headers' }] });
  }
});

test('leave with an export as the mask, which a plan takes as no change', async () => {
  await store();
  const { body: bundle } = await rig.request.get('/api/v1/export').expect(200);
  expect(bundle.connection_tables[0].config.headers).toBe(mask);
  const { body: plan } = await rig.request.post('/api/v1/apply?dry_run=true').send(bundle).expect(200);
  expect(plan.changes.map(({ action }: { action: string }) => action)).toEqual(['unchanged']);
});

test('are sealed anew when the key changes', async () => {
  await store();
  const before = await stored();
  const fresh = new SecretBox([Buffer.alloc(32, 8).toString('base64'), secretKey]);
  expect(await rotateSecrets(rig.service.db, fresh)).toBe(1);
  expect(await stored()).not.toBe(before);
  expect(await rotateSecrets(rig.service.db, fresh)).toBe(0);
});

test('reach the server from a pipeline, also those in the text of its query', async () => {
  await createTables(rig.request, rig.broker.url);
  await store();
  const inline = `CREATE TABLE inline WITH (connector = 'webhook', endpoint = '${at.url}/inline', headers = 'X-Key: hunter3');
    INSERT INTO inline SELECT celsius FROM readings; INSERT INTO hook SELECT celsius FROM readings`;
  const id = await rig.run(inline);
  const { body: pipeline } = await rig.request.get(`/api/v1/pipelines/${id}`);
  expect(pipeline.query).toContain(`headers = '${mask}'`);
  await rig.client.publishAsync('plant/a/readings', '{"device":"a","seq":1,"celsius":21.5}', { qos: 1 });
  await expect.poll(() => at.received.length, { timeout: 60_000 }).toBe(2);
  const sent = at.received
    .map(({ url, body: text, headers: own }) => [url, text, own.authorization ?? own['x-key']])
    .sort();
  expect(sent).toEqual([
    ['/in', '{"celsius":21.5}', 'Bearer hunter2'],
    ['/in/inline', '{"celsius":21.5}', 'hunter3'],
  ]);
});
