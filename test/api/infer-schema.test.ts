import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { Endpoint } from '../support/http-endpoint.ts';
import { unique } from '../support/mqtt.ts';
import { created, profileBody } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

const rig = useRig();

const path = '/connection_tables/infer_schema';

describe('the schema of a table', () => {
  let profile: string;
  let topic: string;
  beforeEach(async () => {
    profile = (await created(rig.request, '/connection_profiles', profileBody(rig.broker.url))).id;
    topic = `infer/${unique()}`;
  });

  const body = (more: object = {}) => ({
    connector: 'mqtt',
    connection_profile_id: profile,
    config: { topic: `${topic}/#`, type: {} },
    ...more,
  });
  /** Kept by the rig.broker, so that they are there whenever somebody subscribes. */
  const keep = async (...payloads: (string | Buffer)[]) => {
    for (const [index, payload] of payloads.entries())
      await rig.client.publishAsync(`${topic}/${index}`, payload, { qos: 1, retain: true });
  };
  const infer = async (more: object = {}) => {
    const answer = await rig.request.post(`/api/v1${path}`).send(body(more));
    expect(answer.status, answer.text).toBe(200);
    return { ...answer.body, text: answer.text };
  };
  /** The same until a deadline, by when this number has come. It is later on a machine that is too busy to subscribe by then. */
  const inferSoon = async (more: object = {}, messages = 0) => {
    for (const timeout_ms of [300, 3_000]) {
      const answer = await rig.request.post(`/api/v1${path}`).send(body({ ...more, timeout_ms }));
      if (answer.status === 200 && answer.body.messages >= messages) return answer.body;
    }
    return infer({ ...more, timeout_ms: 30_000 });
  };

  test('is proposed from live messages, and can be used unchanged to create a table', async () => {
    await keep(
      ...Array.from({ length: 12 }, (_, seq) =>
        JSON.stringify({
          device: `d${seq}`,
          seq,
          celsius: seq % 2 === 0 ? 20 : 20.5,
          at: '2026-01-31T08:15:00.25Z',
          place: { hall: 'A', row: seq },
          tags: ['x'],
          ...(seq < 3 ? { note: 'warm' } : {}),
        }).replace('"seq":0', '"seq":9007199254740993'),
      ),
    );
    const { schema, fields, text, ...rest } = await infer({ messages: 12 });
    expect(rest).toMatchObject({ messages: 12, gzip: 0, hint: null, notes: [] });
    expect(rest.kinds).toMatchObject({ json_object: 12, text: 0 });
    expect(schema).toEqual({
      format: { type: 'json' },
      fields: [
        { name: 'device', type: 'string', required: true },
        { name: 'seq', type: 'int64', required: true },
        { name: 'celsius', type: 'float64', required: true },
        { name: 'at', type: 'timestamp', unit: 'millisecond', required: true },
        {
          name: 'place',
          type: 'struct',
          required: true,
          fields: [
            { name: 'hall', type: 'string', required: true },
            { name: 'row', type: 'int64', required: true },
          ],
        },
        { name: 'tags', type: 'list', items: { type: 'string', required: true }, required: true },
        { name: 'note', type: 'string', required: false },
      ],
    });
    expect(fields.find(({ path: at }: { path: string }) => at === '/celsius')).toEqual({
      path: '/celsius',
      type: 'float64',
      required: true,
      present: 12,
      of: 12,
      types: { int64: 6, float64: 6 },
      note: null,
    });
    expect(rest.preview).toHaveLength(10);
    expect(rest.preview[1]).toMatchObject({
      name: 'row',
      error: false,
      row: { device: 'd1', celsius: 20.5, at: '2026-01-31T08:15:00.250Z', place: { hall: 'A', row: 1 } },
      metadata: { topic: `${topic}/1`, retain: true, qos: 0 },
    });
    expect(text).toContain('"seq":9007199254740993');
    const { connector, connection_profile_id, config } = body();
    const table = { name: 'readings', connector, connection_profile_id, config, schema };
    expect(await created(rig.request, '/connection_tables', table)).toMatchObject({ consumers: 0 });
  });

  test('is unstructured json or text if such messages arrive', async () => {
    await keep('21.5', '[1]', '{"a":1}');
    const json = await infer({ messages: 3 });
    expect(json.schema).toEqual({
      format: { type: 'json', unstructured: true },
      fields: [{ name: 'value', type: 'json', required: true }],
    });
    expect(json.preview.map(({ row }: { row: object }) => row)).toEqual([
      { value: 21.5 },
      { value: [1] },
      { value: { a: 1 } },
    ]);
    await keep('on', 'off', '{');
    const text = await infer({ messages: 3 });
    expect(text.schema).toMatchObject({ format: { type: 'raw_string' }, fields: [{ type: 'string' }] });
    const asked = await infer({ messages: 3, format: { type: 'json' } });
    expect(asked).toMatchObject({ schema: null, fields: [], preview: [] });
    expect(asked.notes.join()).toContain('3 of 3 messages are not JSON objects');
  });

  test('counts messages that do not fit, and shows them in the preview with their error', async () => {
    await keep('{"a":1}', '{"a":2}', 'secret-payload', Buffer.of(0xff, 0xfe));
    const { kinds, notes, preview, schema } = await infer({ messages: 4 });
    expect(kinds).toMatchObject({ json_object: 2, text: 1, bytes: 1 });
    expect(schema.fields).toEqual([{ name: 'a', type: 'int64', required: false }]);
    expect(notes).toEqual([
      '2 of 4 messages are not JSON objects and would be bad data',
      '1 of 4 messages begin as UTF-16 does; Penstock reads UTF-8',
    ]);
    const bad = preview.filter(({ name }: { name: string }) => name === 'bad_message');
    expect(bad).toEqual([
      expect.objectContaining({
        code: 'bad_data',
        payload: expect.objectContaining({ text: 'secret-payload' }),
      }),
      expect.objectContaining({ code: 'bad_data', payload: expect.objectContaining({ base64: '//4=' }) }),
    ]);
    expect(rig.service.logged()).not.toContain('secret-payload');
  });

  test('names gzip', async () => {
    await keep(gzipSync('{"a":1}'), gzipSync('{"a":2}'));
    const { gzip, kinds, fields } = await infer({ messages: 2 });
    expect([gzip, kinds.json_object, fields[0].path]).toEqual([2, 2, '/a']);
  });

  test('is null if nothing arrives in time, and the response explains it', async () => {
    expect(await inferSoon()).toMatchObject({
      messages: 0,
      schema: null,
      fields: [],
      notes: [],
      preview: [],
      message: expect.stringContaining('No message arrived'),
      hint: expect.stringContaining('no client publishes'),
    });
  });

  test('is proposed at the deadline from the messages so far, also for a shared subscription', async () => {
    await keep('{"a":true}');
    const config = { topic: `$share/group/${topic}/#`, type: {} };
    const { messages, schema } = await inferSoon({ config, messages: 1000 }, 1);
    expect([messages, schema.fields]).toEqual([1, [{ name: 'a', type: 'bool', required: false }]]);
  });

  test('can be requested with a profile that is not stored', async () => {
    await keep('{"a":1}');
    const inline = { connection_profile_id: undefined, profile: { url: rig.broker.url }, messages: 1 };
    expect((await infer(inline)).messages).toBe(1);
  });

  test.each([
    [{ config: { topic: 'a#', type: {} } }, 'invalid_config', '/config/topic'],
    [{ config: { topic: 'a', type: { retain: false } } }, 'invalid_request', '/config/type'],
    [{ connection_profile_id: 'cp_nowhere' }, 'invalid_request', '/connection_profile_id'],
    [{ connection_profile_id: null }, 'invalid_request', '/connection_profile_id'],
    [{ profile: { url: 'mqtt://h' } }, 'invalid_request', '/profile'],
    [{ connection_profile_id: null, profile: { url: 'http://h' } }, 'invalid_config', '/profile/url'],
    [{ messages: 1001 }, 'invalid_request', '/messages'],
    [{ timeout_ms: 60_001 }, 'invalid_request', '/timeout_ms'],
    [{ connector: 'kinesis' }, 'unknown_connector', '/connector'],
  ])('is refused for %j', async (more, code, at) => {
    const answer = await rig.request.post(`/api/v1${path}`).send(body(more));
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code, errors: [{ path: at }] });
  });

  test('reports errors of the connection', async () => {
    const nobody = { connection_profile_id: undefined, profile: { url: 'mqtt://127.0.0.1:1' } };
    const answer = await rig.request.post(`/api/v1${path}`).send(body(nobody));
    expect([answer.status, answer.body.code]).toEqual([400, 'connection_refused']);
  });

  test('is abandoned when the caller disconnects, and counts as a test', async () => {
    const callers = Array.from({ length: 8 }, () => new AbortController());
    const post = (signal: AbortSignal) =>
      fetch(`${rig.service.address}/api/v1${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body({ timeout_ms: 60_000 })),
        signal,
      });
    const before = checkers().length;
    const answers = callers.map(({ signal }) => post(signal).catch(() => 'gone'));
    await until('eight subscribe', () => checkers().length === before + 8);
    const refused = await post(new AbortController().signal);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
    for (const caller of callers) caller.abort();
    expect(await Promise.all(answers)).toEqual(Array(8).fill('gone'));
    const ids = checkers().slice(before);
    await until('the broker has seen them go', () =>
      ids.every((id) => rig.broker.log.includes(`Client ${id} disconnected.`)),
    );
    expect(rig.service.logged()).not.toContain('request failed');
    await keep('{"a":1}');
    expect((await infer({ messages: 1 })).messages).toBe(1);
  });

  /** The client ids of tests whose subscription the broker has confirmed. */
  const checkers = () =>
    [...rig.broker.log.matchAll(/Sending SUBACK to (penstock_check_\w+)/g)].map(([, id]) => id);
});

test('a stored table is sampled with its stored secrets', async () => {
  const api = new Endpoint();
  api.reply = ({ headers }) =>
    headers.authorization === 'Bearer secret' ? { status: 200, text: '{"celsius": 20}' } : 401;
  await api.start();
  const config = {
    endpoint: `${api.url}/readings`,
    headers: 'authorization: Bearer secret',
    poll_interval_ms: 1000,
  };
  const schema = { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] };
  const stored = { name: 'readings', connector: 'polling_http', config, schema };
  const table = await created(rig.request, '/connection_tables', stored);
  const { body: shown } = await rig.request.get(`/api/v1/connection_tables/${table.id}`);
  expect(JSON.stringify(shown)).not.toContain('secret');
  const masked = { connector: 'polling_http', config: shown.config, messages: 1 };
  const infer = (more: object) => rig.request.post(`/api/v1${path}`).send({ ...masked, ...more });
  expect((await infer({})).body).toMatchObject({ code: 'invalid_config' });
  expect((await infer({ connection_table_id: table.id })).body).toMatchObject({
    messages: 1,
    schema: { fields: [{ name: 'celsius' }] },
  });
  const other = await infer({ connector: 'sse', connection_table_id: table.id });
  expect(other.status).toBe(400);
});
