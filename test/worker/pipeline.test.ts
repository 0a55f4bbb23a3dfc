import { beforeEach, describe, expect, test } from 'vitest';
import { databasesOfSoak } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import {
  created,
  createPipeline,
  createTables,
  jobOf,
  profileBody,
  tableBody,
} from '../support/resources.ts';
import { useRig } from '../support/rig.ts';
import { refusingLogins, ScriptedBroker } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';

const credentials = { username: 'penstock', password: 'right' };
const broker = {
  users: { penstock: 'right', tester: 'right' },
  acl: 'user tester\ntopic readwrite #\nuser penstock\ntopic readwrite #\ntopic deny out/secret\n',
};

describe.each(databasesOfSoak)('a pipeline on $provider', ({ open }) => {
  const rig = useRig({
    broker,
    service: { open, worker: true },
    client: { username: 'tester', password: 'right' },
  });
  let messages: string[];
  beforeEach(async () => {
    messages = await rig.collect('out/#');
  });

  const running = (id: string) => rig.inState(id, 'Running');
  const send = (topic: string, payload: string) => rig.client.publishAsync(topic, payload, { qos: 1 });
  const received = (count: number) =>
    until(`${count} messages`, async () => messages.length >= count && messages);
  const counted = (line: string) =>
    until(line, async () => (await rig.request.get('/metrics')).text.includes(`${line}\n`));

  /** Creates profile, tables and a pipeline from `in` to `out`, and waits until it runs. */
  async function forward(
    query: string,
    schema?: object,
    config: object = credentials,
    to = 'out/x',
  ): Promise<string> {
    await createTables(rig.request, rig.broker.url, { from: 'in', to, config, schema });
    return createPipeline(rig.request, query);
  }

  test('filters and projects by SQL', async () => {
    await running(
      await forward(
        'INSERT INTO alerts SELECT upper(device), seq, celsius * 2 FROM readings WHERE celsius > 90',
      ),
    );
    await send('in', JSON.stringify({ device: 'a', seq: 1, celsius: 80 }));
    await send('in', '{"device":"b","seq":9007199254740993,"celsius":91}');
    await send('in', JSON.stringify({ device: 'c', seq: 3, celsius: 100 }));
    expect(await received(2)).toEqual([
      '{"device":"B","seq":9007199254740993,"celsius":182}',
      '{"device":"C","seq":3,"celsius":200}',
    ]);
  });

  test('stops and starts, keeping messages published in between', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings');
    await running(id);
    const stopped = await rig.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'graceful' });
    expect(stopped.body).toMatchObject({ stop: 'graceful', action_in_progress: true });
    await rig.inState(id, 'Stopped');
    for (let seq = 0; seq < 5; seq++) await send('in', JSON.stringify({ device: 'd', seq, celsius: 1 }));
    expect(messages).toEqual([]);
    await rig.start(id);
    expect((await received(5)).map((text) => JSON.parse(text).seq)).toEqual([0, 1, 2, 3, 4]);
    expect((await jobOf(rig.request, id)).run_id).toBe(2);
  });

  test.each(['immediate', 'force', 'checkpoint'])('stops by %s', async (stop) => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings');
    await running(id);
    await rig.request.patch(`/api/v1/pipelines/${id}`).send({ stop });
    expect(await rig.inState(id, 'Stopped')).toMatchObject({ tasks: null, failure_reason: null });
  });

  test('restarts when asked', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings');
    await running(id);
    await rig.request.post(`/api/v1/pipelines/${id}/restart`).send({});
    await until('a second run', async () => (await jobOf(rig.request, id)).run_id === 2);
    await running(id);
    await send('in', '{"device":"d","seq":1,"celsius":1}');
    await received(1);
  });

  test('fails at once, with the code, when the password is wrong, and can be started again', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', undefined, {
      username: 'penstock',
      password: 'wrong-canary',
    });
    const job = await rig.inState(id, 'Failed');
    // mosquitto answers a wrong password with "not authorized".
    expect(job.failure_reason).toMatchObject({ code: 'mqtt_not_authorized', domain: 'user' });
    const { body } = await rig.request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
    expect(body.data[0]).toMatchObject({ level: 'error', code: 'mqtt_not_authorized' });
    await rig.request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'none' });
    await until('another try', async () => (await jobOf(rig.request, id)).run_id === 2);
    await rig.inState(id, 'Failed');
    expect(rig.service.logged()).not.toContain('wrong-canary');
    expect(JSON.stringify(body)).not.toContain('wrong-canary');
  });

  test('survives a login that is refused for a while, as during a restart of the server that knows the users', async () => {
    let isLocked = false;
    const own = await ScriptedBroker.start(refusingLogins(() => isLocked));
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', undefined, { url: own.url });
    await running(id);
    isLocked = true;
    for (const { socket } of own.connections) socket.destroy();
    const refused = await until('it is refused', async () => {
      const job = await rig.inState(id, 'Recovering');
      return job.failure_reason?.code === 'mqtt_not_authorized' && job;
    });
    const { body } = await rig.request.get(`/api/v1/pipelines/${id}/jobs/${refused.id}/errors`);
    expect(body.data[0].details).toContain('the job tries again for 5 minutes');
    isLocked = false;
    expect(await running(id)).toMatchObject({ run_id: 1, failure_reason: null });
    // A job that the user starts again fails at once.
    isLocked = true;
    await rig.request.post(`/api/v1/pipelines/${id}/restart`).send({ force: true });
    await rig.inState(id, 'Failed');
  });

  test('recovers after the broker was away', async () => {
    const own = await Mosquitto.start();
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', undefined, { url: own.url });
    await running(id);
    await own.kill('SIGTERM');
    await rig.inState(id, 'Recovering');
    await own.resume();
    await running(id);
  });

  test('drops and counts bad messages with drop', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings');
    await running(id);
    await send('in', 'not json, secret-payload');
    await send('in', '{"device":1,"seq":1}');
    await send('in', '{"device":"d","seq":1,"celsius":1}');
    expect(await received(1)).toEqual(['{"device":"d","seq":1,"celsius":1}']);
    const { id: job } = await jobOf(rig.request, id);
    const errors = await until('an entry', async () => {
      const { body } = await rig.request.get(`/api/v1/pipelines/${id}/jobs/${job}/errors`);
      return body.data.length > 0 && body.data;
    });
    expect(errors[0]).toMatchObject({ level: 'warn', code: 'bad_data' });
    expect(JSON.stringify(errors)).not.toContain('secret-payload');
    await counted(`penstock_bad_messages_total{job="${job}",code="bad_data"} 2`);
  });

  test('carries every good row of a framed message, and acknowledges it once', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', {
      format: { type: 'csv' },
      framing: { method: 'newline' },
      bad_data: { behavior: 'drop' },
      fields: [
        { name: 'device', type: 'string', required: true },
        { name: 'seq', type: 'int64', required: true },
      ],
    });
    await running(id);
    await send('in', 'a,1\n"b, c",2\nsecret,one\nd,4');
    await send('in', '\n');
    await send('in', 'e,5\n');
    expect(await received(4)).toEqual(['a,1\n', '"b, c",2\n', 'd,4\n', 'e,5\n']);
    const { id: job } = await jobOf(rig.request, id);
    await counted(`penstock_bad_messages_total{job="${job}",code="bad_data"} 1`);
    // An unacknowledged message would arrive again.
    await rig.stop(id);
    await rig.start(id);
    await send('in', 'f,6');
    expect((await received(5)).slice(4)).toEqual(['f,6\n']);
  });

  test('fails at a bad row of a framed message, before any of its rows is written', async () => {
    const schema = (behavior: string) => ({
      format: { type: 'json' },
      framing: { method: 'newline' },
      bad_data: { behavior },
      fields: [{ name: 'seq', type: 'int64', required: true }],
    });
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', schema('fail'));
    await running(id);
    await send('in', '{"seq":1}\n{}\n{"seq":3}');
    const job = await rig.inState(id, 'Failed');
    expect(job.failure_reason).toMatchObject({
      code: 'bad_data',
      error: expect.stringContaining('Line 2: The field /seq is required but missing'),
    });
    expect(messages).toEqual([]);
  });

  test('writes to topics made of columns, and drops messages that the broker refuses', async () => {
    const id = await forward(
      'INSERT INTO alerts SELECT * FROM readings',
      undefined,
      undefined,
      'out/{{ device }}',
    );
    await running(id);
    for (const device of ['a', 'secret', '#', 'b'])
      await send('in', JSON.stringify({ device, seq: 1, celsius: 1 }));
    const written = await received(2);
    expect(written.map((text) => JSON.parse(text).device)).toEqual(['a', 'b']);
    const job = await jobOf(rig.request, id);
    const codes = async () => {
      const { body } = await rig.request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
      return (body.data as { code: string }[]).map(({ code }) => code).sort();
    };
    await until('both are reported', async () => (await codes()).length >= 2);
    expect(await codes()).toEqual(['bad_row', 'mqtt_publish_refused']);
  });

  test('reads metadata as columns, and warns of a silent source', async () => {
    const { request } = rig;
    const profile = await created(
      request,
      '/connection_profiles',
      profileBody(rig.broker.url, { config: { url: rig.broker.url, ...credentials } }),
    );
    const fields = [
      { name: 'value', type: 'string' },
      { name: 'levels', type: 'list', items: { type: 'string' }, metadata_key: 'topic_segments' },
      { name: 'at', type: 'timestamp', unit: 'second', metadata_key: 'timestamp' },
      { name: 'props', type: 'json', metadata_key: 'user_properties' },
    ];
    const source = { topic: 'in/+', type: { maxSilenceSecs: 1, messagesPerSecond: 1000 } };
    const schema = { format: { type: 'raw_string' }, fields };
    await created(request, '/connection_tables', tableBody('readings', profile.id, source, schema));
    const sink = { topic: 'out/x', type: { retain: false } };
    const wanted = fields.map(({ metadata_key: _, ...field }) => field);
    const json = { format: { type: 'json' }, fields: wanted };
    await created(request, '/connection_tables', tableBody('alerts', profile.id, sink, json));
    const query = 'INSERT INTO alerts SELECT value, levels, "at", props FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await running(id);
    await send('in/a', 'hello');
    const [text = ''] = await received(1);
    const row = JSON.parse(text);
    expect(row).toMatchObject({ value: 'hello', levels: ['in', 'a'], props: null });
    expect(Math.abs(Date.parse(row.at) - Date.now())).toBeLessThan(60_000);

    const job = await jobOf(request, id);
    const gauge = `penstock_sources_silent{job="${job.id}"} 1`;
    await until('the gauge', async () => (await request.get('/metrics')).text.includes(gauge));
    await until('the warning', async () => {
      const { body } = await request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
      return (body.data as { code: string }[]).some(({ code }) => code === 'source_silent');
    });
    expect((await jobOf(request, id)).state).toBe('Running');
  });

  test('refuses a topic of columns that the sink does not have', async () => {
    const profile = await created(rig.request, '/connection_profiles', profileBody(rig.broker.url));
    const sink = { topic: 'out/{{ nobody }}', type: { retain: false } };
    const stored = await rig.request
      .post('/api/v1/connection_tables')
      .send(tableBody('alerts', profile.id, sink));
    expect(stored.status).toBe(400);
    expect(stored.body.errors[0].path).toBe('/config/topic');
    const source = { topic: 'in', type: {} };
    await created(rig.request, '/connection_tables', tableBody('readings', profile.id, source));
    const query = `CREATE TABLE alerts WITH (connector = 'mqtt', connection_profile = 'plant', type = 'sink',
      topic = 'out/{{ nobody }}', format = 'json'); INSERT INTO alerts SELECT device FROM readings`;
    const { body } = await rig.request.post('/api/v1/pipelines/validate_query').send({ query });
    expect(JSON.stringify(body)).toContain('refers to the column nobody');
  });

  test('fails on bad messages with fail, and keeps the message', async () => {
    const schema = {
      format: { type: 'json' },
      bad_data: { behavior: 'fail' },
      fields: [{ name: 'a', type: 'int32' }],
    };
    const id = await forward('INSERT INTO alerts SELECT * FROM readings', schema);
    await running(id);
    await send('in', '{"a":"no number"}');
    const job = await rig.inState(id, 'Failed');
    expect(job.failure_reason).toMatchObject({ code: 'bad_data', error: expect.stringContaining('/a') });
  });

  test('is deleted only when stopped, together with its broker session', async () => {
    const id = await forward('INSERT INTO alerts SELECT * FROM readings');
    const job = await running(id);
    const early = await rig.request.delete(`/api/v1/pipelines/${id}`);
    expect([early.status, early.body.code]).toEqual([409, 'pipeline_running']);
    await rig.stop(id);
    expect((await rig.request.delete(`/api/v1/pipelines/${id}`)).status).toBe(200);
    expect((await rig.request.get(`/api/v1/pipelines/${id}`)).status).toBe(404);
    await until('the session is removed', async () => (await rig.service.db.sourceSession.count()) === 0);
    expect(
      rig.broker.log
        .split('\n')
        .filter((line) => line.includes(`penstock_${job.id}_`))
        .join('\n'),
    ).toMatch(/c1/);
  });
});

describe('the SQL of the tour', () => {
  const rig = useRig({ service: { worker: true } });

  test('runs with tables defined inline', async () => {
    const messages = await rig.collect('sensor/copy');
    const query = `CREATE TABLE mqtt_input (value TEXT) WITH (connector = 'mqtt', url = '${rig.broker.url}', topic = 'sensor/data', type = 'source', format = 'json');
      CREATE TABLE mqtt_output (value TEXT) WITH (connector = 'mqtt', url = '${rig.broker.url}', topic = 'sensor/copy', type = 'sink', format = 'json');
      INSERT INTO mqtt_output SELECT value FROM mqtt_input;`;
    await rig.run(query, 'seed');
    await rig.client.publishAsync('sensor/data', '{"value":"21.5","more":1}');
    await until('a message', async () => messages.length > 0);
    expect(messages).toEqual(['{"value":"21.5"}']);
  });

  test('streams the steps of a table test as events, or returns them as one object', async () => {
    const { profile } = await createTables(rig.request, (await Mosquitto.start(broker)).url);
    const body = tableBody('x', profile, { topic: 'plant/x', type: { retain: false } });
    const events = await rig.request.post('/api/v1/connection_tables/test').send(body);
    expect(events.type).toBe('text/event-stream');
    const parsed = events.text
      .split('\n\n')
      .filter((frame) => frame.startsWith('data: '))
      .map((frame) => JSON.parse(frame.replace(/^data: /, '')));
    expect(parsed.at(-1)).toMatchObject({
      error: true,
      done: true,
      name: 'summary',
      code: expect.stringMatching(/^mqtt_/),
    });
    expect(parsed.slice(0, -1).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['resolve', 'tcp', 'mqtt_connect']),
    );
    const json = await rig.request
      .post('/api/v1/connection_tables/test')
      .set('accept', 'application/json')
      .send(body);
    expect(json.body).toMatchObject({ error: true, done: true, code: parsed.at(-1).code });
    expect(json.body.steps.map(({ name }: { name: string }) => name)).toEqual(
      parsed.slice(0, -1).map(({ name }) => name),
    );
  });
});
