import { beforeEach, describe, expect, test } from 'vitest';
import { MessageEvents } from '../../src/api/connection-tables/message-event.ts';
import { Tail as AnsweredTail } from '../../src/api/connection-tables/tail.ts';
import { connectorFor } from '../../src/connectors/registry.ts';
import { PenstockError } from '../../src/errors.ts';
import { EventReader } from '../support/events.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient, unique } from '../support/mqtt.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

type Json = Record<string, unknown>;

/** A caller that reads the events of a tail as they arrive. */
class Tail extends EventReader<Json> {
  static async open(address: string, table: string, query = ''): Promise<Tail> {
    const tail = new Tail(`${address}/api/v1/connection_tables/${table}/tail${query}`);
    await tail.hasNamed('listening');
    return tail;
  }

  named(name: string): Json[] {
    return this.events.filter((event) => event.name === name);
  }

  async hasNamed(name: string, count = 1): Promise<Json[]> {
    await until(`${count} ${name}`, () => this.named(name).length >= count, 60_000);
    return this.named(name);
  }
}

const rig = useRig({ broker: { config: ['max_queued_messages 0'] }, service: { worker: true } });

describe('the tail of a table', () => {
  let profile: string;
  let topic: string;
  beforeEach(async () => {
    profile = (await created(rig.request, '/connection_profiles', profileBody(rig.broker.url))).id;
    topic = `tail/${unique()}`;
  });

  const table = async (filter: string, schema?: object, name = 'readings') => {
    const body = tableBody(name, profile, { topic: filter, type: {} }, schema);
    return (await created(rig.request, '/connection_tables', body)).id;
  };
  const send = (to: string, payload: string | Buffer, properties?: object) =>
    rig.client.publishAsync(to, payload, { qos: 1, ...(properties ? { properties } : {}) });
  /** The client ids that subscribed to the topic of this test, tails and others. */
  const tails = () =>
    [...rig.broker.log.matchAll(/(penstock_check_\w+) \d (\S+)/g)]
      .filter(([, , filter]) => filter?.startsWith(topic))
      .map(([, id]) => id);

  test('shows rows with all metadata, numbers exact', async () => {
    const fields = [
      { name: 'seq', type: 'int64', required: true },
      { name: 'data', type: 'bytes' },
      { name: 'at', type: 'timestamp', unit: 'microsecond' },
      { name: 'place', type: 'string', metadata_key: 'topic' },
    ];
    const id = await table(`${topic}/+`, { format: { type: 'json' }, fields });
    const tail = await Tail.open(rig.service.address, id, '?seconds=30&rows=1');
    const payload = '{"seq":9007199254740993,"data":"AAEC","at":"2026-01-31T08:15:00.25Z"}';
    await send(`${topic}/a`, payload, {
      contentType: 'application/json',
      correlationData: Buffer.of(1, 2),
      userProperties: { site: 'north' },
    });
    expect(await tail.last()).toMatchObject({
      done: true,
      error: false,
      code: null,
      counts: { messages: 1, rows: 1, bad_messages: 0, left_out: 0 },
    });
    expect(tail.text).toContain(
      `"row":{"seq":9007199254740993,"data":"AAEC","at":"2026-01-31T08:15:00.250Z","place":"${topic}/a"}`,
    );
    expect(tail.events.map(({ name }) => name)).toEqual(['listening', 'row', 'summary']);
    const { metadata, ...row } = tail.events[1] as { metadata: Json };
    expect(row).toMatchObject({
      error: false,
      done: false,
      bytes: payload.length,
      received_at: expect.any(Number),
    });
    expect(metadata).toEqual({
      topic: `${topic}/a`,
      qos: 0,
      retain: false,
      dup: false,
      message_id: null,
      topic_segments: [...topic.split('/'), 'a'],
      timestamp: expect.stringMatching(/^20\d\d-.*\.\d{6}Z$/),
      content_type: 'application/json',
      response_topic: null,
      correlation_data: 'AQI=',
      expiry_secs: null,
      user_properties: { site: 'north' },
    });
  });

  test('shows bad messages with their error and first bytes, and logs none of it', async () => {
    const id = await table(topic);
    const tail = await Tail.open(rig.service.address, id, '?seconds=30&rows=4');
    await send(topic, '{"device":1,"note":"secret-payload"}');
    await send(topic, Buffer.of(0xff, 0xfe));
    await send(topic, `${'ä'.repeat(4000)}secret-end`);
    await send(topic, '{"device":"d","seq":1}');
    expect(await tail.last()).toMatchObject({ counts: { rows: 1, bad_messages: 3 } });
    const bad = tail.named('bad_message');
    expect(bad[0]).toMatchObject({
      error: true,
      done: false,
      code: 'bad_data',
      message: 'The field /device is not a string',
      errors: [{ path: '/device', message: 'is not a string' }],
      payload: { text: '{"device":1,"note":"secret-payload"}', base64: null, truncated: false },
      metadata: { topic },
    });
    expect(bad[1]).toMatchObject({ payload: { text: null, base64: '//4=', truncated: false } });
    expect(bad[2]).toMatchObject({ bytes: 8010, payload: { text: 'ä'.repeat(2048), truncated: true } });
    expect(rig.service.logged()).not.toContain('secret-payload');
  });

  test('writes a document with line breaks on one line', async () => {
    const id = await table(topic, { format: { type: 'json', unstructured: true } });
    const tail = await Tail.open(rig.service.address, id, '?seconds=30&rows=1');
    await send(topic, '{\r\n  "a": [1,\n\n2]\n}');
    await tail.last();
    expect(tail.named('row')[0]).toMatchObject({ row: { value: { a: [1, 2] } } });
  });

  test('reports rows that are too large instead of showing them', async () => {
    const id = await table(topic, { format: { type: 'raw_string' } });
    const tail = await Tail.open(rig.service.address, id, '?seconds=30&rows=2');
    await send(topic, 'x'.repeat(70_000));
    await send(topic, 'x'.repeat(1_100_000));
    await tail.last();
    const rows = tail.named('row');
    expect(rows.map(({ row, bytes }) => [row, bytes])).toEqual([
      [null, 70_000],
      [null, 1_100_000],
    ]);
    expect(rows.map(({ message }) => message)).toEqual([
      'The message fits the schema; it is too large to show',
      'The message has 1100000 bytes, which is too many to show',
    ]);
  });

  test.each(['plain', 'shared'])('takes nothing from a pipeline that reads the table (%s)', async (kind) => {
    const from = kind === 'shared' ? `$share/group/${topic}/in` : `${topic}/in`;
    const id = await table(from);
    const sink = tableBody('alerts', profile, { topic: `${topic}/out`, type: { retain: false } });
    await created(rig.request, '/connection_tables', sink);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const pipeline = await created(rig.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await until('it runs', async () => (await jobOf(rig.request, pipeline.id)).state === 'Running');
    const traffic = await Traffic.open(
      { url: rig.broker.url, topic: `${topic}/in` },
      { url: rig.broker.url, topic: `${topic}/out` },
      1,
    );
    const first = await Tail.open(rig.service.address, id, '?seconds=600');
    const second = await Tail.open(rig.service.address, id, '?seconds=600&rows_per_second=100');
    expect(tails()).toHaveLength(2);
    expect(rig.broker.log).not.toMatch(/penstock_check_\w+ \d \$share\/group/);
    await traffic.publish(1000);
    await first.hasNamed('row');
    await first.hangUp();
    await traffic.publish(1000);
    await until('everything has come through', () => traffic.missing.length === 0, 60_000);
    expect(traffic.duplicated).toBe(0);
    await second.hasNamed('row', 100);
    await second.hangUp();
    expect((await jobOf(rig.request, pipeline.id)).state).toBe('Running');
  });

  test('limits the rows per second of a flood and counts the others', async () => {
    const id = await table(topic);
    const tail = await Tail.open(rig.service.address, id, '?seconds=600&rows_per_second=7');
    const total = 20_000;
    for (let seq = 0; seq < total; seq += 200)
      await Promise.all(
        Array.from({ length: 200 }, (_, i) => send(topic, JSON.stringify({ device: 'd', seq: seq + i }))),
      );
    const sum = () =>
      tail.named('row').length +
      tail.named('left_out').reduce((all, event) => all + Number(event.left_out), 0);
    await until('every message is accounted for', () => sum() === total, 60_000);
    expect(tail.named('row').length).toBeGreaterThanOrEqual(7);
    expect(tail.named('row').length).toBeLessThan(total / 10);
    expect(tail.named('left_out').length).toBeGreaterThan(0);
    await tail.hangUp();
  });

  test('ends after its time', async () => {
    const id = await table(topic);
    const tail = await Tail.open(rig.service.address, id, '?seconds=1');
    expect(await tail.last()).toMatchObject({
      name: 'summary',
      error: false,
      done: true,
      message: 'The tail is over (rows: 0, bad messages: 0, left out: 0)',
    });
  });

  test('disconnects when its caller does, and leaves no session behind', async () => {
    const id = await table(topic);
    const tail = await Tail.open(rig.service.address, id, '?seconds=600');
    const [clientId] = tails();
    await tail.hangUp();
    await until('the broker has seen it go', () =>
      rig.broker.log.includes(`Client ${clientId} disconnected.`),
    );
    // CONNACK reports an existing session when the id connects again without a clean start.
    const again = await plainClient(rig.broker.url, { clientId, clean: false });
    // Its log comes by another way than its packets.
    await until('it in the log', () => rig.broker.log.includes(`Sending CONNACK to ${clientId} (0, 0)`));
    expect(rig.broker.log).not.toMatch(new RegExp(`Sending CONNACK to ${clientId} \\(1, 0\\)`));
    await again.endAsync();
    expect(rig.service.logged()).not.toContain('request failed');
  });

  test('ends with an error when the broker stops', async () => {
    const own = await Mosquitto.start();
    const other = await created(rig.request, '/connection_profiles', {
      ...profileBody(own.url),
      name: 'other',
    });
    const body = tableBody('t', other.id, { topic, type: {} });
    const { id } = await created(rig.request, '/connection_tables', body);
    const tail = await Tail.open(rig.service.address, id, '?seconds=600');
    await own.kill();
    expect(await tail.last()).toMatchObject({
      name: 'summary',
      error: true,
      done: true,
      code: 'connection_lost',
      message: expect.stringContaining('rows: 0'),
    });
    const { status, body: problem } = await rig.request.get(`/api/v1/connection_tables/${id}/tail`);
    expect([status, problem.code]).toEqual([400, 'connection_refused']);
  });

  test('is refused when too many run, and accepted again when one ends', async () => {
    const id = await table(topic);
    const path = `/api/v1/connection_tables/${id}/tail`;
    const eight = await Promise.all(
      Array.from({ length: 8 }, () => Tail.open(rig.service.address, id, '?seconds=600')),
    );
    const refused = await rig.request.get(path);
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '5']);
    expect(refused.body).toMatchObject({ code: 'too_many_requests' });
    await eight[0]?.hangUp();
    await until('there is room again', async () => {
      const answer = await rig.request.get(`${path}?seconds=1`);
      return answer.status === 200;
    });
    await Promise.all(eight.map((tail) => tail.hangUp()));
  });

  test('is refused for a sink, for a missing table, and above the limits', async () => {
    const sink = tableBody('alerts', profile, { topic, type: { retain: false } });
    const { id } = await created(rig.request, '/connection_tables', sink);
    const get = async (path: string) => {
      const { status, body } = await rig.request.get(`/api/v1/connection_tables/${path}`);
      return [status, body.code];
    };
    expect(await get(`${id}/tail`)).toEqual([400, 'invalid_request']);
    expect(await get('ct_nowhere/tail')).toEqual([404, 'not_found']);
    for (const query of ['seconds=601', 'seconds=0', 'rows=0', 'rows_per_second=101', 'colour=red'])
      expect(await get(`${id}/tail?${query}`), query).toEqual([400, 'invalid_request']);
    expect((await rig.request.head(`/api/v1/connection_tables/${id}/tail`)).status).toBe(405);
  });
});

describe('the response of a tail', () => {
  test('buffers a bounded amount for a slow reader and leaves out the rest', async () => {
    const schema = { format: { type: 'raw_string' }, fields: [{ name: 'value', type: 'string' }] } as const;
    const shown = new MessageEvents(connectorFor('mqtt'), { ...schema, fields: [...schema.fields] });
    const tail = new AnsweredTail(shown, { seconds: 60, rows: 10_000, rows_per_second: 100 });
    const message = { payload: Buffer.alloc(30_000, 'x'), metadata: {}, receivedAt: Date.now() };
    for (let count = 0; count < 90; count += 1) tail.deliver(message);
    expect(tail.events.size).toBeLessThan(1_100_000);
    tail.end(new PenstockError('connection_lost', 'It broke'));
    const events: Json[] = [];
    for await (const json of tail.events) events.push(JSON.parse(json));
    const { rows, left_out } = (events.at(-1) as { counts: { rows: number; left_out: number } }).counts;
    expect(rows + left_out).toBe(90);
    expect(rows).toBe(events.filter(({ name }) => name === 'row').length);
    expect(rows).toBeGreaterThan(30);
    expect(rows).toBeLessThan(40);
    expect(events.at(-1)).toMatchObject({
      error: true,
      code: 'connection_lost',
      message: `It broke (rows: ${rows}, bad messages: 0, left out: ${left_out})`,
    });
  });
});
