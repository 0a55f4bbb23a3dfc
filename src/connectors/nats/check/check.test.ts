import { beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority, makeClient, makeServer, type Pair } from '../../../../test/support/certificates.ts';
import { runContext } from '../../../../test/support/connector-conformance/subject.ts';
import { FaultyServer } from '../../../../test/support/faulty-server.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { Nats, natsMissing, nkeyUser, operatorMode } from '../../../../test/support/nats.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { reading } from '../../../../test/support/sources.ts';
import { until } from '../../../../test/support/until.ts';
import type { CheckStep, RunContext } from '../../connector.ts';
import type { NatsProfile } from '../config/profile.ts';
import type { NatsTable } from '../config/table.ts';
import { nats } from '../index.ts';

type Context = RunContext<NatsProfile, NatsTable>;

async function stepsOf(profile: Partial<NatsProfile>, connectorType?: NatsTable['connectorType'], more = {}) {
  const steps: CheckStep[] = [];
  const base = runContext({}) as Context;
  await nats.check?.({
    profile: { servers: '', authentication: {}, ...profile },
    targets: base.targets,
    signal: base.signal,
    table: connectorType && { connectorType },
    schema: { format: { type: 'json' }, fields: [{ name: 'a', type: 'int64' }] },
    probe: 'publish',
    stepTimeoutMs: 30_000,
    report: (step) => void steps.push(step),
    ...more,
  });
  return steps;
}
const outline = (steps: readonly CheckStep[]) =>
  steps.map(({ name, outcome, code }) => `${name} ${outcome}${code ? ` ${code}` : ''}`);

const dialled = ['resolve ok', 'tcp ok', 'greeting ok'];

describe.skipIf(natsMissing)(skipping('the test of a NATS profile', natsMissing), () => {
  let ca: Pair;
  beforeAll(async () => {
    ca = await makeAuthority();
  });

  test('says whether JetStream is there', async () => {
    const [server, plain] = await Promise.all([Nats.start(), Nats.start({ plain: true })]);
    const steps = await stepsOf({ servers: server.url });
    expect(outline(steps)).toEqual([...dialled, 'login ok', 'jetstream ok']);
    expect(steps[2]?.details).toMatchObject({
      version: expect.any(String),
      jetStream: true,
      maxPayload: 1_048_576,
    });
    expect(outline(await stepsOf({ servers: plain.url }))).toEqual([
      ...dialled,
      'login ok',
      'jetstream warning nats_jetstream_disabled',
    ]);
    const table = { sourceType: { stream: 'S' } };
    expect(outline(await stepsOf({ servers: plain.url }, table)).at(4)).toBe(
      'jetstream failed nats_jetstream_disabled',
    );
  });

  test('tries every server, and never those that a server announces', async () => {
    const server = await Nats.start({ plain: true });
    const closed = await freePort();
    const steps = await stepsOf({ servers: `127.0.0.1:${closed},${server.url}` });
    expect(outline(steps)).toEqual([
      'resolve ok',
      'tcp warning connection_refused',
      ...dialled,
      'login ok',
      'jetstream warning nats_jetstream_disabled',
    ]);
    const asked: string[] = [];
    const info = JSON.stringify({
      server_id: 'x',
      version: '2.9.10',
      proto: 1,
      max_payload: 100,
      headers: true,
      connect_urls: ['10.9.8.7:4222', 'elsewhere:4222'],
    });
    const announcing = await FaultyServer.start((socket) => {
      socket.write(`INFO ${info}\r\n`);
      socket.on('data', (data) => {
        if (String(data).includes('PING')) socket.write('PONG\r\n');
      });
    });
    const base = runContext({ connectorType: { sinkType: { subject: 'a' } } }) as Context;
    const sink = await nats.openSink?.({
      ...base,
      profile: { servers: announcing.url.replace(/^\w+:\/\//, ''), authentication: {} },
      targets: {
        allowed: (host, addresses) => {
          asked.push(host);
          return [...addresses];
        },
      },
    });
    const lost = sink?.write([{ payload: Buffer.from('x'), row: {} }]);
    await lost;
    await announcing.stop();
    await sink?.close();
    expect(asked).toEqual(['127.0.0.1']);
  });

  test.each([
    ['nats_not_spoken', 'HTTP/1.1 200 OK\r\n\r\n'],
    ['nats_not_spoken', 'INFO no json\r\n'],
    ['connection_timeout', ''],
  ])('reports %s', async (code, said) => {
    const other = await FaultyServer.start((socket) => {
      if (said) socket.write(said);
    });
    const servers = other.url.replace(/^\w+:\/\//, '');
    const steps = await stepsOf({ servers }, undefined, {
      stepTimeoutMs: said ? 30_000 : 500,
    });
    expect(outline(steps).slice(2, 4)).toEqual([`greeting failed ${code}`, 'login skipped']);
    await other.stop();
  });

  test('logs in with a user, a token, a key, a JWT and a file of credentials', async () => {
    const key = nkeyUser();
    const operator = operatorMode();
    const [users, token, keys, trusting] = await Promise.all([
      Nats.start({ plain: true, config: ['authorization { user: ada, password: right }'] }),
      Nats.start({ plain: true, config: ['authorization { token: secret }'] }),
      Nats.start({ plain: true, config: [`authorization { users = [ { nkey: ${key.public} } ] }`] }),
      Nats.start({ plain: true, config: operator.config }),
    ]);
    const { jwt, seed: nkeySeed, creds } = operator;
    const other = nkeyUser().seed;
    const cases: [Nats, NatsProfile['authentication'], boolean][] = [
      [users, { username: 'ada', password: 'right' }, true],
      [users, { username: 'ada', password: 'wrong' }, false],
      [users, {}, false],
      [token, { token: 'secret' }, true],
      [token, { token: 'wrong' }, false],
      [keys, { nkeySeed: key.seed }, true],
      [keys, { nkeySeed: other }, false],
      [keys, { nkeySeed: 'SUAA' }, false],
      [trusting, { jwt, nkeySeed }, true],
      [trusting, { jwt, nkeySeed: other }, false],
      [trusting, { creds }, true],
      [trusting, { creds: 'nothing' }, false],
    ];
    for (const [at, authentication, works] of cases) {
      const steps = await stepsOf({ servers: at.url, authentication });
      const login = steps.find(({ name }) => name === 'login');
      expect([authentication, login?.code ?? null]).toEqual([
        authentication,
        works ? null : 'nats_login_refused',
      ]);
      expect(JSON.stringify(steps)).not.toMatch(/right|wrong|secret|SU[A-Z2-7]{20}/);
    }
    // A server that is down does not hide it, whatever their order.
    const down = `127.0.0.1:${await freePort()}`;
    for (const servers of [`${down},${users.url}`, `${users.url},${down}`]) {
      const context = runContext({ connectorType: { sourceType: { subject: 's' } } }) as Context;
      const profile = { servers, authentication: { username: 'ada', password: 'wrong' } };
      await expect(nats.openSource?.({ ...context, profile })).rejects.toMatchObject({
        code: 'nats_login_refused',
      });
    }
  });

  test('uses TLS, and asks for it only with tls:// or certificates', async () => {
    const own = await makeServer(ca);
    const user = await makeClient(ca);
    const tls = { ca: ca.cert, cert: own.cert, key: own.key };
    const [secure, mutual, plain] = await Promise.all([
      Nats.start({ tls, plain: true }),
      Nats.start({ tls, mutual: true, plain: true }),
      Nats.start({ plain: true }),
    ]);
    const loginOf = async (profile: Partial<NatsProfile>) => {
      const steps = await stepsOf(profile);
      return outline(steps.filter(({ name }) => ['greeting', 'tls', 'login'].includes(name))).join(', ');
    };
    const trusted = { ca: ca.cert };
    expect(await loginOf({ servers: secure.url, tls: trusted })).toBe('greeting ok, tls ok, login ok');
    expect(await loginOf({ servers: `tls://${secure.url}`, tls: trusted })).toBe(
      'greeting ok, tls ok, login ok',
    );
    expect(await loginOf({ servers: secure.url })).toBe(
      'greeting ok, tls failed tls_unknown_issuer, login skipped',
    );
    expect(await loginOf({ servers: plain.url, tls: trusted })).toBe(
      'greeting failed tls_not_spoken, login skipped',
    );
    expect(await loginOf({ servers: `tls://${plain.url}` })).toBe(
      'greeting failed tls_not_spoken, login skipped',
    );
    const pair = { ...trusted, cert: user.cert, key: user.key };
    expect(await loginOf({ servers: mutual.url, tls: pair })).toBe('greeting ok, tls ok, login ok');
    expect(await loginOf({ servers: mutual.url, tls: trusted })).toMatch(/tls_client_certificate/);
  });
});

describe.skipIf(natsMissing)(skipping('the test of a NATS table', natsMissing), () => {
  const restricted =
    'authorization { users = [ { user: a, password: a }, { user: r, password: r, permissions: ' +
    '{ publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>", "S.b"] }, subscribe: { deny: ["secret"] } } } ] }';
  const admin = { username: 'a', password: 'a' };
  const reader = { username: 'r', password: 'r' };
  const open = async () => Nats.start({ config: [restricted] }, { user: 'a', pass: 'a' });

  test('reads a sample of a stream, and leaves nothing', async () => {
    const server = await open();
    await server.stream('S');
    const client = await server.client();
    const steps = async (table: object, authentication: NatsProfile['authentication'] = admin) =>
      (await stepsOf({ servers: server.url, authentication }, table as NatsTable['connectorType'])).slice(5);
    const source = { sourceType: { stream: 'S' } };
    expect(outline(await steps(source))).toEqual([
      'stream ok',
      'permission ok',
      'first_message ok',
      'decode ok',
    ]);
    await (await server.manager()).jetstream().publish('S.a', '{"a":"x"}');
    expect(outline(await steps(source)).at(-1)).toBe('decode failed bad_data');
    expect(outline(await steps(source, reader))).toContain('permission failed nats_forbidden');
    expect(outline(await steps({ sourceType: { stream: 'None' } }))[0]).toBe(
      'stream failed nats_stream_missing',
    );
    const foreign = { sourceType: { stream: 'S', filterSubjects: ['T.>'] } };
    expect(outline(await steps(foreign))[0]).toBe('stream failed nats_subject_uncovered');
    const { state } = await (await server.manager()).streams.info('S');
    expect([state.messages, state.consumer_count]).toEqual([1, 0]);
    await client.flush();
  });

  test('tries a sink without storing anything', async () => {
    const server = await open();
    await server.stream('S', { max_msgs: 1, discard: 'new' });
    const steps = async (sinkType: object, authentication: NatsProfile['authentication'] = admin) =>
      outline(
        (
          await stepsOf({ servers: server.url, authentication }, { sinkType } as NatsTable['connectorType'])
        ).slice(5),
      );
    expect(await steps({ stream: 'S', subject: 'S.a' })).toEqual(['stream ok', 'publish ok']);
    expect(await steps({ stream: 'S', subject: 'S.b' }, reader)).toEqual([
      'stream ok',
      'publish failed nats_forbidden',
    ]);
    expect(await steps({ stream: 'S', subject: 'S.{{ x }}' })).toEqual(['stream ok', 'publish skipped']);
    expect(await steps({ stream: 'S', subject: 'T.{{ x }}' })).toEqual([
      'stream failed nats_subject_uncovered',
      'publish skipped',
    ]);
    expect((await (await server.manager()).streams.info('S')).state.messages).toBe(0);
    await (await server.manager()).jetstream().publish('S.a', 'x');
    expect(await steps({ stream: 'S', subject: 'S.a' })).toEqual([
      'stream warning nats_stream_full',
      'publish ok',
    ]);
  });

  test('subscribes to a subject, and says that it can lose messages', async () => {
    const server = await open();
    const client = await server.client();
    const sending = setInterval(() => client.publish('x', '{"a":1}'), 20);
    const found = await stepsOf(
      { servers: server.url, authentication: admin },
      { sourceType: { subject: 'x' } },
    );
    clearInterval(sending);
    expect(outline(found).slice(4)).toEqual(['subscribe ok', 'first_message ok', 'decode ok']);
    expect(found[4]?.message).toMatch(/can be lost/);
    const denied = await stepsOf(
      { servers: server.url, authentication: reader },
      { sourceType: { subject: 'secret' } },
    );
    expect(outline(denied)[4]).toBe('subscribe failed nats_forbidden');
  });

  test('watches and completes without a consumer', async () => {
    const server = await open();
    await server.stream('S');
    await server.stream('W', { retention: 'workqueue' });
    const base = runContext({}) as Context;
    const profile = { servers: server.url, authentication: admin };
    const js = (await server.manager()).jetstream();
    await js.publish('S.a', 'old');
    const seen: string[] = [];
    const over = new AbortController();
    const watching = ['S', 'W'].map((stream) =>
      nats
        .watch?.({
          ...base,
          profile,
          table: { connectorType: { sourceType: { stream } } },
          signal: over.signal,
          listening: () => void seen.push(`${stream} listens`),
          deliver: ({ payload, metadata }) => void seen.push(`${String(metadata.subject)} ${payload}`),
        })
        .catch((error: unknown) => error),
    );
    await until('both to listen', () => seen.filter((text) => text.endsWith('listens')).length === 2);
    await js.publish('S.b', 'new');
    await js.publish('W.a', 'job');
    await until('all', () => seen.length === 5);
    expect(seen.filter((text) => !text.endsWith('listens')).sort()).toEqual([
      'S.a old',
      'S.b new',
      'W.a job',
    ]);
    over.abort(new Error('enough'));
    for (const end of watching) expect(await end).toMatchObject({ message: 'enough' });
    expect(await nats.autocomplete?.({ profile, targets: base.targets, signal: base.signal })).toEqual({
      stream: ['S', 'W'],
      subject: ['S.>', 'W.>'],
      filterSubjects: ['S.>', 'W.>'],
    });
    expect((await (await server.manager()).streams.info('S')).state.consumer_count).toBe(0);
  });

  test('a source that may not pull fails with what it lacks', async () => {
    const server = await open();
    await server.stream('S');
    const base = runContext({ connectorType: { sourceType: { stream: 'S' } } }) as Context;
    const { end } = await reading(nats, {
      ...base,
      profile: { servers: server.url, authentication: reader },
    });
    expect(await end).toMatchObject({ code: 'nats_forbidden', passing: false });
  });
});
