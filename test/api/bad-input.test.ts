import { request as httpRequest } from 'node:http';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Document, type Json, operationsOf } from '../../scripts/docs/document.ts';
import { errorCatalog } from '../../src/connectors/catalog.ts';
import { databasesOfSoak } from '../support/databases.ts';
import { created, createTables } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

/**
 * Sends invalid variants of its own example to every route; each must respond with a 4xx. PENSTOCK_SOAK=1 puts every wrong
 * value at every place, and a check each third one, in turn.
 */

const apart = process.env.PENSTOCK_SOAK === '1' ? 1 : 3;

let service: Service;

const routes = () => operationsOf(service.app.swagger() as unknown as Document);

const wrongValues: Json[] = [null, true, -1, 1e308, 'x'.repeat(300), '\u0000', [], [[]], {}, { unknown: 1 }];

/** Counts the wrong values, also those that a check leaves out. */
let turn = 0;

/** One mistake at a time: a value of another type, a missing or an unknown field, at every depth. */
function* mutations(value: Json, rebuild: (changed: Json) => Json, depth = 0): Generator<Json> {
  for (const wrong of wrongValues) {
    turn += 1;
    if (turn % apart !== 0) continue;
    if (JSON.stringify(wrong) !== JSON.stringify(value)) yield rebuild(wrong);
  }
  if (depth > 4 || typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const [i, item] of value.entries())
      yield* mutations(item, (changed) => rebuild(value.with(i, changed)), depth + 1);
    return;
  }
  yield rebuild({ ...value, unknown_field: 1 });
  yield rebuild({ ...value, __proto__x: { polluted: true } });
  for (const [name, item] of Object.entries(value)) {
    const { [name]: _dropped, ...others } = value;
    yield rebuild(others);
    yield* mutations(item, (changed) => rebuild({ ...value, [name]: changed }), depth + 1);
  }
}

function expectProblem(body: Record<string, unknown>, status: number): void {
  expect(body).toMatchObject({
    status,
    title: expect.any(String),
    detail: expect.any(String),
    error: body.detail,
  });
  expect(Object.keys(errorCatalog)).toContain(body.code);
  expect(String(body.detail).length).toBeGreaterThan(10);
}

/** Edits use existing objects, so that they are validated. */
async function urlFor(method: string, path: string, body: Json): Promise<string> {
  const sent = (body as { name?: unknown } | null)?.name;
  const name = typeof sent === 'string' && sent !== '' && sent.length <= 100 ? sent : 'none';
  const [, collection] = path.split('/').slice(2);
  const edits = method === 'put' || method === 'patch';
  const { body: list } = edits ? await service.request.get(`/api/v1/${collection}`) : { body: { data: [] } };
  const id = list.data.at(-1)?.id ?? 'none_0000000000';
  return path.replace('{id}', id).replace('{name}', encodeURIComponent(name));
}

describe.each(databasesOfSoak)('bad input on $provider', ({ open }) => {
  beforeAll(async () => {
    service = await startService({ open });
    await createTables(service.request, 'mqtt://127.0.0.1:1');
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    await created(service.request, '/pipelines', { name: 'all', query, parallelism: 1 });
  });

  test('in a body gets a 4xx that explains what to change, from every route with a body', async () => {
    const withBody = routes().filter(({ operation }) => operation.requestBody);
    expect(withBody.length).toBeGreaterThan(6);
    let sent = 0;
    let refused = 0;
    for (const { method, path, example } of withBody) {
      expect(example, `${method} ${path} has an example`).toBeDefined();
      for (const body of mutations(example as Json, (changed) => changed)) {
        const url = await urlFor(method, path, body);
        const response = await service.request[method as 'post'](url)
          .set('accept', 'application/json')
          .send(JSON.stringify(body))
          .type('json');
        const said = `${method} ${path} ${JSON.stringify(body)?.slice(0, 300)} → ${response.status} ${response.text.slice(0, 500)}`;
        expect(response.status, said).toBeLessThan(500);
        if (method !== 'post') expect(response.status, said).not.toBe(404);
        sent++;
        if (response.status < 400) continue;
        refused++;
        expect(response.type, said).toBe('application/problem+json');
        expectProblem(response.body, response.status);
        if (response.body.code === 'invalid_request' && response.body.errors.length > 0)
          for (const { path: at, message } of response.body.errors)
            expect(typeof at === 'string' && message.length > 3, said).toBe(true);
      }
    }
    expect(refused).toBeGreaterThan(200);
    expect(sent).toBeGreaterThan(refused);
  }, 120_000);

  test('that is not JSON, empty, or of another type is refused by every route with a body', async () => {
    for (const { method, path, operation } of routes()) {
      if (!operation.requestBody) continue;
      const url = path.replace('{id}', 'none_0000000000').replace('{name}', 'none');
      const send = (type: string, text: string) =>
        service.request[method as 'post'](url).set('content-type', type).send(text);
      for (const text of ['{', '{"a":}', 'nul', '[1,', '"']) {
        const response = await send('application/json', text);
        expect([response.status, response.body.code], `${method} ${path} ${text}`).toEqual([
          400,
          'invalid_request',
        ]);
      }
      // 404 if the body is optional, because the id does not exist.
      expect([400, 404]).toContain((await send('application/json', '')).status);
      expect((await send('text/plain', 'hello')).body).toMatchObject({
        status: 415,
        code: 'unsupported_media_type',
      });
    }
  });

  test('of 10 MB is refused with 413', async () => {
    const body = JSON.stringify({ name: 'x'.repeat(10_000_000), connector: 'mqtt', config: {} });
    const answer = await post('/api/v1/connection_profiles', body);
    expect(answer.status).toBe(413);
    expectProblem(JSON.parse(answer.text), 413);
    expect(JSON.parse(answer.text).code).toBe('payload_too_large');
  });

  test.each([
    'limit=0',
    'limit=-1',
    'limit=ten',
    'limit=1.5',
    'starting_after=',
    'starting_after=ct_none',
    'page=2',
  ])('in page parameters (%s) is refused with the name of the parameter', async (query) => {
    for (const list of ['connection_tables', 'pipelines']) {
      const { status, body } = await service.request.get(`/api/v1/${list}?${query}`);
      expect(status, JSON.stringify(body)).toBe(400);
      expectProblem(body, 400);
      expect(body.errors[0].path).toBe(`/${query.split('=')[0]}`);
    }
  });

  test('in a path gets 404, whatever it contains', async () => {
    for (const { method, path, operation } of routes()) {
      if (!path.includes('{') || operation.requestBody) continue;
      for (const id of ['none', '%00', '..%2f..', 'x'.repeat(64), "'%20OR%201=1"]) {
        const url = path.replace('{id}', id).replace('{job_id}', id).replace('{name}', id);
        const { status } = await service.request[method as 'get'](url);
        expect([400, 404], `${method} ${url}`).toContain(status);
      }
    }
  });

  test.each(['/%zz', `/api/v1/pipelines/${'x'.repeat(300)}`, '/api/v1/connection_tables?starting_after=%00'])(
    'that the router refuses (%s) gives a problem too',
    async (path) => {
      const { status, body } = await service.request.get(path);
      expect([400, 404]).toContain(status);
      expectProblem(body, status);
    },
  );

  test('with a thousand mistakes is refused without searching for all of them', async () => {
    const fields = Array.from({ length: 60_000 }, () => ({ a: 1 }));
    const { status, body } = await service.request
      .post('/api/v1/connection_tables/schemas/test')
      .send({ fields });
    expect(status).toBe(400);
    expect(body.errors).toHaveLength(1);
  });

  test('nested too deeply is refused', async () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"items":', '}'],
    ] as const) {
      const text = `{"fields":[{"name":"a","type":"list","items":${open.repeat(50_000)}1${close.repeat(50_000)}}]}`;
      const { status, body } = await service.request
        .post('/api/v1/connection_tables/schemas/test')
        .type('json')
        .send(text);
      expect(status).toBe(400);
      expectProblem(body, 400);
    }
  });

  test('with a NUL in a query parameter is refused before it reaches the database', async () => {
    for (const query of [
      'INSERT INTO a SELECT * FROM "a\u0000"',
      "CREATE TABLE t (a TEXT) WITH (connection_profile = '\u0000')",
    ]) {
      const { status } = await service.request
        .post('/api/v1/pipelines')
        .send({ name: 'p', query, parallelism: 1 });
      expect(status).toBe(400);
    }
  });

  test('in the path of a route that does not exist gives a problem too', async () => {
    const { status, body } = await service.request.put('/api/v1/nothing').send({});
    expect(status).toBe(404);
    expectProblem(body, 404);
  });

  test('never appears in the log as an internal error', () => {
    expect(service.logged()).not.toContain('request failed');
  });
});

/** Sends more than the server reads: it may close the connection during the upload. */
function post(path: string, body: string): Promise<{ status: number; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
  let answered = false;
  const outgoing = httpRequest(service.address + path, { method: 'POST', headers }, (response) => {
    answered = true;
    let text = '';
    response.on('data', (chunk) => {
      text += chunk;
    });
    response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
  });
  outgoing.on('error', (error) => {
    if (!answered) reject(error);
  });
  outgoing.end(body);
  return promise;
}
