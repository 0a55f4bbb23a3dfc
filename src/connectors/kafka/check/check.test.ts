import { createServer } from 'node:net';
import { describe, expect, test } from 'vitest';
import { whyMissing } from '../../../../scripts/servers.ts';
import { atEnd } from '../../../../test/support/at-end.ts';
import { testCheck } from '../../../../test/support/connector-conformance/check.ts';
import { FaultyLink } from '../../../../test/support/faulty-link.ts';
import { Kafka, user } from '../../../../test/support/kafka.ts';
import { kafkaContext, sinkTable, sourceTable } from '../../../../test/support/kafka-context.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import type { CheckStep } from '../../connector.ts';
import type { KafkaProfile } from '../config/profile.ts';
import type { KafkaTable } from '../config/table.ts';
import { Cluster } from '../connection/cluster.ts';
import { TransactionalProducer } from '../connection/transactional-producer.ts';
import { kafka } from '../index.ts';

const missing = whyMissing('Kafka');

describe.skipIf(missing !== undefined)(skipping('a test of a real Kafka', missing), async () => {
  if (missing !== undefined) return void test('is needed by all of its tests', () => {});
  const config = ['transaction.max.timeout.ms=30000'];
  const server = await Kafka.start({ secured: true, config });
  await server.createTopic('ready', 3);
  await server.createTopic('closed', 1);
  const producer = server.producer();
  await producer.send({
    acks: -1,
    messages: [{ topic: 'ready', partition: 1, value: Buffer.from('{"a":1}') }],
  });

  const stepsOf = async (profile: KafkaProfile, table?: KafkaTable): Promise<CheckStep[]> => {
    const { targets, signal } = kafkaContext(profile, sourceTable('ready'));
    const steps: CheckStep[] = [];
    await kafka.check?.({
      profile,
      table,
      targets,
      signal,
      schema: undefined,
      probe: 'publish',
      stepTimeoutMs: 5_000,
      report: (step) => void steps.push(step),
    });
    return steps;
  };
  const failure = async (profile: KafkaProfile, table?: KafkaTable): Promise<CheckStep | undefined> =>
    (await stepsOf(profile, table)).find(({ outcome }) => outcome === 'failed');
  const names = (steps: CheckStep[]) => steps.map(({ name, outcome }) => `${name} ${outcome}`);
  const sasl = (mechanism: string, password = user.password, protocol = 'SASL_PLAINTEXT') =>
    ({ protocol, mechanism, username: user.username, password }) as KafkaProfile['authentication'];
  const token = (subject: string) => {
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1000);
    return `${part({ alg: 'none' })}.${part({ sub: subject, iat: now, exp: now + 600 })}.`;
  };

  testCheck({
    connector: kafka,
    dials: true,
    context: () => kafkaContext(server.profile(), sourceTable('ready')),
    traces: async () => [await server.count('ready'), await server.admin((admin) => admin.listTopics())],
  });

  test('reports the steps of a source and of a sink', async () => {
    const source = await stepsOf(server.profile(), sourceTable('ready'));
    expect(names(source)).toEqual(
      ['resolve', 'tcp', 'versions', 'cluster', 'brokers', 'topic', 'read', 'group', 'first_message'].map(
        (name) => `${name} ok`,
      ),
    );
    expect(source.at(-1)?.details).toMatchObject({ partition: 1, offset: '0', bytes: 7 });
    expect(names(await stepsOf(server.profile(), sinkTable('ready'))).slice(-2)).toEqual([
      'topic ok',
      'write ok',
    ]);
  });

  test('names what is wrong with the address', async () => {
    const notKafka = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')).listen(
      0,
      '127.0.0.1',
    );
    await new Promise((resolve) => notKafka.once('listening', resolve));
    const { port } = notKafka.address() as { port: number };
    expect(await failure({ bootstrapServers: `127.0.0.1:${port}`, authentication: {} })).toMatchObject({
      name: 'versions',
      code: 'kafka_not_spoken',
    });
    notKafka.close();
    expect(await failure({ bootstrapServers: '127.0.0.1:1', authentication: {} })).toMatchObject({
      name: 'tcp',
      code: 'connection_refused',
    });
    expect(
      await failure({ bootstrapServers: 'no-such-host.invalid:9092', authentication: {} }),
    ).toMatchObject({
      name: 'resolve',
      code: 'name_not_resolved',
    });
  });

  test('takes a server that closes the connection at once for a passing fault, as a broker that starts does', async () => {
    const closing = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
    await new Promise((resolve) => closing.once('listening', resolve));
    const { port } = closing.address() as { port: number };
    const profile = { bootstrapServers: `127.0.0.1:${port}`, authentication: {} };
    await expect(kafka.openSource?.(kafkaContext(profile, sourceTable('ready')))).rejects.toMatchObject({
      passing: true,
    });
    await expect(kafka.openSink?.(kafkaContext(profile, sinkTable('ready')))).rejects.toMatchObject({
      passing: true,
    });
    closing.close();
  });

  test('tries every bootstrap server, and works with the first that responds', async () => {
    const { bootstrapServers } = server.profile();
    const steps = await stepsOf({ bootstrapServers: `127.0.0.1:1,${bootstrapServers}`, authentication: {} });
    expect(names(steps).slice(0, 3)).toEqual(['resolve ok', 'tcp warning', 'resolve ok']);
    expect(names(steps).at(-1)).toBe('brokers ok');
  });

  test('explains an advertised address that cannot be reached', async () => {
    const failed = await failure(server.profile('hidden'));
    expect(failed).toMatchObject({ name: 'brokers', code: 'kafka_advertised_unreachable' });
    expect(failed?.message).toContain('127.0.0.1:1 (advertised.listeners)');
    expect(failed?.hint).toContain('advertised.listeners');
  });

  test('asks the targets for advertised addresses too', async () => {
    const { signal } = kafkaContext(server.profile(), sourceTable('ready'));
    const steps: CheckStep[] = [];
    let asked = 0;
    await kafka.check?.({
      profile: server.profile('hidden'),
      table: undefined,
      targets: {
        allowed(host, addresses) {
          asked += 1;
          if (asked > 1) throw Object.assign(new Error(`${host} is not allowed`), {});
          return [...addresses];
        },
      },
      signal,
      schema: undefined,
      probe: 'publish',
      stepTimeoutMs: 5_000,
      report: (step) => void steps.push(step),
    });
    expect(asked).toBe(2);
    expect(steps.at(-1)).toMatchObject({ name: 'brokers', outcome: 'failed' });
  });

  test('says that a topic is missing', async () => {
    expect(await failure(server.profile(), sourceTable('nowhere'))).toMatchObject({
      name: 'topic',
      code: 'kafka_topic_missing',
      hint: expect.stringContaining('--create --topic nowhere'),
    });
  });

  test('says that the group has no offsets', async () => {
    expect(
      await failure(server.profile(), sourceTable('ready', { offset: 'group', group_id: 'none' })),
    ).toMatchObject({
      name: 'group',
      code: 'kafka_group_offsets_missing',
    });
  });

  test('does not miss the offsets of partitions that are new to the group', async () => {
    await server.admin((admin) =>
      admin.alterConsumerGroupOffsets({
        groupId: 'some',
        topics: [{ name: 'ready', partitionOffsets: [{ partition: 0, offset: 0n }] }],
      }),
    );
    const steps = await stepsOf(
      server.profile(),
      sourceTable('ready', { offset: 'group', group_id: 'some' }),
    );
    expect(names(steps)).toContain('group ok');
  });

  test.each(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'])('logs in by %s', async (mechanism) => {
    const steps = await stepsOf(
      server.profile('sasl', { authentication: sasl(mechanism) }),
      sourceTable('ready'),
    );
    expect(steps.filter(({ outcome }) => outcome !== 'ok')).toEqual([]);
    expect(steps.find(({ name }) => name === 'sasl')?.message).toBe(`Logged in as alice by ${mechanism}`);
    expect(await failure(server.profile('sasl', { authentication: sasl(mechanism, 'wrong') }))).toMatchObject(
      {
        name: 'sasl',
        code: 'kafka_login_refused',
      },
    );
  });

  test('logs in by OAUTHBEARER', async () => {
    const good = sasl('OAUTHBEARER', token('alice'));
    expect(await failure(server.profile('sasl', { authentication: good }))).toBeUndefined();
    const bad = sasl('OAUTHBEARER', 'a.b.c');
    expect(await failure(server.profile('sasl', { authentication: bad }))).toMatchObject({
      name: 'sasl',
      code: 'kafka_login_refused',
    });
  });

  test('says that a login is refused although another server is down, and tries it at one server only', async () => {
    const links = await Promise.all([0, 1].map(() => FaultyLink.start(server.ports.sasl, () => () => {})));
    const linked = links.map(({ url }) => new URL(url).host);
    const cluster = async (servers: string[], password: string) => {
      const bootstrapServers = servers.join(',');
      const profile = server.profile('sasl', { bootstrapServers, authentication: sasl('PLAIN', password) });
      const context = kafkaContext(profile, sourceTable('ready'));
      await (await Cluster.open(context, context.signal)).close();
    };
    for (let times = 1; times <= 3; times += 1) {
      const refused = { code: 'kafka_login_refused', passing: false };
      await expect(cluster(['127.0.0.1:1', ...linked], 'wrong')).rejects.toMatchObject(refused);
      expect(links.reduce((sum, { accepted }) => sum + accepted, 0)).toBe(times);
    }
    // One without a login says nothing about the user.
    const plain = server.profile().bootstrapServers;
    for (let times = 0; times < 5; times += 1)
      await cluster([plain, server.profile('sasl').bootstrapServers], user.password);
  });

  test('connects by TLS, with and without a client certificate', async () => {
    const ca = server.authority.cert;
    const ssl = { authentication: { protocol: 'SSL' } } as const;
    expect(await failure(server.profile('tls', { ...ssl, tls: { ca } }))).toBeUndefined();
    expect(await failure(server.profile('tls', ssl))).toMatchObject({
      name: 'tls',
      code: 'tls_unknown_issuer',
    });
    const { cert, key } = server.client;
    expect(await failure(server.profile('mtls', { ...ssl, tls: { ca, cert, key } }))).toBeUndefined();
    expect(await failure(server.profile('mtls', { ...ssl, tls: { ca } }))).toMatchObject({
      // Java reports a missing certificate as a bad one.
      code: expect.stringMatching(/^tls_client_certificate_re(quired|fused)/),
    });
    const both = sasl('SCRAM-SHA-512', user.password, 'SASL_SSL');
    expect(await failure(server.profile('sasltls', { authentication: both, tls: { ca } }))).toBeUndefined();
  });

  test('tells listeners that were mistaken for another', async () => {
    expect(await failure(server.profile('tls'))).toMatchObject({
      name: 'versions',
      code: 'kafka_not_spoken',
      hint: expect.stringContaining('TLS'),
    });
    expect(await failure(server.profile('direct', { authentication: { protocol: 'SSL' } }))).toMatchObject({
      name: 'tls',
    });
    expect(await failure(server.profile('sasl'))).toMatchObject({
      name: 'cluster',
      code: 'kafka_login_required',
    });
    expect(await failure(server.profile('direct', { authentication: sasl('PLAIN') }))).toMatchObject({
      name: 'sasl',
      code: 'kafka_login_refused',
    });
  });

  test('says which permission is missing', async () => {
    const deny = (operation: number) => ({
      resourceType: 2,
      resourceName: 'closed',
      resourcePatternType: 3,
      principal: `User:${user.username}`,
      host: '*',
      operation,
      permissionType: 2,
    });
    // All are 2, READ is 3, WRITE is 4.
    await server.admin((admin) => admin.createAcls({ creations: [deny(3), deny(4)] as never }));
    const profile = server.profile('sasl', { authentication: sasl('PLAIN') });
    await expect
      .poll(() => failure(profile, sourceTable('closed')), { timeout: 20_000 })
      .toMatchObject({ code: 'kafka_forbidden' });
    const writeStep = async () =>
      (await stepsOf(profile, sinkTable('ready', { commit_mode: 'exactly_once' }))).at(-1);
    expect(await writeStep()).toMatchObject({ name: 'write', outcome: 'ok' });
    // DESCRIBE is 8. Allowed are 3.
    const own = { resourceType: 5, resourceName: 'penstock-', resourcePatternType: 4 };
    const creations = [
      { ...deny(4), ...own },
      { ...deny(8), ...own, permissionType: 3 },
    ];
    await server.admin((admin) => admin.createAcls({ creations: creations as never }));
    // The group may have another name, which only the source knows.
    const hint = expect.stringContaining("--transactional-id 'penstock-' --resource-pattern-type prefixed");
    await expect
      .poll(writeStep, { timeout: 20_000 })
      .toMatchObject({ name: 'write', outcome: 'warning', code: 'kafka_forbidden', hint });
  });

  test('says what to raise if the brokers do not let a transaction take a minute', async () => {
    const context = kafkaContext(server.profile(), sinkTable('ready'));
    const cluster = await Cluster.open(context, context.signal);
    atEnd(() => cluster.close());
    await cluster.describe('ready');
    await expect(TransactionalProducer.open(cluster, 'penstock-long')).rejects.toMatchObject({
      code: 'kafka_refused',
      hint: expect.stringContaining('transaction.max.timeout.ms'),
    });
  });

  test('suggests topics and groups', async () => {
    const { targets, signal, profile } = kafkaContext(server.profile(), sourceTable('ready'));
    const found = await kafka.autocomplete?.({ profile, targets, signal });
    expect(found?.topic).toEqual(['closed', 'ready']);
  });
});
