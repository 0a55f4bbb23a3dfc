import type { Socket } from 'node:net';
import { beforeAll, expect, test } from 'vitest';
import { FaultyServer } from '../support/faulty-server.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables } from '../support/resources.ts';
import { until } from '../support/until.ts';

/** Requests in progress when the service is asked to stop. */

let broker: Mosquitto;
let silent: FaultyServer;
let penstock: Penstock;
/** The connection that stays silent, by its number, and those that are closed once `release` is called. */
const other = 1;
const held: Socket[] = [];
let released = false;
function release(): void {
  released = true;
  for (const socket of held) socket.destroy();
}
beforeAll(async () => {
  broker = await Mosquitto.start({ quiet: true });
  silent = await FaultyServer.start((socket, number) => {
    if (number === other) return;
    if (released) socket.destroy();
    else held.push(socket);
  });
  penstock = await Penstock.start();
}, 300_000);

const ms = 60_000;

/** A connection test with a silent broker. */
const testSilent = () =>
  fetch(`${penstock.address}/api/v1/connection_profiles/test`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({
      name: 'silent',
      connector: 'mqtt',
      config: { url: silent.url, connectTimeoutMs: ms },
      step_timeout_ms: ms,
      timeout_ms: ms,
    }),
  });

const follow = (path: string) => fetch(`${penstock.address}/api/v1${path}`);

test('SIGTERM lets requests in flight finish, ends streams, refuses new requests, and exits with 0', async () => {
  const { readings } = await createTables(penstock.request, broker.url);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const following = await follow(`/pipelines/${id}/events`);
  const tailing = await follow(`/connection_tables/${readings}/tail?seconds=600`);
  const preview = await created(penstock.request, '/pipelines/preview', { query: 'SELECT * FROM readings' });
  const { body: jobs } = await penstock.request.get(`/api/v1/pipelines/${preview.id}/jobs`);
  const previewing = await follow(`/pipelines/${preview.id}/jobs/${jobs.data[0].id}/output`);
  for (const { status } of [following, tailing, previewing]) expect(status).toBe(200);
  const soonOver = testSilent();
  await until('one test waits', () => silent.open === 1);
  const endless = testSilent().then(
    () => 'answered',
    () => 'cut off',
  );
  await until('both tests wait', () => silent.open === 2);

  const exit = penstock.kill('SIGTERM');
  expect(await following.text()).toMatch(/"name":"state".*\n\n: the service stops\n\n$/s);
  // Requests in flight have a few seconds from now.
  release();
  expect(await tailing.text()).toMatch(/: the service stops\n\n$/);
  const last = (await previewing.text()).trim().split('data: ').at(-1) ?? '';
  expect(JSON.parse(last)).toMatchObject({ done: true, error: null });
  const refused = await penstock.request.get('/api/v1/pipelines').catch(({ code }) => ({ status: code }));
  expect([503, 'ECONNREFUSED', 'ECONNRESET']).toContain(refused.status);

  const answer = await soonOver;
  expect(answer.status).toBe(200);
  expect(answer.headers.get('connection')).toBe('close');
  expect(await answer.json()).toMatchObject({ error: true, done: true });
  expect(await endless).toBe('cut off');
  expect(await exit).toBe(0);
  // The record of the cut-off request may come after the database was closed: then the log has it.
  expect(penstock.log).not.toMatch(/"level":60|not closed cleanly|request failed/);
});
