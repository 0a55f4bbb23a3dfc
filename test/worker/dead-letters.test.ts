import { gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { databasesOfSoak } from '../support/databases.ts';
import { allDeadLetters, badKinds, type DeadLetter, deadLetterOf, topicOf } from '../support/dead-letters.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { type Received, useRig } from '../support/rig.ts';
import { until } from '../support/until.ts';

/** Unusable messages: none is lost, none stops the others, and each is counted. */

const broker = {
  users: { penstock: 'right', tester: 'right' },
  acl: 'user tester\ntopic readwrite #\nuser penstock\ntopic readwrite #\ntopic deny out/secret\n',
  // Not 0, for no bound: mosquitto 2.0 then ends the connection of a client that publishes what it denies.
  config: ['max_queued_messages 100000'],
  quiet: true,
};

const levelFields = [
  { name: 'device', type: 'string', required: true },
  { name: 'seq', type: 'int64', required: true },
  { name: 'level', type: 'int32' },
  { name: 'text', type: 'string' },
];
const sinkFields = [
  { name: 'device', type: 'string' },
  { name: 'seq', type: 'int64' },
  { name: 'level', type: 'int64' },
  { name: 'number', type: 'int64' },
];
const select = 'INSERT INTO alerts SELECT device, seq, level, CAST(text AS BIGINT) AS number FROM readings';

describe.each(databasesOfSoak)('dead letters on $provider', ({ open }) => {
  const rig = useRig({
    broker,
    service: { open, worker: true },
    client: { username: 'tester', password: 'right' },
  });
  let received: Received[];
  let pipeline: string;
  let readings: string;

  beforeEach(async () => {
    received = await rig.receive('out/#');
  });

  const inState = (state: string) => rig.inState(pipeline, state);

  /** A pipeline from `in/+` to `out/{{ device }}`. */
  async function start(bad_data: object, more: object = {}): Promise<string> {
    const { request } = rig;
    const config = { url: rig.broker.url, username: 'penstock', password: 'right' };
    const profile = await created(request, '/connection_profiles', profileBody('', { config }));
    const schema = { format: { type: 'json' }, bad_data, fields: levelFields, ...more };
    const source = tableBody('readings', profile.id, { topic: 'in/+', type: {} }, schema);
    readings = (await created(request, '/connection_tables', source)).id;
    const json = { format: { type: 'json' }, fields: sinkFields };
    const sink = { topic: 'out/{{ device }}', type: { retain: false } };
    await created(request, '/connection_tables', tableBody('alerts', profile.id, sink, json));
    const body = { name: 'p', query: select, parallelism: 1 };
    pipeline = (await created(request, '/pipelines', body)).id;
    return (await inState('Running')).id;
  }

  const send = (seq: number, payload: string | Buffer) =>
    rig.client.publishAsync(`in/${seq}`, payload, { qos: 1 });
  const good = (seq: number) => JSON.stringify({ device: 'd', seq, level: 1, text: '7' });
  const letters = () => allDeadLetters(rig.request, pipeline);
  const path = (rest = '') => `/api/v1/pipelines/${pipeline}/dead_letters${rest}`;
  const counted = async (name: string, job: string) => {
    const { text } = await rig.request.get('/metrics');
    return Number(new RegExp(`penstock_${name}_total\\{job="${job}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
  };
  const stored = (count: number): Promise<DeadLetter[]> =>
    until(`${count} dead letters`, async () => {
      const found = await letters();
      return found.length === count && found;
    });
  /** Checks that the counters of the job's row match its dead letters. */
  async function expectCounted(): Promise<void> {
    const { id } = await jobOf(rig.request, pipeline);
    const job = await rig.service.db.job.findUniqueOrThrow({ where: { id } });
    const { _count, _sum } = await rig.service.db.deadLetter.aggregate({
      where: { jobId: id },
      _count: true,
      _sum: { bytes: true },
    });
    expect([job.deadLetters, Number(job.deadLetterBytes)]).toEqual([_count, _sum.bytes ?? 0]);
  }
  /** Changes the source table's schema, and waits until a job that runs does so by it. */
  async function patchTable(schema: object, runs = true): Promise<void> {
    await rig.request.patch(`/api/v1/connection_tables/${readings}`).send({ schema }).expect(200);
    if (!runs) return;
    const { id } = await jobOf(rig.request, pipeline);
    await until('the edit runs', async () => {
      const job = await rig.service.db.job.findUniqueOrThrow({ where: { id } });
      return job.state === 'Running' && job.editsDone === job.editRequests;
    });
  }
  const replay = (body: object) => rig.request.post(path('/replay')).send(body).expect(200);
  const replayed = () =>
    until('the replay is over', async () => (await letters()).every(({ state }) => state === 'waiting'));

  test.each(['drop', 'dead_letter'])('accounts for every message under %s', async (behavior) => {
    const job = await start({ behavior });
    const kinds = Object.values(badKinds);
    const wrong = new Set<number>();
    const sent: Promise<unknown>[] = [];
    for (let seq = 0; seq < 1000; seq += 1) {
      const kind = kinds[seq % 100];
      if (kind) wrong.add(seq);
      sent.push(send(seq, kind ? kind.payload(seq) : good(seq)));
    }
    await Promise.all(sent);
    await until('all are through', async () => received.length >= 1000 - wrong.size);
    await until('all are settled', async () => {
      const [out, dropped, dead] = await Promise.all(
        ['messages_sent', 'messages_dropped', 'dead_letters'].map((name) => counted(name, job)),
      );
      return (out ?? 0) + (dropped ?? 0) + (dead ?? 0) === 1000;
    });
    expect(await counted('messages_received', job)).toBe(1000);
    expect(received.map(({ seq }) => seq)).toEqual(
      Array.from({ length: 1000 }, (_, seq) => seq).filter((seq) => !wrong.has(seq)),
    );
    const found = await letters();
    if (behavior === 'drop') expect(found).toEqual([]);
    else {
      const contents = await Promise.all(found.map(({ id }) => deadLetterOf(rig.request, pipeline, id)));
      expect(contents.map(topicOf).sort()).toEqual([...wrong].map((seq) => `in/${seq}`).sort());
      for (const letter of contents) {
        const seq = Number(topicOf(letter).slice(3));
        const kind = kinds[seq % 100];
        expect(letter).toMatchObject({ code: kind?.code, stage: kind?.stage, source_table: 'readings' });
        const bytes = Buffer.from(letter.payload.base64, 'base64');
        expect(bytes).toEqual(Buffer.from(kind?.payload(seq) ?? ''));
      }
      await expectCounted();
    }
    expect((await inState('Running')).run_id).toBe(1);
  });

  test('keeps messages that cannot be unpacked', async () => {
    await start({ behavior: 'dead_letter' }, { format: { type: 'json', compression: 'gzip' } });
    const bomb = gzipSync(Buffer.alloc(17 * 1024 * 1024, ' '));
    const whole = gzipSync(good(3));
    await send(1, bomb);
    await send(2, whole.subarray(0, whole.length - 9));
    await send(3, whole);
    const found = await stored(2);
    expect(found.map(({ stage, failed_rows }) => [stage, failed_rows])).toEqual([
      ['decode', null],
      ['decode', null],
    ]);
    await until('the good one is through', async () => received.length === 1);
    const content = await deadLetterOf(rig.request, pipeline, found[1]?.id ?? '');
    expect(Buffer.from(content.payload.base64, 'base64')).toEqual(bomb);
    expect(content).toMatchObject({ payload: { text: null }, metadata: { topic: 'in/1' } });
  });

  test('replays only the failed rows, through the current table, until all are written', async () => {
    await start({ behavior: 'dead_letter' }, { framing: { method: 'newline' } });
    const lines = [
      good(0),
      '{"device":"d","seq":1,"level":3000000000}',
      good(2),
      '{"device":"d","level":1}',
      '{"device":"secret","seq":4}',
    ];
    await send(9, lines.join('\n'));
    const [letter] = await stored(1);
    expect(letter).toMatchObject({
      stage: 'decode',
      failed_rows: [1, 3, 4],
      row_count: 5,
      state: 'waiting',
      replays: 0,
    });
    expect(letter?.errors.map(({ stage, row, path }) => [stage, row, path])).toEqual([
      ['decode', 1, '/level'],
      ['decode', 3, '/seq'],
      ['write', 4, ''],
    ]);
    await until('the good rows', async () => received.length === 2);

    const wider = levelFields.map((field) => (field.name === 'level' ? { ...field, type: 'int64' } : field));
    await patchTable({ fields: wider });
    const attempt = await deadLetterOf(rig.request, pipeline, letter?.id ?? '');
    expect(attempt.attempt.map(({ error }) => error)).toEqual([false, false, false, false, true]);
    expect((await replay({ ids: [letter?.id] })).body).toEqual({ asked: 1 });
    await until('the mended row', async () => received.length === 3);
    await replayed();
    const [after] = await letters();
    expect(after).toMatchObject({ id: letter?.id, failed_rows: [3, 4], row_count: 5, replays: 1 });
    expect(after?.replayed_at).toBeGreaterThan(0);

    await patchTable({
      fields: wider.map((field) => (field.name === 'seq' ? { ...field, required: false } : field)),
    });
    await replay({ all: true });
    await until('the other mended row', async () => received.length === 4);
    await replayed();
    expect(received.map(({ seq }) => seq)).toEqual([0, 2, 1, null]);
    expect(await letters()).toMatchObject([
      { code: 'mqtt_publish_refused', stage: 'write', failed_rows: [4] },
    ]);
    await expectCounted();
  });

  test('replays when the job runs again, selected by code, and deletes written dead letters', async () => {
    const job = await start({ behavior: 'dead_letter' });
    await send(1, '{"device":"d","seq":1,"level":3000000000}');
    await send(2, '{"device":"#","seq":2}');
    await stored(2);
    await rig.stop(pipeline);
    const wider = levelFields.map((field) => (field.name === 'level' ? { ...field, type: 'int64' } : field));
    await patchTable({ fields: wider }, false);
    expect((await replay({ all: true, code: 'bad_data' })).body).toEqual({ asked: 1 });
    expect((await letters()).map(({ state }) => state)).toEqual(['waiting', 'replaying']);
    await rig.start(pipeline);
    expect(await stored(1)).toMatchObject([{ code: 'bad_row', state: 'waiting', replays: 0 }]);
    await until('its message is through', () => received.length > 0);
    expect(received).toMatchObject([{ seq: 1, level: 3_000_000_000 }]);
    await until('it is counted', async () => (await counted('dead_letters_replayed', job)) === 1);
    await expectCounted();
    await rig.stop(pipeline);
    await until('it goes with its letters', async () => {
      const { status } = await rig.request.delete(`/api/v1/pipelines/${pipeline}`);
      return status === 200;
    });
    expect(await rig.service.db.deadLetter.count()).toBe(0);
  });

  test('deletes the oldest at a bound and reports it', async () => {
    const job = await start({ behavior: 'dead_letter', max_count: 5 });
    for (let seq = 0; seq < 12; seq += 1) await send(seq, `{${seq}`);
    await until('all are stored', async () => (await counted('dead_letters', job)) === 12);
    const kept = await Promise.all(
      (await letters()).map(({ id }) => deadLetterOf(rig.request, pipeline, id)),
    );
    expect(kept.map(topicOf)).toEqual(['in/11', 'in/10', 'in/9', 'in/8', 'in/7']);
    expect(await counted('dead_letters_evicted', job)).toBe(7);
    await expectCounted();
    await until('it is said', async () => {
      const { body } = await rig.request.get(`/api/v1/pipelines/${pipeline}/jobs/${job}/errors?limit=100`);
      return (body.data as { code: string }[]).some(({ code }) => code === 'dead_letters_full');
    });
    await patchTable({ bad_data: { behavior: 'dead_letter', max_bytes: 1024, max_count: null } });
    await send(20, 'x'.repeat(1000));
    await until(
      'the bytes are bounded',
      async () => (await letters()).reduce((sum, { bytes }) => sum + bytes, 0) === 1000 + 3 * 4,
    );
    // A dead letter larger than the limit is kept while it is the newest.
    await send(21, 'x'.repeat(2000));
    expect(await stored(1)).toMatchObject([{ bytes: 2000 }]);
    await expectCounted();
  });

  test('fails the job at a bound if configured, and loses nothing', async () => {
    const job = await start({ behavior: 'dead_letter', max_count: 3, when_full: 'fail' });
    await Promise.all(Array.from({ length: 5 }, (_, seq) => send(seq, `{${seq}`)));
    await send(5, good(5));
    expect((await inState('Failed')).failure_reason).toMatchObject({ code: 'dead_letters_full' });
    const first = await letters();
    expect(first).toHaveLength(3);
    expect((await rig.request.delete(path())).body).toEqual({ deleted: 3 });
    await expectCounted();
    await rig.request.post(`/api/v1/pipelines/${pipeline}/restart`).send({}).expect(200);
    await stored(2);
    await until('the good one is through', async () => received.some(({ seq }) => seq === 5));
    // Messages may pass before the row shows that the job runs again.
    await until('it has begun again', async () => (await jobOf(rig.request, pipeline)).run_id === 2);
    expect((await inState('Running')).id).toBe(job);
  });
});
