import { pino } from 'pino';
import { expect, test } from 'vitest';
import { JobLog, stateChange } from '../../src/worker/job-record.ts';
import { scripted } from '../support/fixtures.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { startService } from '../support/service.ts';
import { until } from '../support/until.ts';

test('a job reports that its broker supports less than its tables ask for, and still runs', async () => {
  const server = await scripted({ connack: { properties: { maximumQoS: 1 } }, suback: 1 });
  const service = await startService({ worker: true });
  const { request } = service;
  const profile = await created(request, '/connection_profiles', profileBody(server.url));
  const qos = 'ExactlyOnce';
  const ends = [
    tableBody('readings', profile.id, { topic: 'in', type: {}, qos }),
    tableBody('alerts', profile.id, { topic: 'out', type: { retain: false }, qos }),
  ];
  for (const table of ends) await created(request, '/connection_tables', table);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
  const job = await jobOf(request, id);
  const warnings = await until('a warning', async () => {
    const { body } = await request.get(`/api/v1/pipelines/${id}/jobs/${job.id}/errors`);
    const said = body.data as { code: string; message: string; level: string }[];
    return said.length > 0 && said;
  });
  expect(warnings[0]).toMatchObject({
    code: 'mqtt_qos_downgraded',
    message: expect.stringContaining('QoS 1 instead of 2'),
  });
});

test.each(['5', '3.1.1'] as const)(
  'a job over MQTT %s shows why its sink failed until rows are confirmed again',
  async (protocolVersion) => {
    let [closes, confirms] = [1, false];
    const server = await scripted({
      on: (packet, { socket }) => {
        if (packet.cmd !== 'publish' || !packet.topic.startsWith('out')) return false;
        if (closes-- > 0) socket.end();
        return !confirms;
      },
    });
    const service = await startService({ worker: true });
    const { request } = service;
    const profile = await created(request, '/connection_profiles', {
      name: 'plant',
      connector: 'mqtt',
      config: { url: server.url, protocolVersion },
    });
    const table = { topic: 'out', type: { retain: false }, qos: 'AtLeastOnce' };
    await created(
      request,
      '/connection_tables',
      tableBody('alerts', profile.id, table, {
        format: { type: 'json' },
        fields: [{ name: 'counter', type: 'int64' }],
      }),
    );
    const query =
      "CREATE TABLE ticks WITH (connector = 'impulse', event_rate = 20); " +
      'INSERT INTO alerts SELECT counter FROM ticks';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const recovered = await until('the job runs again', async () => {
      const job = await jobOf(request, id);
      return job.state === 'Running' && job.failure_reason !== null && job;
    });
    expect(recovered.failure_reason).toMatchObject({
      code: 'connection_lost',
      error: expect.stringContaining('at PUBLISH of out'),
    });
    confirms = true;
    for (const { socket } of server.connections) socket.destroy();
    await until('rows are confirmed', async () => {
      const job = await jobOf(request, id);
      return job.state === 'Running' && job.failure_reason === null;
    });
  },
);

test('changes of state stay in the history beside any number of warnings', async () => {
  const { request, db } = await startService();
  const profile = await created(request, '/connection_profiles', profileBody('mqtt://127.0.0.1:1'));
  const ends = [
    tableBody('readings', profile.id, { topic: 'in', type: {} }),
    tableBody('alerts', profile.id, { topic: 'out', type: { retain: false } }),
  ];
  for (const table of ends) await created(request, '/connection_tables', table);
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
  const { id: jobId } = await jobOf(request, id);
  const log = new JobLog({ db, logger: pino({ level: 'silent' }) }, jobId);
  const place = { operatorId: null, taskIndex: null };
  log.add(stateChange(1n, null, 'Scheduling', undefined));
  for (let nth = 0; nth < 21; nth++) {
    for (let count = 0; count < 50; count++) {
      const createdAt = BigInt(2 + 50 * nth + count);
      log.add({ createdAt, level: 'warn', code: 'bad_data', message: 'bad', details: '{}', ...place });
      if (count === 0) await log.flush();
    }
    await log.flush();
  }
  const levels = await db.jobMessage.groupBy({ by: ['level'], where: { jobId }, _count: true });
  const kept = new Map(levels.map(({ level, _count }) => [level, _count]));
  expect([kept.get('info'), kept.get('warn')]).toEqual([1, 1000]);
});
