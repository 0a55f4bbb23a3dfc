import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { newTimedId, timeOfId } from '../../src/store/id.ts';
import { databases } from '../support/databases.ts';
import { created, createTables, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';

describe.each(databases)('resources on $provider', ({ open }) => {
  let service: Service;
  beforeEach(async () => {
    service = await startService({ open });
  });

  const get = async (path: string) => (await service.request.get(`/api/v1${path}`)).body;

  test('a profile is created, got, listed and deleted, with its secrets masked', async () => {
    const config = { url: nowhere, username: 'me', password: 'hunter2-canary' };
    const profile = await created(service.request, '/connection_profiles', profileBody(nowhere, { config }));
    expect(profile).toEqual({
      id: expect.stringMatching(/^cp_[0-9A-Za-z]{10}$/),
      name: 'plant',
      connector: 'mqtt',
      config: { ...config, password: '********' },
      description: nowhere,
      labels: {},
    });
    expect(await get(`/connection_profiles/${profile.id}`)).toEqual(profile);
    expect(await get('/connection_profiles')).toEqual({ data: [profile] });
    const row = await service.db.connectionProfile.findUniqueOrThrow({ where: { id: profile.id } });
    expect(row.config).not.toContain('hunter2-canary');
    expect((await service.request.delete(`/api/v1/connection_profiles/${profile.id}`)).status).toBe(200);
    expect((await service.request.get(`/api/v1/connection_profiles/${profile.id}`)).status).toBe(404);
    expect((await service.request.delete(`/api/v1/connection_profiles/${profile.id}`)).status).toBe(404);
    expect(service.logged()).not.toContain('hunter2-canary');
  });

  test('returns the location of a created object', async () => {
    const response = await service.request.post('/api/v1/connection_profiles').send(profileBody(nowhere));
    expect(response.headers.location).toBe(`connection_profiles/${response.body.id}`);
  });

  test('refuses the mask as the secret of a new profile', async () => {
    const config = { url: nowhere, username: 'me', password: '********' };
    const { status, body } = await service.request
      .post('/api/v1/connection_profiles')
      .send(profileBody(nowhere, { config }));
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_config', errors: [{ path: '/config/password' }] });
  });

  test('refuses a name that is taken, for each kind of object', async () => {
    const { profile } = await createTables(service.request, nowhere);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    await created(service.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    for (const [path, body] of [
      ['/connection_profiles', profileBody(nowhere)],
      ['/connection_tables', tableBody('readings', profile, { topic: 'a', type: {} })],
      ['/pipelines', { name: 'p', query, parallelism: 1 }],
    ] as const) {
      const answer = await service.request.post(`/api/v1${path}`).send(body);
      expect(answer.status, answer.text).toBe(409);
      expect(answer.body).toMatchObject({ code: 'name_taken', errors: [{ path: '/name' }] });
    }
  });

  test('refuses to delete an object in use, and names its users', async () => {
    const { profile, readings } = await createTables(service.request, nowhere);
    await created(service.request, '/pipelines', {
      name: 'p',
      query: 'INSERT INTO alerts SELECT * FROM readings',
      parallelism: 1,
    });
    const usedProfile = await service.request.delete(`/api/v1/connection_profiles/${profile}`);
    expect(usedProfile.status).toBe(409);
    expect(usedProfile.body).toMatchObject({
      code: 'connection_profile_in_use',
      detail: expect.stringContaining('alerts'),
    });
    const usedTable = await service.request.delete(`/api/v1/connection_tables/${readings}`);
    expect(usedTable.status).toBe(409);
    expect(usedTable.body).toMatchObject({
      code: 'connection_table_in_use',
      detail: expect.stringContaining('p'),
    });
  });

  test('a table is returned with its profile, direction and number of users, and listed with all columns', async () => {
    const { readings } = await createTables(service.request, nowhere);
    await created(service.request, '/pipelines', {
      name: 'p',
      query: 'INSERT INTO alerts SELECT * FROM readings',
      parallelism: 1,
    });
    const table = await get(`/connection_tables/${readings}`);
    expect(table).toMatchObject({
      table_type: 'source',
      connector: 'mqtt',
      connection_profile: { name: 'plant' },
      config: { topic: 'plant/+/readings', qos: 'AtLeastOnce', type: {} },
      consumers: 1,
    });
    const seq = { name: 'seq', type: 'int64', required: true };
    expect(table.schema.fields[1]).toEqual(seq);
    const { data } = await get('/connection_tables');
    const listed = data.find(({ id }: { id: string }) => id === readings);
    expect(listed.schema.fields[1]).toEqual({ ...seq, sql_name: 'BIGINT' });
    expect(table.created_at).toBeGreaterThan(1.6e15);
  });

  test('tables are listed by page, newest first, each once', async () => {
    const profile = await created(service.request, '/connection_profiles', profileBody(nowhere));
    const names = Array.from({ length: 7 }, (_, i) => `t${i}`);
    for (const name of names)
      await created(
        service.request,
        '/connection_tables',
        tableBody(name, profile.id, { topic: name, type: {} }),
      );
    const seen: string[] = [];
    for (let after = '', more = true; more; ) {
      const page = await get(`/connection_tables?limit=3${after && `&starting_after=${after}`}`);
      seen.push(...page.data.map(({ name }: { name: string }) => name));
      more = page.hasMore;
      after = page.data.at(-1).id;
    }
    expect(seen).toEqual(names.toReversed());
    expect((await get('/connection_tables')).data).toHaveLength(7);
  });

  test('a list goes on after an object that was deleted meanwhile, and misses and repeats none', async () => {
    const profile = await created(service.request, '/connection_profiles', profileBody(nowhere));
    for (const name of Array.from({ length: 9 }, (_, i) => `t${i}`))
      await created(
        service.request,
        '/connection_tables',
        tableBody(name, profile.id, { topic: name, type: {} }),
      );
    // Several of the same microsecond.
    await service.db.connectionTable.updateMany({ data: { createdAt: 1_790_000_000_000_000n } });
    for (const row of await service.db.connectionTable.findMany({ take: 6 })) {
      const id = newTimedId('ct', row.createdAt);
      await service.db.connectionTable.update({ where: { id: row.id }, data: { id } });
    }
    const all = (await get('/connection_tables?limit=100')).data.map(({ id }: { id: string }) => id);
    const rest = all.filter((id: string) => timeOfId(id) === 1_790_000_000_000_000n);
    expect(rest.length).toBe(6);
    for (const cursor of rest) {
      const expected = (await get(`/connection_tables?limit=100&starting_after=${cursor}`)).data;
      await service.request.delete(`/api/v1/connection_tables/${cursor}`).expect(200);
      const { status, body } = await service.request.get(
        `/api/v1/connection_tables?limit=100&starting_after=${cursor}`,
      );
      expect([status, body.data]).toEqual([200, expected]);
    }
  });

  test('the ids of what is listed by page tell the time of creation', async () => {
    await createTables(service.request, nowhere);
    for (const name of ['a', 'b']) {
      const query = 'INSERT INTO alerts SELECT * FROM readings';
      await created(service.request, '/pipelines', { name, query, parallelism: 1 });
    }
    const rows = [
      ...(await service.db.connectionTable.findMany()),
      ...(await service.db.pipeline.findMany()),
      ...(await service.db.auditRecord.findMany()),
    ];
    expect(rows).toHaveLength(9);
    for (const { id, createdAt } of rows) expect(timeOfId(id), id).toBe(createdAt);
    for (const other of ['pl_5TgR7bN1wC', 'cp_00000000000000', 'ct_', 'pl_short', `dl_${'é'.repeat(14)}`])
      expect(timeOfId(other)).toBe(undefined);
    const { data } = await get('/pipelines?limit=1');
    await service.db.job.deleteMany({ where: { pipelineId: data[0].id } });
    await service.db.pipelineTable.deleteMany({ where: { pipelineId: data[0].id } });
    await service.db.pipeline.delete({ where: { id: data[0].id } });
    const next = await get(`/pipelines?starting_after=${data[0].id}`);
    expect(next.data.map(({ name }: { name: string }) => name)).toEqual(['a']);
    await service.db.auditRecord.deleteMany({ where: { action: 'createConnectionTable' } });
    const gone = rows.find(({ id }) => id.startsWith('aud_') && !id.endsWith('x'))?.id;
    expect((await service.request.get(`/api/v1/audit?starting_after=${gone}`)).status).toBe(200);
  });

  test("a pipeline has Arroyo's shape and a job that should run", async () => {
    await createTables(service.request, nowhere);
    const query = 'INSERT INTO alerts SELECT device, seq, celsius FROM readings WHERE celsius > 90';
    const pipeline = await created(service.request, '/pipelines', {
      name: 'hot',
      query,
      parallelism: 1,
      udfs: [],
      tags: { site: 'north' },
    });
    expect(pipeline).toEqual({
      id: expect.stringMatching(/^pl_[0-9A-Za-z]{14}$/),
      name: 'hot',
      query,
      udfs: [],
      checkpoint_interval_micros: 10_000_000,
      stop: 'none',
      created_at: expect.any(Number),
      action: 'checkpoint',
      action_text: 'Stop',
      action_in_progress: true,
      graph: { nodes: expect.any(Array), edges: expect.any(Array) },
      preview: false,
      state_url: null,
      tags: { site: 'north' },
      parallelism: 1,
      labels: {},
      placement: {},
      warnings: [],
    });
    const { data } = await get(`/pipelines/${pipeline.id}/jobs`);
    expect(data).toHaveLength(1);
    expect(data[0]).toMatchObject({
      pipeline_id: pipeline.id,
      running_desired: true,
      state: 'Created',
      run_id: 0,
      failure_reason: null,
    });
    expect(data[0].id).toMatch(/^job_[0-9A-Za-z]{10}$/);
    expect((await get('/jobs')).data).toEqual(data);
  });

  test('refuses an invalid query, with the place in the text', async () => {
    await createTables(service.request, nowhere);
    const query = 'INSERT INTO alerts SELECT device, seq, temperature FROM readings';
    const { status, body } = await service.request
      .post('/api/v1/pipelines')
      .send({ name: 'p', query, parallelism: 1 });
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_query', errors: [{ path: '/query' }] });
    const validated = await service.request.post('/api/v1/pipelines/validate_query').send({ query });
    expect(validated.status).toBe(200);
    expect(validated.body).toMatchObject({
      graph: null,
      errors: [{ message: expect.any(String), span: { start: { line: 1 } } }],
    });
  });

  test('accepts the queries in the documentation', async () => {
    const text = readFileSync(new URL('../../docs/sql.md', import.meta.url), 'utf8');
    const queries = [...text.matchAll(/^```sql\n([\s\S]*?)```/gm)].map(([, query]) => query);
    expect(queries).not.toHaveLength(0);
    for (const query of queries) {
      const { body } = await service.request.post('/api/v1/pipelines/validate_query').send({ query });
      expect(body.errors).toEqual([]);
      const operators = body.graph.nodes.map(({ operator }: { operator: string }) => operator);
      const isWindowed = /GROUP BY/.test(String(query));
      expect(operators).toEqual(
        isWindowed ? ['mqtt', 'watermark', 'stateful', 'mqtt'] : ['mqtt', 'compiled', 'mqtt'],
      );
    }
  });

  test('returns the connector with the schemas for forms', async () => {
    const { data } = await get('/connectors');
    const mqtt = data.find(({ id }: { id: string }) => id === 'mqtt');
    expect(mqtt).toMatchObject({ source: true, sink: true, testing: true, enabled: true, hidden: false });
    expect(JSON.parse(mqtt.connection_config)).toMatchObject({
      type: 'object',
      required: ['url'],
      sensitive: expect.arrayContaining(['password']),
    });
    expect(JSON.parse(mqtt.table_config)).toMatchObject({
      required: expect.arrayContaining(['topic', 'type']),
    });
    const detail = await get('/connectors/mqtt');
    expect(detail.metadata_columns.map(({ name }: { name: string }) => name)).toContain('topic');
    expect(detail.connection_schema).toEqual(JSON.parse(mqtt.connection_config));
  });
});

describe('operation', () => {
  test('serves ping, health, readiness and metrics', async () => {
    const service = await startService();
    expect((await service.request.get('/api/v1/ping')).body).toBe('Pong');
    expect((await service.request.get('/healthz')).body).toEqual({ status: 'ok' });
    expect((await service.request.get('/readyz')).body).toEqual({ status: 'ok' });
    expect((await service.request.get('/metrics')).text).toContain('penstock_messages_received_total');
    expect((await service.request.get('/api/v1/api-docs/openapi.json')).body.openapi).toBe('3.1.0');
    expect((await service.request.get('/api/v1/swagger-ui/')).text).toContain('swagger-ui');
  });

  test('accepts only loopback names if there is no key', async () => {
    const service = await startService();
    const status = async (host: string) =>
      (await service.request.get('/api/v1/connectors').set('host', host)).status;
    for (const host of ['localhost', 'localhost:5115', '127.0.0.1:1', '[::1]:5115'])
      expect(await status(host), host).toBe(200);
    for (const host of ['rebound.example', '127.0.0.1.rebound.example', 'localhost.example:5115'])
      expect(await status(host), host).toBe(403);
  });

  test('accepts an empty body if none is needed, whatever the content type', async () => {
    const service = await startService();
    const answer = await service.request
      .delete('/api/v1/pipelines/pl_none')
      .set('content-type', 'application/json');
    expect(answer.status).toBe(404);
  });

  test('requires the key for everything but health and documentation if one is set', async () => {
    const service = await startService({ adminKey: 'a-key-of-some-length' });
    const status = async (path: string, key?: string) =>
      (await service.request.get(path).set(key ? { authorization: `Bearer ${key}` } : {})).status;
    for (const path of ['/healthz', '/readyz', '/api/v1/ping', '/api/v1/api-docs/openapi.json'])
      expect(await status(path)).toBe(200);
    for (const path of [
      '/metrics',
      '/api/v1/connectors',
      '/api/v1/pipelines',
      '/api/v1//pipelines',
      '/nothing',
    ]) {
      expect(await status(path), path).toBe(401);
      expect(await status(path, 'a-key-of-some-lengtH'), path).toBe(401);
    }
    expect(await status('/api/v1/connectors', 'a-key-of-some-length')).toBe(200);
  });
});
