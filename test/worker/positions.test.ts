import { beforeEach, expect, test } from 'vitest';
import { type Endpoint, endpoint } from '../support/http-endpoint.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** The stored position of a source, from the database to the connector and back. */

const rig = useRig({ service: { worker: true } });
let at: Endpoint;
let items: number[];

beforeEach(async () => {
  at = await endpoint();
  items = [0, 1, 2];
  at.reply = ({ url }) => {
    const after = Number(new URL(url, at.url).searchParams.get('after') ?? 0);
    const rows = items.slice(after).map((seq) => ({ seq }));
    return { status: 200, text: JSON.stringify({ rows, next: String(after + rows.length) }) };
  };
  const profile = await created(rig.request, '/connection_profiles', profileBody(rig.broker.url));
  await created(rig.request, '/connection_tables', tableBody('out', profile.id, { topic: 'out', type: {} }));
});

const feed = (path = '') => ({
  name: 'feed',
  connector: 'polling_http',
  config: {
    endpoint: `${at.url}${path}`,
    poll_interval_ms: 20,
    items: '/rows',
    paging: 'cursor',
    cursor: '/next',
    cursor_parameter: 'after',
  },
  schema: { format: { type: 'json' }, fields: [{ name: 'seq', type: 'int64' }] },
});

const query = `CREATE TABLE sink WITH (connector = 'mqtt', connection_profile = 'plant', topic = 'out', type = 'sink', qos = 'AtLeastOnce', format = 'json');
  INSERT INTO sink SELECT seq FROM feed`;

test('is where a source begins after a stop, and counts only for its own place', async () => {
  const { db } = rig.service;
  const table = await created(rig.request, '/connection_tables', feed());
  const received = await rig.receive('out');
  const numbers = () => received.map(({ seq }) => seq);
  const id = await rig.run(query);
  await until('the first items', () => received.length === 3);
  await rig.stop(id);
  expect((await db.sourcePosition.findMany()).map(({ position }) => JSON.parse(position))).toEqual([
    // After another poll it also has the hash of what that returned.
    expect.objectContaining({ cursor: '3' }),
  ]);

  items.push(3, 4);
  await rig.start(id);
  await until('the new items', () => received.length === 5);
  expect(numbers()).toEqual([0, 1, 2, 3, 4]);

  await rig.request.put(`/api/v1/connection_tables/${table.id}`).send(feed('/moved')).expect(200);
  await until('all items from the other place', () => received.length === 10);
  expect(numbers().slice(5)).toEqual([0, 1, 2, 3, 4]);

  await rig.stop(id);
  await rig.request.delete(`/api/v1/pipelines/${id}`).expect(200);
  expect(await db.sourcePosition.count()).toBe(0);
});

test('is refused to several tasks, which would all read everything', async () => {
  await created(rig.request, '/connection_tables', feed());
  const { body } = await rig.request
    .post('/api/v1/pipelines')
    .send({ name: 'p', query, parallelism: 2 })
    .expect(400);
  expect(body.code).toBe('cannot_share');
});
