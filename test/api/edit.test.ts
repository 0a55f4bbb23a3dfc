import { beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { inlineQuery, objectCalls, plant, unique } from '../support/objects.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';
const mask = '********';

describe.each(databases)('edits on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
  });
  const { send, get, eTag, edits, pipelineOf, profileOf, storedPassword, everything } = objectCalls(
    () => service,
  );

  test('the same PUT twice changes nothing the second time, for each kind of object', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    const labels = { site: 'north' };
    const source = { topic: 'plant/+/celsius', type: {} };
    for (const [path, body] of [
      [`/connection_profiles/${given.profile}`, profileOf(given, { password: 'second-canary' }, { labels })],
      [
        `/connection_tables/${given.readings}`,
        { ...tableBody(given.names.readings, given.profile, source), labels },
      ],
      [
        `/pipelines/${pipeline}`,
        { name: given.names.pipeline, query: given.query.replace('> 90', '> 95'), parallelism: 1, labels },
      ],
    ] as const) {
      const before = await eTag(path);
      const first = await send('put', path, body);
      expect(first.status, first.text).toBe(200);
      expect(first.headers.etag).not.toBe(before);
      expect(first.headers.etag).toMatch(/^"\w+\.2\.[0-9a-f]{12}"$/);
      expect(first.body.affected_pipelines).toEqual([{ id: pipeline, name: given.names.pipeline }]);
      expect(first.body.labels).toEqual(labels);
      const [requests, there] = [await edits(pipeline), await everything()];
      // The same definition as another program may write it.
      const reordered = Object.fromEntries(Object.entries(body).toReversed());
      const second = await send('put', path, reordered);
      expect([second.status, second.headers.etag]).toEqual([200, first.headers.etag]);
      expect(second.body.affected_pipelines).toEqual([]);
      expect(await edits(pipeline)).toBe(requests);
      expect(await everything()).toEqual(there);
    }
    expect(await edits(pipeline)).toBe(3);
  });

  test('definitions are returned as sent, after POST, PUT and PATCH', async () => {
    const given = await plant(service.request);
    const schema = {
      format: { type: 'json' },
      fields: [{ name: 'at', type: 'timestamp' }],
      bad_data: null,
    };
    const config = { topic: 'a', type: {} };
    const body = {
      name: unique('t'),
      connector: 'mqtt',
      connection_profile_id: given.profile,
      config,
      schema,
    };
    const posted = await created(service.request, '/connection_tables', body);
    expect(posted).toMatchObject(body);
    expect(posted.schema).toStrictEqual(schema);
    expect(posted.config).toStrictEqual(config);
    const other = {
      ...body,
      schema: { fields: [{ name: 'b', type: 'bytes', required: false }], format: schema.format },
    };
    const put = await send('put', `/connection_tables/${posted.id}`, other);
    expect(put.body.schema).toStrictEqual(other.schema);
    const patched = await send('patch', `/connection_tables/${posted.id}`, {
      config: { qos: 'ExactlyOnce' },
    });
    expect(patched.body.config).toStrictEqual({ ...config, qos: 'ExactlyOnce' });
    expect(patched.body.schema).toStrictEqual(other.schema);
    expect(await get(`/connection_tables/${posted.id}`)).toMatchObject({
      ...other,
      config: patched.body.config,
    });
  });

  test('the mask keeps a secret in PUT and PATCH, null clears it, and the secret is never returned', async () => {
    const given = await plant(service.request);
    const path = `/connection_profiles/${given.profile}`;
    const first = await storedPassword(given.profile);
    const kept = await send('put', path, profileOf(given, { password: mask, clientPrefix: 'x' }));
    expect([kept.status, kept.body.config.password]).toEqual([200, mask]);
    const opened = async () => {
      const answer = await send('patch', path, { config: { password: 'first-canary' } });
      return answer.headers.etag;
    };
    // The same secret is no change, so the sealed value stays the first one.
    expect(await opened()).toBe(kept.headers.etag);
    expect(await storedPassword(given.profile)).not.toBe(first);
    const merged = await send('patch', path, { config: { clientPrefix: 'y', password: mask } });
    expect(await opened()).toBe(merged.headers.etag);
    const cleared = await send('patch', path, { config: { password: null, username: null } });
    expect(cleared.body.config).toEqual({ url: nowhere, clientPrefix: 'y' });
    expect(await storedPassword(given.profile)).toBeUndefined();
    const nothing = await send('patch', path, { config: { username: 'me', password: mask } });
    expect(nothing.body).toMatchObject({ code: 'invalid_config', errors: [{ path: '/config/password' }] });
    expect(service.logged()).not.toContain('first-canary');
  });

  test('a merge patch is read under its own content type too', async () => {
    const { profile } = await plant(service.request);
    const headers = { 'content-type': 'application/merge-patch+json' };
    const answer = await send(
      'patch',
      `/connection_profiles/${profile}`,
      { labels: { a: 'b' } },
      { headers },
    );
    expect([answer.status, answer.body.labels]).toEqual([200, { a: 'b' }]);
  });

  test('refuses another connector, unknown fields and whatever a POST refuses, with the path', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    const profile = `/connection_profiles/${given.profile}`;
    const table = `/connection_tables/${given.readings}`;
    const there = await everything();
    for (const [method, path, body, at] of [
      ['patch', profile, { connector: 'kinesis' }, '/connector'],
      ['put', profile, { ...profileOf(given, {}), connector: 'kinesis' }, '/connector'],
      ['patch', profile, { config: { url: 'ftp://x' } }, '/config/url'],
      ['patch', profile, { config: { colour: 'red' } }, '/config/colour'],
      ['patch', profile, { colour: 'red' }, '/colour'],
      ['patch', profile, { name: '' }, '/name'],
      ['patch', profile, { config: { url: null } }, '/config/url'],
      ['patch', table, { connection_profile_id: 'cp_none' }, '/connection_profile_id'],
      ['patch', table, { config: { topic: 'a/#/b' } }, '/config/topic'],
      ['patch', table, { schema: { fields: [{ name: 'a', type: 'text' }] } }, '/schema/fields/0/type'],
      ['patch', table, { schema: { colour: 1 } }, '/schema/colour'],
      ['patch', `/pipelines/${pipeline}`, { query: 'SELECT' }, '/query'],
      ['patch', `/pipelines/${pipeline}`, { query: null }, '/query'],
      ['patch', `/pipelines/${pipeline}`, { stop: 'softly' }, '/stop'],
      ['patch', profile, { labels: { '-a': 'b' } }, '/labels'],
      ['patch', profile, { labels: { a: 'b c' } }, '/labels/a'],
      [
        'patch',
        profile,
        { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ''])) },
        '/labels',
      ],
      ['patch', profile, { labels: { ['k'.repeat(64)]: '' } }, '/labels'],
      ['patch', profile, { labels: { k: 'v'.repeat(64) } }, '/labels/k'],
    ] as const) {
      const { status, body: answer } = await send(method, path, body);
      expect([status, answer.errors?.[0]?.path], JSON.stringify([body, answer])).toEqual([400, at]);
    }
    expect(await everything()).toEqual(there);
  });

  test('an edit is refused if it would make a pipeline or table invalid', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    const there = await everything();
    const gone = { schema: { fields: [{ name: 'device', type: 'string' }] } };
    const broken = await send('patch', `/connection_tables/${given.readings}`, gone);
    expect([broken.status, broken.body.code]).toEqual([409, 'dependents_broken']);
    expect(broken.body.errors[0].message).toContain(given.names.pipeline);
    expect(broken.body.errors[0].message).toMatch(/line 1: .*celsius/);
    const turned = await send('patch', `/connection_tables/${given.readings}`, {
      config: { topic: 'plant/readings', type: { retain: false } },
    });
    expect([turned.status, turned.body.code], turned.text).toEqual([409, 'dependents_broken']);
    expect(await everything()).toEqual(there);
    expect(await edits(pipeline)).toBe(0);
  });

  test('an edit of a profile is refused if it would make one of its tables invalid', async () => {
    const { profile, alerts, names } = await plant(service.request);
    const older = () =>
      send('patch', `/connection_profiles/${profile}`, { config: { protocolVersion: '3.1.1' } });
    await send('patch', `/connection_tables/${alerts}`, { config: { type: { expirySecs: '60' } } });
    const stored = await older();
    expect([stored.status, stored.body.code]).toEqual([409, 'dependents_broken']);
    expect(stored.body.errors[0].message).toMatch(new RegExp(`^table ${names.alerts}: .*requires MQTT 5`));
    await send('patch', `/connection_tables/${alerts}`, { config: { type: { expirySecs: null } } });
    const query = inlineQuery(names.profile).replace("'sink',", "'sink', sink.expiry_secs = '60',");
    const pipeline = await created(service.request, '/pipelines', {
      name: names.pipeline,
      query,
      parallelism: 1,
    });
    const inline = await older();
    expect([inline.status, inline.body.code]).toEqual([409, 'dependents_broken']);
    expect(inline.body.errors[0].message).toMatch(new RegExp(`^pipeline ${names.pipeline}: line 3: `));
    await send('patch', `/pipelines/${pipeline.id}`, { query: inlineQuery(names.profile) });
    expect((await older()).status).toBe(200);
  });

  test('a pipeline that was already invalid does not prevent an edit', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    const query = `${given.query} AND colour = 'red'`;
    await service.db.pipeline.update({ where: { id: pipeline }, data: { query } });
    const answer = await send('patch', `/connection_profiles/${given.profile}`, {
      config: { password: 'x' },
    });
    expect([answer.status, answer.body.affected_pipelines.length], answer.text).toEqual([200, 1]);
  });

  test('a secret that can no longer be opened can be entered again', async () => {
    const given = await plant(service.request);
    const row = await service.db.connectionProfile.findUniqueOrThrow({ where: { id: given.profile } });
    const config = row.config.replace(/v1\.[0-9a-f]+/, 'v1.00000000');
    expect(config).not.toBe(row.config);
    await service.db.connectionProfile.update({ where: { id: given.profile }, data: { config } });
    const path = `/connection_profiles/${given.profile}`;
    expect((await send('put', path, profileOf(given, { password: mask }))).body.code).toBe(
      'secret_unreadable',
    );
    const entered = await send('patch', path, { config: { password: 'again-canary' } });
    expect([entered.status, entered.body.config.password], entered.text).toEqual([200, mask]);
    expect((await send('put', path, profileOf(given, { password: mask }))).status).toBe(200);
  });

  test('an edit of a profile reaches the pipelines that name it in their query', async () => {
    const { profile, names } = await plant(service.request);
    const pipeline = await created(service.request, '/pipelines', {
      name: names.pipeline,
      query: inlineQuery(names.profile),
      parallelism: 1,
    });
    const answer = await send('patch', `/connection_profiles/${profile}`, { config: { password: 'other' } });
    expect(answer.body.affected_pipelines).toEqual([{ id: pipeline.id, name: names.pipeline }]);
    expect(await edits(pipeline.id)).toBe(1);
    const used = await send('delete', `/connection_profiles/${profile}`);
    expect([used.status, used.body.code]).toEqual([409, 'connection_profile_in_use']);
    expect(used.body.detail).toContain(`pipeline ${names.pipeline}`);
    expect(used.body.detail).toContain(names.readings);
    const renamed = await send('patch', `/connection_profiles/${profile}`, { name: unique('other') });
    expect([renamed.status, renamed.body.code]).toEqual([409, 'connection_profile_in_use']);
    expect(renamed.body.detail).toContain(names.pipeline);
    // Another query releases it.
    const tables = await plant(service.request);
    expect((await send('patch', `/pipelines/${pipeline.id}`, { query: tables.query })).status).toBe(200);
    expect((await send('patch', `/connection_profiles/${profile}`, { name: unique('other') })).status).toBe(
      200,
    );
  });

  test('a profile that only inline tables use cannot be deleted', async () => {
    const name = unique('lonely');
    const { id } = await created(service.request, '/connection_profiles', profileBody(nowhere, { name }));
    const query = inlineQuery(name);
    await created(service.request, '/pipelines', { name: unique('p'), query, parallelism: 1 });
    const answer = await send('delete', `/connection_profiles/${id}`);
    expect([answer.status, answer.body.code]).toEqual([409, 'connection_profile_in_use']);
  });

  test('a name in a query cannot change; others can', async () => {
    const given = await plant(service.request);
    const free = await send('patch', `/connection_tables/${given.readings}`, { name: unique('free') });
    expect(free.status).toBe(200);
    await send('patch', `/connection_tables/${given.readings}`, { name: given.names.readings });
    const pipeline = await pipelineOf(given);
    const refused = await send('patch', `/connection_tables/${given.readings}`, { name: unique('other') });
    expect([refused.status, refused.body.code]).toEqual([409, 'connection_table_in_use']);
    expect(refused.body).toMatchObject({
      errors: [{ path: '/name' }],
      detail: expect.stringContaining(given.names.pipeline),
    });
    // Tables refer to their profile by id.
    const profile = await send('patch', `/connection_profiles/${given.profile}`, { name: unique('other') });
    expect([profile.status, profile.body.affected_pipelines]).toEqual([200, []]);
    const renamed = await send('patch', `/pipelines/${pipeline}`, { name: unique('other') });
    expect([renamed.status, renamed.body.affected_pipelines]).toEqual([200, []]);
    expect(await edits(pipeline)).toBe(0);
    const taken = (await plant(service.request)).names;
    for (const [path, name] of [
      [`/connection_profiles/${given.profile}`, taken.profile],
      [`/connection_tables/${given.alerts}`, taken.alerts],
    ] as const) {
      const answer = await send('patch', path, { name });
      expect([answer.status, answer.body.errors?.[0]?.path], answer.text).toEqual([409, '/name']);
    }
  });

  test('labels and names change without notifying jobs; other changes notify them', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    for (const path of [
      `/connection_profiles/${given.profile}`,
      `/connection_tables/${given.readings}`,
      `/pipelines/${pipeline}`,
    ]) {
      const before = await eTag(path);
      const { headers, body } = await send('patch', path, { labels: { a: 'b', c: 'd' } });
      expect(headers.etag).not.toBe(before);
      expect(body.affected_pipelines).toEqual([]);
      expect((await send('patch', path, { labels: { a: null } })).body.labels).toEqual({ c: 'd' });
      expect((await send('patch', path, { labels: null })).body.labels).toEqual({});
    }
    expect(await edits(pipeline)).toBe(0);
    const query = given.query.replace('> 90', '> 80');
    const edited = await send('patch', `/pipelines/${pipeline}`, { query });
    expect(edited.body).toMatchObject({ query, affected_pipelines: [{ id: pipeline }] });
    expect(await edits(pipeline)).toBe(1);
    // A job that should not run has nothing to drain, but is notified too.
    await send('patch', `/pipelines/${pipeline}`, { stop: 'graceful' });
    const stopped = await send('patch', `/connection_tables/${given.readings}`, {
      config: { topic: 'elsewhere' },
    });
    expect(stopped.body.affected_pipelines).toEqual([]);
    expect(await edits(pipeline)).toBe(2);
  });

  test('stopping and restarting a pipeline changes what is shown, and not the version that writes depend on', async () => {
    const given = await plant(service.request);
    const path = `/pipelines/${await pipelineOf(given)}`;
    const before = await eTag(path);
    const stopped = await send('patch', path, { stop: 'graceful' }, { headers: { 'if-match': before } });
    expect([stopped.status, stopped.body.stop]).toEqual([200, 'graceful']);
    const known = await send('get', path, undefined, { headers: { 'if-none-match': before } });
    expect([known.status, known.body.stop]).toEqual([200, 'graceful']);
    await send('post', `${path}/restart`, {});
    const written = await send('patch', path, { labels: { a: 'b' } }, { headers: { 'if-match': before } });
    expect(written.status).toBe(200);
  });

  test('rarely appears in the log as an internal error', () => {
    const failures = service.logged().split('request failed').length - 1;
    // Of the secret that could not be opened.
    expect(failures).toBe(1);
  });
});
