import { beforeEach, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { profileBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const nowhere = 'mqtt://127.0.0.1:1';
const inMicros = (ms: number): number => (Date.now() + ms) * 1000;

let service: Service;

/** Calls the service, with a key if there is one. */
async function call(method: string, path: string, { key, body }: { key?: string; body?: object } = {}) {
  const response = await fetch(`${service.address}/api/v1${path}`, {
    method,
    headers: {
      accept: 'application/json',
      ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text.startsWith('{') ? JSON.parse(text) : text };
}

const newKey = async (role: string, key?: string, more: object = {}) => {
  const body = { name: `${role}-${Math.random()}`, role, ...more };
  const made = await call('POST', '/api_keys', { ...(key ? { key } : {}), body });
  expect(made.status, JSON.stringify(made.body)).toBe(200);
  return made.body as { id: string; key: string; name: string };
};

describe.each(databases)('keys on $provider', ({ open }) => {
  beforeEach(async () => {
    service = await startService({ open });
  });

  test('calls need no key until one exists, and then always', async () => {
    expect((await call('GET', '/pipelines')).status).toBe(200);
    const { key } = await newKey('admin');
    expect((await call('GET', '/pipelines')).status).toBe(401);
    expect((await call('GET', '/pipelines', { key: `${key}x` })).status).toBe(401);
    expect((await call('GET', '/pipelines', { key })).status).toBe(200);
  });

  test('a caller can ask for its name, its role and whether keys are required', async () => {
    const caller = async (key?: string) => call('GET', '/caller', key === undefined ? {} : { key });
    const open = { name: 'anybody', role: 'admin', keys_required: false };
    expect(await caller()).toEqual({ status: 200, body: open });
    const admin = await newKey('admin');
    const viewer = await newKey('viewer', admin.key);
    for (const [role, { key, name }] of Object.entries({ admin, viewer }))
      expect(await caller(key)).toEqual({ status: 200, body: { name, role, keys_required: true } });
    expect((await caller()).status).toBe(401);
  });

  test('a key is shown once, and the database stores only its hash', async () => {
    const { key, id, name } = await newKey('admin');
    const list = await call('GET', '/api_keys', { key });
    expect(list.body.data).toEqual([
      {
        id,
        name,
        role: 'admin',
        created_at: expect.any(Number),
        expires_at: null,
        last_used_at: expect.any(Number),
      },
    ]);
    const rows = JSON.stringify(
      [await service.db.apiKey.findMany(), await service.db.auditRecord.findMany()],
      (_, value) => (typeof value === 'bigint' ? String(value) : value),
    );
    expect(rows).not.toContain(key.slice(3));
    expect(service.logged()).not.toContain(key.slice(3));
  });

  test('the first key must be able to create others, and the last such key cannot be revoked', async () => {
    const first = await call('POST', '/api_keys', { body: { name: 'a', role: 'operator' } });
    expect(first).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
    const brief = { name: 'a', role: 'admin', expires_at: inMicros(60_000) };
    expect((await call('POST', '/api_keys', { body: brief })).status).toBe(409);
    const admin = await newKey('admin');
    const other = await newKey('operator', admin.key);
    const refused = await call('DELETE', `/api_keys/${admin.id}`, admin);
    expect(refused).toMatchObject({ status: 409, body: { code: 'illegal_state' } });
    expect((await call('DELETE', `/api_keys/${other.id}`, admin)).status).toBe(200);
    expect((await call('DELETE', `/api_keys/${admin.id}`, admin)).status).toBe(200);
    expect((await call('GET', '/pipelines')).status).toBe(200);
  });

  test('a revoked or expired key is refused', async () => {
    const admin = await newKey('admin');
    const revoked = await newKey('viewer', admin.key);
    expect((await call('GET', '/jobs', revoked)).status).toBe(200);
    await call('DELETE', `/api_keys/${revoked.id}`, admin);
    expect((await call('GET', '/jobs', revoked)).status).toBe(401);
    /** A key that is valid for this time, and was so when it was used. */
    const usedWithin = async (ms: number) => {
      const sent = { name: `brief-${ms}`, role: 'viewer', expires_at: inMicros(ms) };
      const made = await call('POST', '/api_keys', { ...admin, body: sent });
      return (await call('GET', '/jobs', made.body)).status === 200 && (made.body as { key: string });
    };
    // Longer if the machine is busy.
    const brief = (await usedWithin(1_500)) || (await usedWithin(15_000));
    if (!brief) throw new Error('a key is refused before its end');
    await until('the end of the key', async () => (await call('GET', '/jobs', brief)).status === 401, 60_000);
    const over = { name: 'over', role: 'viewer', expires_at: inMicros(-1_000) };
    expect(await call('POST', '/api_keys', { ...admin, body: over })).toMatchObject({
      status: 400,
      body: { errors: [{ path: '/expires_at' }] },
    });
  });

  test('a second key with the same name is refused, and a missing key cannot be revoked', async () => {
    const admin = await newKey('admin');
    const again = await call('POST', '/api_keys', { ...admin, body: { name: admin.name, role: 'viewer' } });
    expect(again).toMatchObject({ status: 409, body: { code: 'name_taken' } });
    expect((await call('DELETE', '/api_keys/key_none', admin)).status).toBe(404);
  });
});

describe('roles', () => {
  beforeEach(async () => {
    service = await startService();
  });

  interface Operation {
    operationId: string;
    description?: string;
  }

  /** Every operation of the document, with a path to a missing object. */
  async function operations() {
    const document = (await call('GET', '/api-docs/openapi.json')).body as {
      paths: Record<string, Record<string, Operation>>;
    };
    return Object.entries(document.paths)
      .filter(([path]) => path.startsWith('/api/v1/'))
      .flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, { operationId, description = '' }]) => ({
          method: method.toUpperCase(),
          path: path.replace('/api/v1', '').replaceAll(/\{[^}]+\}/g, 'none'),
          operationId,
          role: /Needs the role (\w+)/.exec(description)?.[1],
        })),
      );
  }

  test('each operation documents its role, and refuses lower ones', async () => {
    const admin = await newKey('admin');
    const keys: Record<string, { key: string }> = {
      viewer: await newKey('viewer', admin.key),
      operator: await newKey('operator', admin.key),
      admin,
    };
    const order = ['viewer', 'operator', 'admin'];
    const all = await operations();
    expect(all.length).toBeGreaterThan(20);
    for (const { method, path, role, operationId } of all) {
      if (operationId === 'ping') continue;
      expect(order, operationId).toContain(role);
      const reads = method === 'GET';
      if (!reads) expect(role, operationId).not.toBe('viewer');
      for (const [name, key] of Object.entries(keys)) {
        const { status } = await call(method, path, key);
        const allowed = order.indexOf(name) >= order.indexOf(role as string);
        if (allowed) expect(status, `${name} ${operationId}`).not.toBe(403);
        else expect(status, `${name} ${operationId}`).toBe(403);
      }
      // There are more operations than an address may try in a minute.
      expect([401, 429], operationId).toContain((await call(method, path)).status);
    }
  });

  test('a viewer cannot make Penstock connect to a broker', async () => {
    const roles = Object.fromEntries(
      (await operations()).map(({ operationId, role }) => [operationId, role]),
    );
    expect(roles).toMatchObject({ autocompleteConnectionProfile: 'operator', listAuditRecords: 'admin' });
  });
});

describe('the audit log', () => {
  beforeEach(async () => {
    service = await startService();
  });

  const canary = 'canary-in-a-password';
  const body = profileBody(nowhere, { config: { url: nowhere, username: 'me', password: canary } });
  const records = async (query = '', key?: string) =>
    (await call('GET', `/audit${query}`, key ? { key } : {})).body.data as Record<string, unknown>[];

  test('leaves out checks that neither change nor connect, as an editor makes them', async () => {
    const checks: [path: string, body: object][] = [
      ['/pipelines/validate_query', { query: 'SELECT 1' }],
      [
        '/connection_tables/schemas/test',
        { format: { type: 'json' }, fields: [{ name: 'a', type: 'int64' }] },
      ],
      ['/udfs/validate', { definition: 'x' }],
    ];
    for (const [path, body] of checks) expect((await call('POST', path, { body })).status).toBe(200);
    expect(await records()).toEqual([]);
  });

  test('records who wrote what, and the result', async () => {
    const admin = await newKey('admin');
    const operator = await newKey('operator', admin.key);
    const profile = await call('POST', '/connection_profiles', { ...operator, body });
    await call('GET', '/connection_profiles', operator);
    await call('DELETE', `/connection_profiles/${profile.body.id}`, operator);
    const found = await records(`?actor=${encodeURIComponent(operator.name)}`, admin.key);
    expect(found).toMatchObject([
      {
        action: 'deleteConnectionProfile',
        object: profile.body.id,
        status: 200,
        before: { name: 'plant', config: { password: '********' } },
        after: null,
      },
      {
        actor: operator.name,
        role: 'operator',
        address: '127.0.0.1',
        action: 'createConnectionProfile',
        object: profile.body.id,
        status: 200,
        code: null,
        before: null,
        after: { name: 'plant', config: { password: '********' } },
        request_id: expect.any(String),
      },
    ]);
    expect(JSON.stringify(await records('', admin.key))).not.toContain(canary);
  });

  test('records refused calls and tests, but not calls without a valid key', async () => {
    const admin = await newKey('admin');
    const viewer = await newKey('viewer', admin.key);
    await call('POST', '/connection_profiles', { ...viewer, body });
    await call('POST', '/connection_profiles', { ...admin, body: { ...body, name: '' } });
    await call('POST', '/connection_profiles', { body });
    await call('POST', '/nothing', { ...admin, body });
    await call('POST', '/connection_profiles/test', { ...admin, body });
    const streamed = await fetch(`${service.address}/api/v1/connection_profiles/test`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${admin.key}`,
        accept: 'text/event-stream',
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
    await streamed.text();
    const seen = await until('the record of the streamed test', async () => {
      const found = await records('', admin.key);
      return found.filter(({ action }) => action !== 'createApiKey').length === 4 && found;
    });
    expect(seen.slice(0, 4)).toMatchObject([
      { action: 'testConnectionProfile', status: 200, after: { outcome: 'failed' } },
      { action: 'testConnectionProfile', status: 200, after: { outcome: 'failed' } },
      { action: 'createConnectionProfile', status: 400, code: 'invalid_request', after: null },
      { action: 'createConnectionProfile', status: 403, code: 'forbidden', actor: viewer.name },
    ]);
  });

  test('is paged and filtered', async () => {
    for (const name of ['a', 'b', 'c'])
      await call('POST', '/connection_profiles', { body: profileBody(nowhere, { name }) });
    const all = await records();
    expect(all.map(({ after }) => (after as { name: string }).name)).toEqual(['c', 'b', 'a']);
    const [first, second, third] = all as [{ id: string }, { object: string }, { created_at: number }];
    expect(await records(`?limit=1&starting_after=${first.id}`)).toEqual([second]);
    expect(await records(`?object=${second.object}`)).toEqual([second]);
    expect(await records(`?since=${third.created_at}`)).toHaveLength(3);
    expect(await records(`?since=${third.created_at + 60_000_000}`)).toEqual([]);
    expect(await records('?action=deletePipeline')).toEqual([]);
    expect((await call('GET', '/audit?starting_after=aud_none')).status).toBe(400);
  });
});
