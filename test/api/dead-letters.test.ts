import { beforeEach, describe, expect, test } from 'vitest';
import { StoredDeadLetters } from '../../src/worker/dead-letters.ts';
import { databases } from '../support/databases.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const adminKey = 'a'.repeat(40);

describe.each(databases)('dead letters over HTTP on $provider', ({ open }) => {
  let service: Service;
  let pipeline: string;
  beforeEach(async () => {
    service = await startService({ open });
    await createTables(service.request, 'mqtt://127.0.0.1:1');
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    pipeline = (await created(service.request, '/pipelines', { name: 'p', query, parallelism: 1 })).id;
    const { id } = await jobOf(service.request, pipeline);
    const store = new StoredDeadLetters(service.db, id);
    const letter = (number: number, stage: string, code: string) => ({
      ...{ operatorId: 'x', taskIndex: 0, sourceTable: 'readings', receivedAt: 1n, stage, code },
      ...{
        message: 'bad',
        errors: '[]',
        failedRows: null,
        rowCount: null,
        metadata: '{"topic":"t","qos":1}',
      },
      payload: Buffer.from(`{"device":"secret-canary","seq":"x${number}"}`),
    });
    for (let number = 0; number < 4; number += 1)
      await store.add(
        [number % 2 ? letter(number, 'transform', 'bad_row') : letter(number, 'decode', 'bad_data')],
        { behavior: 'dead_letter' },
      );
  });

  const path = (rest = '') => `/api/v1/pipelines/${pipeline}/dead_letters${rest}`;

  test('are listed by page, newest first, and by code, stage and time, without their content', async () => {
    const { request } = service;
    const { body, text } = await request.get(path('?limit=3')).expect(200);
    expect(body).toMatchObject({ hasMore: true, data: [{ code: 'bad_row' }, { code: 'bad_data' }, {}] });
    expect(text).not.toContain('secret-canary');
    const rest = await request.get(path(`?limit=3&starting_after=${body.data[2].id}`)).expect(200);
    expect([rest.body.data.length, rest.body.hasMore]).toEqual([1, false]);
    const only = async (filter: string) =>
      (await request.get(path(`?${filter}`)).expect(200)).body.data.length;
    expect([await only('code=bad_row'), await only('stage=decode'), await only('stage=write')]).toEqual([
      2, 2, 0,
    ]);
    const middle = body.data[1].created_at;
    expect([await only(`since=${middle}`), await only(`until=${middle}`)]).toEqual([2, 2]);
    await request.get('/api/v1/pipelines/pl_none/dead_letters').expect(404);
  });

  test('are grouped by code and stage, with the filters of the list', async () => {
    const { request, db } = service;
    const { data } = (await request.get(path())).body;
    const groups = async (filter = '') => (await request.get(path(`/groups${filter}`)).expect(200)).body.data;
    const group = (code: string, stage: string, [last, first]: { created_at: number }[]) => ({
      ...{ code, stage, count: 2, bytes: 74, first_at: first?.created_at, last_at: last?.created_at },
    });
    const rows = group('bad_row', 'transform', [data[0], data[2]]);
    expect(await groups()).toEqual([rows, group('bad_data', 'decode', [data[1], data[3]])]);
    expect(await groups('?code=bad_row&stage=transform')).toEqual([rows]);
    const one = { ...rows, count: 1, bytes: 37, first_at: rows.last_at };
    expect(await groups(`?since=${data[0].created_at}`)).toEqual([one]);
    expect(await groups('?stage=write')).toEqual([]);
    // More bytes than 32 bits can count.
    await db.deadLetter.updateMany({ data: { bytes: 2_000_000_000 } });
    expect((await groups()).map(({ bytes }: { bytes: number }) => bytes)).toEqual([4e9, 4e9]);
    await request.get('/api/v1/pipelines/pl_none/dead_letters/groups').expect(404);
    await request.get(path('/groups?limit=1')).expect(400);
  });

  test('are shown one by one with their bytes, their metadata and the result of decoding them now', async () => {
    const { request } = service;
    const [{ id }] = (await request.get(path('?limit=1'))).body.data;
    const { body } = await request.get(path(`/${id}`)).expect(200);
    const text = '{"device":"secret-canary","seq":"x3"}';
    expect(body).toMatchObject({
      id,
      payload: { text, base64: Buffer.from(text).toString('base64') },
      metadata: { topic: 't', qos: 1 },
      attempt: [{ error: true, code: 'bad_data', errors: [{ path: '/seq' }] }],
    });
    await request.get(path('/dl_none')).expect(404);
  });

  test('are deleted one by one or by a filter, and marked to be replayed', async () => {
    const { request } = service;
    const [{ id }] = (await request.get(path('?limit=1'))).body.data;
    expect((await request.post(path('/replay')).send({ ids: [id, 'dl_none'] })).body).toEqual({ asked: 1 });
    expect((await request.post(path('/replay')).send({ all: true, stage: 'decode' })).body).toEqual({
      asked: 2,
    });
    expect((await request.post(path('/replay')).send({ ids: [id] })).body).toEqual({ asked: 0 });
    for (const body of [{}, { ids: [id], all: true }, { all: false }])
      await request.post(path('/replay')).send(body).expect(400);
    expect((await request.delete(path(`/${id}`)).expect(200)).body).toBeNull();
    await request.delete(path(`/${id}`)).expect(404);
    expect((await request.delete(path('?code=bad_row'))).body).toEqual({ deleted: 1 });
    const { deadLetters, deadLetterBytes } = await service.db.job.findFirstOrThrow();
    expect([deadLetters, Number(deadLetterBytes)]).toEqual([2, 2 * 37]);
  });
});

test('the content of dead letters requires the role operator', async () => {
  const service = await startService({ adminKey });
  const { request } = service;
  const admin = { authorization: `Bearer ${adminKey}` };
  const { body } = await request
    .post('/api/v1/api_keys')
    .set(admin)
    .send({ name: 'looker', role: 'viewer' })
    .expect(200);
  const viewer = { authorization: `Bearer ${body.key}` };
  const path = '/api/v1/pipelines/pl_none/dead_letters';
  expect((await request.get(path).set(viewer)).status).toBe(404);
  expect((await request.get(`${path}/dl_x`).set(viewer)).status).toBe(403);
  expect((await request.get(`${path}/dl_x`).set(admin)).status).toBe(404);
  expect((await request.post(`${path}/replay`).set(viewer).send({ all: true })).status).toBe(403);
  expect((await request.delete(path).set(viewer)).status).toBe(403);
});
