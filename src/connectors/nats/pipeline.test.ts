import { describe, expect, test } from 'vitest';
import { Nats, natsMissing, textsIn } from '../../../test/support/nats.ts';
import { created, jobOf } from '../../../test/support/resources.ts';
import { startService } from '../../../test/support/service.ts';
import { skipping } from '../../../test/support/skipping.ts';
import { until } from '../../../test/support/until.ts';
import { compileQuery } from '../../sql/compile.ts';

const arroyos = (source: string, sink = "subject = 'out'") => `
  CREATE TABLE a (value TEXT) WITH (connector = 'nats', servers = 'nats-1:4222', auth.type = 'credentials',
    auth.username = 'ada', auth.password = 'secret', type = 'source', ${source}, format = 'json');
  CREATE TABLE b (value TEXT) WITH (connector = 'nats', servers = 'nats-1:4222', type = 'sink', ${sink}, format = 'json');
  INSERT INTO b SELECT value FROM a;`;

describe("Arroyo's options", () => {
  test('choose a stream or a subject', async () => {
    const { catalog } = await startService();
    const planned = async (query: string) => {
      const { inserts } = await compileQuery(query, catalog);
      return inserts[0] as (typeof inserts)[0];
    };
    const insert = await planned(
      arroyos(
        "stream = 'S', consumer.ack_wait = 60, consumer.filter_subjects = 'x.>,y', consumer.max_deliver = 5",
      ),
    );
    expect(insert.source.config).toEqual({
      connectorType: {
        sourceType: { stream: 'S', ackWait: 60, filterSubjects: ['x.>', 'y'], maxDeliver: 5 },
      },
    });
    expect(insert.source.profile).toEqual({
      servers: 'nats-1:4222',
      authentication: { username: 'ada', password: 'secret' },
    });
    expect([insert.sink.config, insert.sink.profile]).toEqual([
      { connectorType: { sinkType: { subject: 'out' } } },
      { servers: 'nats-1:4222', authentication: {} },
    ]);
    const core = await planned(
      arroyos("subject = 'in.*'", "subject = 'out', stream = 'S', message_id = '{{ value }}'"),
    );
    expect(core.source.config).toEqual({ connectorType: { sourceType: { subject: 'in.*' } } });
    expect(core.sink.config).toEqual({
      connectorType: { sinkType: { subject: 'out', stream: 'S', messageId: '{{ value }}' } },
    });
  });
});

describe.skipIf(natsMissing)(skipping('a pipeline with NATS', natsMissing), () => {
  test('keeps its consumer over restarts and edits, and removes it when it is deleted', async () => {
    const server = await Nats.start(
      { config: ['authorization { user: ada, password: secret }'] },
      { user: 'ada', pass: 'secret' },
    );
    await server.stream('IN');
    await server.stream('OUT');
    const client = await server.client();
    const manager = await server.manager();
    const { request } = await startService({ worker: true });
    const login = `servers = '${server.url}', auth.type = 'credentials', auth.username = 'ada', auth.password = 'secret'`;
    const query = (select: string) => `
      CREATE TABLE i (n BIGINT, s BIGINT METADATA FROM 'sequence') WITH (connector = 'nats', ${login}, type = 'source', stream = 'IN', format = 'json');
      CREATE TABLE o WITH (connector = 'nats', ${login}, type = 'sink', stream = 'OUT', subject = 'OUT.x', format = 'json');
      INSERT INTO o SELECT ${select} FROM i;`;
    const { id } = await created(request, '/pipelines', { name: 'p', query: query('n, s'), parallelism: 2 });
    const runs = () =>
      until('the job runs', async () => (await jobOf(request, id)).state === 'Running', 60_000);
    await runs();
    const consumers = async () => (await manager.streams.info('IN')).state.consumer_count;
    const publish = (n: number) => manager.jetstream().publish('IN.a', JSON.stringify({ n }));
    const out = async (count: number) => {
      await until('rows', async () => (await manager.streams.info('OUT')).state.messages >= count);
      return (await textsIn(client, 'OUT')).sort();
    };
    await publish(1);
    expect(await out(1)).toEqual(['{"n":1,"s":1}']);
    expect(JSON.stringify((await request.get(`/api/v1/pipelines/${id}`)).body)).not.toContain("'secret'");
    await request
      .patch(`/api/v1/pipelines/${id}`)
      .send({ query: query('n * 10 AS n, s'), parallelism: 1 })
      .expect(200);
    await until('the edit', async () => {
      await publish(2);
      return (await textsIn(client, 'OUT')).some((text) => text.startsWith('{"n":20,'));
    });
    expect(await consumers()).toBe(1);
    await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'immediate' }).expect(200);
    await until('it stops', async () => (await jobOf(request, id)).state === 'Stopped');
    await publish(7);
    await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'none' }).expect(200);
    await until('what came meanwhile', async () =>
      (await textsIn(client, 'OUT')).some((text) => text.startsWith('{"n":70,')),
    );
    // Messages that were in flight at the stop arrive a moment later.
    const { messages } = (await manager.streams.info('IN')).state;
    await until('all rows', async () => new Set(await textsIn(client, 'OUT')).size === messages);
    await request.patch(`/api/v1/pipelines/${id}`).send({ stop: 'immediate' }).expect(200);
    await until('it stops', async () => (await jobOf(request, id)).state === 'Stopped');
    await request.delete(`/api/v1/pipelines/${id}`).expect(200);
    await until('the consumer is removed', async () => (await consumers()) === 0, 60_000);
  });
});
