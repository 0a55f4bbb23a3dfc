import { beforeAll, describe, expect, test } from 'vitest';
import { databases } from '../support/databases.ts';
import { inlineQuery, objectCalls, plant, unique } from '../support/objects.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

const nowhere = 'mqtt://127.0.0.1:1';

describe.each(databases)('conditional, tried and simultaneous writes on $provider', ({ open }) => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({ open });
  });
  const { send, get, eTag, edits, pipelineOf, profileOf, everything } = objectCalls(() => service);

  test('if-match allows a write only for the version it names, and if-none-match only creates', async () => {
    const given = await plant(service.request);
    const path = `/connection_profiles/${given.profile}`;
    const old = await eTag(path);
    const change = (headers: Record<string, string>, value: string) =>
      send('patch', path, { labels: { value } }, { headers });
    const first = await change({ 'if-match': old }, 'a');
    expect(first.status).toBe(200);
    const stale = await change({ 'if-match': old }, 'b');
    expect([stale.status, stale.body.code]).toEqual([412, 'precondition_failed']);
    expect(stale.body.detail).toContain(`${given.profile}.2`);
    expect((await change({ 'if-match': `"x", ${first.headers.etag}` }, 'c')).status).toBe(200);
    expect((await change({ 'if-match': '*' }, 'd')).status).toBe(200);
    const tag = (await eTag(path)).slice(1, -1);
    expect((await change({ 'if-match': `W/"${old.slice(1, -1)}"` }, 'e')).status).toBe(412);
    expect((await change({ 'if-match': `"${given.profile}"` }, 'e')).status).toBe(412);
    expect((await change({ 'if-match': `"${given.profile}.${'4'.repeat(2)}"` }, 'e')).status).toBe(412);
    // As proxies that compress change it: nginx and HAProxy, Apache, Caddy, Jetty.
    for (const [nth, kept] of [`W/"${tag}"`, `"${tag}-gzip"`, `"${tag}-zstd"`, `"${tag}--gzip"`].entries())
      expect((await change({ 'if-match': kept }, 'd')).status, `${nth} ${kept}`).toBe(200);
    expect((await change({ 'if-match': `"${given.profile}.4"` }, 'd')).status).toBe(200);
    const unreadable = await change({ 'if-match': 'abc' }, 'f');
    expect([unreadable.status, unreadable.body.errors[0].path]).toEqual([400, '/if-match']);
    const deleted = await send('delete', path, undefined, { headers: { 'if-match': old } });
    expect(deleted.status).toBe(412);
    const body = profileOf(given, {});
    const byName = `/connection_profiles/by-name/${given.names.profile}`;
    const onlyNew = await send('put', byName, body, { headers: { 'if-none-match': '*' } });
    expect([onlyNew.status, onlyNew.body.code]).toEqual([412, 'precondition_failed']);
    expect((await get(path)).labels).toEqual({ value: 'd' });
    const other = unique('new');
    const absent = await send(
      'put',
      `/connection_profiles/by-name/${other}`,
      { ...body, name: other },
      {
        headers: { 'if-match': '*' },
      },
    );
    expect(absent.status).toBe(412);
  });

  test('a GET with if-none-match responds 304 while nothing that it shows has changed', async () => {
    const given = await plant(service.request);
    for (const path of [
      `/connection_profiles/${given.profile}`,
      `/connection_tables/${given.readings}`,
      `/connection_tables/by-name/${given.names.readings}`,
      `/pipelines/${await pipelineOf(given)}`,
    ]) {
      const tag = await eTag(path);
      const known = async (header: string) => {
        const { status, text, headers } = await send('get', path, undefined, {
          headers: { 'if-none-match': header },
        });
        expect(text === '').toBe(status === 304);
        expect(headers.etag).toBe(tag);
        return status;
      };
      for (const header of [tag, `W/${tag}`, '*', `"a", ${tag}`, tag.replace(/"$/, '-gzip"')])
        expect(await known(header), header).toBe(304);
      for (const header of ['"a"', tag.slice(1, -1), 'W/', `${tag.slice(0, -3)}"`])
        expect(await known(header), header).toBe(200);
      expect((await service.request.head(`/api/v1${path}`).set('if-none-match', tag)).status).toBe(304);
    }
    // The profile is part of what is shown of a table.
    const table = `/connection_tables/${given.readings}`;
    const before = await eTag(table);
    await send('patch', `/connection_profiles/${given.profile}`, { labels: { site: 'north' } });
    const { status, body } = await send('get', table, undefined, { headers: { 'if-none-match': before } });
    expect([status, body.connection_profile.labels]).toEqual([200, { site: 'north' }]);
  });

  test('PUT by name creates, then replaces, and is got by that name', async () => {
    const given = await plant(service.request);
    const odd = `${unique('Größe')} 50% / ${'ü'.repeat(70)}`;
    const table = tableBody(odd, given.profile, { topic: 'a', type: {} });
    const path = `/connection_tables/by-name/${encodeURIComponent(odd)}`;
    expect((await send('get', path)).status).toBe(404);
    const first = await send('put', path, table, { headers: { 'if-none-match': '*' } });
    expect(first.status, first.text).toBe(200);
    expect(first.headers.location).toBe(`../${first.body.id}`);
    const again = await send('put', path, table);
    expect([again.body.id, again.headers.etag, again.headers.location]).toEqual([
      first.body.id,
      first.headers.etag,
      undefined,
    ]);
    const replaced = await send('put', path, { ...table, config: { topic: 'b', type: {} } });
    expect(replaced.headers.etag).toMatch(`"${first.body.id}.2.`);
    const got = await send('get', path);
    expect([got.body.config.topic, got.headers.etag]).toEqual(['b', replaced.headers.etag]);
    const other = await send('put', path, { ...table, name: 'another' });
    expect([other.status, other.body.errors[0].path]).toEqual([400, '/name']);
    expect((await send('put', '/connection_tables/ct_none000000', table)).status).toBe(404);
    const query = given.query;
    const pipeline = { name: given.names.pipeline, query, parallelism: 1 };
    const made = await send('put', `/pipelines/by-name/${pipeline.name}`, pipeline);
    expect([made.status, made.body.affected_pipelines]).toEqual([200, []]);
    expect((await send('put', `/pipelines/by-name/${pipeline.name}`, pipeline)).body.id).toBe(made.body.id);
    expect(await edits(made.body.id)).toBe(0);
  });

  test('a dry run returns the normal response and changes nothing, for each write of each kind', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    await service.db.job.updateMany({
      where: { pipelineId: pipeline },
      data: { stop: 'graceful', state: 'Stopped' },
    });
    const lonely = await created(
      service.request,
      '/connection_profiles',
      profileBody(nowhere, { name: unique('l') }),
    );
    const there = await everything();
    const dryRun = true;
    const name = unique('new');
    const table = tableBody(name, given.profile, { topic: 'a', type: {} });
    for (const [method, path, body] of [
      ['post', '/connection_profiles', profileBody(nowhere, { name })],
      ['post', '/connection_tables', table],
      ['post', '/pipelines', { name, query: given.query, parallelism: 1 }],
      ['put', `/connection_profiles/${given.profile}`, profileOf(given, { password: 'x' })],
      ['put', `/connection_tables/by-name/${name}`, table],
      ['patch', `/connection_tables/${given.readings}`, { config: { topic: 'b' } }],
      ['patch', `/pipelines/${pipeline}`, { query: given.query.replace('> 90', '> 1'), stop: 'none' }],
      ['delete', `/connection_profiles/${lonely.id}`, undefined],
      ['delete', `/pipelines/${pipeline}`, undefined],
    ] as const) {
      const answer = await send(method, path, body, { dryRun });
      expect(answer.status, answer.text).toBe(200);
      expect([answer.headers.etag, answer.headers.location]).toEqual([undefined, undefined]);
      if (body && 'name' in body) expect(answer.body.name).toBe(body.name);
      expect(await everything(), `${method} ${path}`).toEqual(there);
    }
    const refused = [
      ['post', '/connection_profiles', profileBody(nowhere, { name: given.names.profile }), 'name_taken'],
      ['delete', `/connection_profiles/${given.profile}`, undefined, 'connection_profile_in_use'],
      ['delete', `/connection_tables/${given.readings}`, undefined, 'connection_table_in_use'],
      ['patch', `/connection_tables/${given.readings}`, { name }, 'connection_table_in_use'],
    ] as const;
    for (const [method, path, body, code] of refused)
      expect((await send(method, path, body, { dryRun })).body.code, path).toBe(code);
    expect((await service.request.delete(`/api/v1/pipelines/${pipeline}?dry_run=perhaps`)).status).toBe(400);
    expect(await everything()).toEqual(there);
  });

  test('a dry run of an edit names the pipelines that it would drain', async () => {
    const given = await plant(service.request);
    const pipeline = await pipelineOf(given);
    const answer = await send(
      'patch',
      `/connection_profiles/${given.profile}`,
      { config: { password: 'x' } },
      { dryRun: true },
    );
    expect(answer.body.affected_pipelines).toEqual([{ id: pipeline, name: given.names.pipeline }]);
    expect(await edits(pipeline)).toBe(0);
  });

  test('concurrent patches are all applied, and concurrent PUTs never mix', async () => {
    const { profile } = await plant(service.request);
    const path = `/connection_profiles/${profile}`;
    const writers = Array.from({ length: 12 }, (_, i) => `w${i}`);
    const answers = await Promise.all(
      writers.map((writer) => send('patch', path, { labels: { [writer]: 'x' } })),
    );
    expect(answers.map(({ status }) => status)).toEqual(writers.map(() => 200));
    expect(new Set(answers.map(({ headers }) => headers.etag)).size).toBe(writers.length);
    expect(Object.keys((await get(path)).labels).sort()).toEqual(writers.toSorted());
    // Whole objects: the result is the body of one of them.
    const bodies = writers.map((writer) => ({
      labels: { [writer]: 'y' },
      config: { url: `mqtt://${writer}` },
    }));
    const { name } = await get(path);
    const replaced = await Promise.all(
      bodies.map((body) => send('put', path, { name, connector: 'mqtt', ...body })),
    );
    expect(replaced.map(({ status }) => status)).toEqual(writers.map(() => 200));
    const { labels, config } = await get(path);
    expect(bodies).toContainEqual({ labels, config });
  });

  test('of writers with the same if-match one wins', async () => {
    const { readings } = await plant(service.request);
    const path = `/connection_tables/${readings}`;
    const headers = { 'if-match': await eTag(path) };
    const topics = Array.from({ length: 8 }, (_, i) => `t${i}`);
    const answers = await Promise.all(
      topics.map((topic) => send('patch', path, { config: { topic } }, { headers })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    expect(statuses).toEqual([200, ...topics.slice(1).map(() => 412)]);
  });

  test('of concurrent PUTs by name one creates and the others replace', async () => {
    const name = unique('raced');
    const path = `/connection_profiles/by-name/${name}`;
    const body = profileBody(nowhere, { name });
    const answers = await Promise.all([1, 2, 3, 4, 5].map(() => send('put', path, body)));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
    expect(new Set(answers.map(({ body: { id } }) => id)).size).toBe(1);
    expect(answers.filter(({ headers }) => headers.location)).toHaveLength(1);
  });

  test('concurrent edits of a query and of its table leave a valid pipeline', async () => {
    for (let round = 0; round < 5; round++) {
      const given = await plant(service.request);
      const pipeline = await pipelineOf(given);
      const fields = ['device', 'seq', 'kelvin'].map((name) => ({
        name,
        type: name === 'device' ? 'string' : 'float64',
      }));
      const idle = `INSERT INTO ${given.names.alerts} SELECT device, seq, NULL AS celsius FROM ${given.names.readings}`;
      await send('patch', `/pipelines/${pipeline}`, { query: idle });
      const before = await edits(pipeline);
      // Each is valid on its own, and invalid after the other.
      const answers = await Promise.all([
        send('patch', `/connection_tables/${given.readings}`, {
          schema: {
            fields: [
              { name: 'seq', type: 'int64', required: true },
              ...fields.filter(({ name }) => name !== 'seq'),
            ],
          },
        }),
        send('patch', `/pipelines/${pipeline}`, { query: given.query }),
      ]);
      const passed = answers.filter(({ status }) => status === 200).length;
      expect(passed, answers.map(({ text }) => text).join('\n')).toBe(1);
      expect(await edits(pipeline)).toBe(before + 1);
      const { query } = await get(`/pipelines/${pipeline}`);
      const { body } = await send('post', '/pipelines/validate_query', { query });
      expect(body.errors).toEqual([]);
    }
  });

  test('concurrent deletion and use leave no dangling reference', async () => {
    for (let round = 0; round < 5; round++) {
      const name = unique('raced');
      const { id } = await created(service.request, '/connection_profiles', profileBody(nowhere, { name }));
      const body = { name: unique('p'), query: inlineQuery(name), parallelism: 1 };
      const [made, deleted] = await Promise.all([
        send('post', '/pipelines', body),
        send('delete', `/connection_profiles/${id}`),
      ]);
      expect([made.status, deleted.status]).toSatisfy(
        ([first, second]: number[]) => (first === 200 && second === 409) || (first === 400 && second === 200),
      );
    }
  });

  test('rarely appears in the log as an internal error', () => {
    const failures = service.logged().split('request failed').length - 1;
    expect(failures).toBe(0);
  });
});
