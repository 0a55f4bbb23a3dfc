import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { Targets } from '../../src/connectors/connector.ts';
import { describe as describeProfile } from '../../src/connectors/mqtt/config/broker-url.ts';
import type { MqttTable } from '../../src/connectors/mqtt/config/table.ts';
import { countHangUp } from '../../src/connectors/mqtt/connection/broker-memory.ts';
import { connect } from '../../src/connectors/mqtt/connection/client.ts';
import { openSink } from '../../src/connectors/mqtt/sink/sink.ts';
import { forget } from '../../src/connectors/mqtt/source/session.ts';
import { openSource } from '../../src/connectors/mqtt/source/source.ts';
import { autocomplete, watch } from '../../src/connectors/mqtt/watch/watch.ts';
import { TargetRules } from '../../src/security/targets.ts';
import { faulty, mosquitto } from '../support/fixtures.ts';
import { checked, errorOf, outline, sinkContext, sourceContext, unique } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Every path from a profile to a socket respects the addresses that the operator allows. */

const noLoopback = ['!127.0.0.0/8', '!::1'];
const targets = new TargetRules(noLoopback);
const broker = await mosquitto();

/** Connections to an address of this machine that no connector may reach. */
let visits = 0;
let watched: Server;
let port: number;
beforeAll(async () => {
  watched = createServer((socket) => {
    visits += 1;
    socket.destroy();
  });
  // Over IPv6 and IPv4.
  watched.listen(0);
  await once(watched, 'listening');
  port = (watched.address() as { port: number }).port;
});
afterAll(() => watched.close());
beforeEach(() => {
  visits = 0;
});

const signal = new AbortController().signal;
const table = { topic: 'a', type: {} } as MqttTable;

const paths: Record<string, (url: string, rules: Targets) => Promise<unknown>> = {
  source: (url, rules) => openSource({ ...sourceContext({ url }, 'a'), targets: rules }),
  sink: (url, rules) => openSink({ ...sinkContext({ url }, 'a'), targets: rules }),
  forgetting: (url, rules) => forget({ ...sourceContext({ url }, 'a'), targets: rules }),
  autocomplete: (url, rules) => autocomplete({ profile: { url }, targets: rules, signal }),
  watch: (url, rules) =>
    watch({
      profile: { url },
      targets: rules,
      table,
      signal,
      listening: () => undefined,
      deliver: () => undefined,
    }),
  'the check for a client-id conflict': (url, rules) => {
    const clientId = unique();
    for (let times = 0; times < 3; times += 1) countHangUp(`${clientId}@${describeProfile({ url })}`);
    const request = { profile: { url }, targets: rules, clientId, clean: true, sessionExpirySecs: 0, signal };
    return connect(request);
  },
};

describe('a denied address', () => {
  test.each(Object.keys(paths))('is not dialled by: %s', async (name) => {
    const error = await errorOf((paths[name] as (typeof paths)[string])(`mqtt://localhost:${port}`, targets));
    expect(error).toMatchObject({ code: 'target_not_allowed', passing: false });
    expect(error.message).toContain('localhost');
    expect(visits).toBe(0);
  });

  test('is reported by the first step of a test, which ends there', async () => {
    const steps = await checked({ url: `mqtt://localhost:${port}` }, { targets });
    expect(outline(steps)[0]).toBe('resolve:failed:target_not_allowed');
    expect(steps[0]?.message).toMatch(/localhost.*(127\.0\.0\.1|::1)/);
    expect(steps[0]?.hint).toContain('PENSTOCK_TARGETS');
    expect(steps.slice(1).every(({ outcome }) => outcome === 'skipped')).toBe(true);
    expect(visits).toBe(0);
  });

  test.each([
    'localhost',
    'LOCALHOST',
    'localhost.',
    '127.0.0.1',
    '127.0.0.1.',
    '127.1',
    '127.0.1',
    '127.255.255.254',
    '2130706433',
    '0x7f000001',
    '0X7F.1',
    '0177.0.0.1',
    '0x7f.0.0.0x1',
    '%31%32%37.0.0.1',
    '127。0。0。1',
    '①②⑦.0.0.1',
    '[::1]',
    '[0:0:0:0:0:0:0:1]',
    '[::ffff:127.0.0.1]',
    '[::FFFF:7F00:1]',
    '[::ffff:0:127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '[2002:7f00:1::]',
    '[::1%25lo]',
    '[::1%lo]',
    '0.0.0.0',
    '0',
    '[::]',
  ])('stays out of reach however it is written: %s', async (host) => {
    for (const scheme of ['mqtt', 'mqtts', 'ws', 'wss']) {
      const error = await errorOf(paths.source?.(`${scheme}://${host}:${port}`, targets) as Promise<unknown>);
      // Invalid URLs and unresolvable names reach nothing either.
      expect(['target_not_allowed', 'name_not_resolved', 'invalid_config']).toContain(error.code);
    }
    expect(visits).toBe(0);
  });

  test.each(['2130706433', '127.1', '0x7f000001', '[::ffff:127.0.0.1]'])(
    '%s would be this machine if it were allowed',
    async (host) => {
      await errorOf(paths.source?.(`mqtt://${host}:${port}`, new TargetRules([])) as Promise<unknown>);
      expect(visits).toBeGreaterThan(0);
    },
  );

  test('is skipped in a list of servers, and the others are tried', async () => {
    const url = `mqtt://127.0.0.2:${port},mqtt://127.0.0.1:${broker.port}`;
    const rules = new TargetRules(['!127.0.0.2']);
    const request = {
      profile: { url },
      targets: rules,
      clientId: unique(),
      clean: true,
      sessionExpirySecs: 0,
    };
    const connection = await connect({ ...request, signal });
    await connection.close();
    const steps = await checked({ url }, { targets: rules });
    expect(outline(steps).slice(0, 2)).toEqual(['resolve:warning:target_not_allowed', 'resolve:ok']);
    expect(visits).toBe(0);
  });

  test('is skipped among the addresses of a name, also when a test connects a second time', async () => {
    const both = (await lookup('localhost', { all: true })).map(({ address }) => address);
    // With ::1 denied, only 127.0.0.1 is dialled, which is silent to TLS and then to MQTT without TLS.
    const silent = await faulty((socket) => socket.once('data', () => socket.end()));
    const closed = createServer(() => {
      visits += 1;
    });
    if (both.includes('::1')) await once(closed.listen(silent.port, '::1'), 'listening');
    onTestFinished(() => void closed.close());
    for (const scheme of ['mqtts', 'mqtt']) {
      const rules = new TargetRules(['!::1']);
      const steps = await checked({ url: `${scheme}://localhost:${silent.port}` }, { targets: rules });
      expect(steps[0]?.details.addresses).toEqual(both.filter((address) => address !== '::1'));
      expect(steps[1]).toMatchObject({ name: 'tcp', outcome: 'ok' });
      expect(steps.some(({ outcome }) => outcome === 'failed')).toBe(true);
    }
    expect(visits).toBe(0);
  });

  test('is not reached by a redirect', async () => {
    const server = await faulty((socket) =>
      socket.once('data', () =>
        socket.end(
          `HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.2:${port}/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
        ),
      ),
    );
    const steps = await checked(
      { url: `ws://127.0.0.1:${server.port}` },
      { targets: new TargetRules(['!127.0.0.2']) },
    );
    expect(outline(steps)[2]).toBe('websocket:failed:websocket_refused');
    expect(visits).toBe(0);
  });
});

describe('over the API', () => {
  let service: Service;
  let ids: Awaited<ReturnType<typeof createTables>>;
  beforeAll(async () => {
    service = await startService({ worker: true, targets: noLoopback });
    ids = await createTables(service.request, `mqtt://localhost:${port}`);
  });

  const config = () => ({ url: `mqtt://127.0.0.1:${port}` });
  const source = { topic: 'a', type: {} };

  test.each<[string, () => Promise<{ body: { code: string } }>]>([
    ['a test of a profile', () => post('/connection_profiles/test', profileBody(config().url))],
    ['a test of a stored profile', () => post(`/connection_profiles/${ids.profile}/test`)],
    ['a test of changes', () => post(`/connection_profiles/${ids.profile}/test`, { config: config() })],
    ['a test of a table', () => post('/connection_tables/test', tableBody('x', ids.profile, source))],
    ['a test of a stored table', () => post(`/connection_tables/${ids.readings}/test`)],
    ['a look for topics', () => get(`/connection_profiles/${ids.profile}/autocomplete`)],
    ['a tail', () => get(`/connection_tables/${ids.readings}/tail`)],
    [
      'an inference',
      () =>
        post('/connection_tables/infer_schema', {
          connector: 'mqtt',
          connection_profile_id: ids.profile,
          config: source,
        }),
    ],
  ])('%s is refused', async (_what, ask) => {
    expect((await ask()).body).toMatchObject({ code: 'target_not_allowed' });
    expect(visits).toBe(0);
  });

  const post = (path: string, body?: object) =>
    service.request.post(`/api/v1${path}`).set('accept', 'application/json').send(body);
  const get = (path: string) => service.request.get(`/api/v1${path}`);

  test('a job fails for good', async () => {
    const { id } = await created(service.request, '/pipelines', {
      name: 'p',
      query: 'INSERT INTO alerts SELECT * FROM readings',
      parallelism: 1,
    });
    const job = await until('the job to fail', async () => {
      const found = await jobOf(service.request, id);
      return found.state === 'Failed' && found;
    });
    expect(job.failure_reason?.code).toBe('target_not_allowed');
    expect(visits).toBe(0);
  });
});

describe('the process', () => {
  test('reads PENSTOCK_TARGETS', async () => {
    const penstock = await Penstock.start({ PENSTOCK_TARGETS: noLoopback.join(', ') });
    const { body } = await penstock.request
      .post('/api/v1/connection_profiles/test')
      .send(profileBody(`mqtt://127.0.0.1:${port}`));
    expect(body).toMatchObject({ code: 'target_not_allowed' });
    expect(visits).toBe(0);
  });

  test('does not start with invalid entries', async () => {
    await expect(Penstock.start({ PENSTOCK_TARGETS: '10.0.0.0/99' })).rejects.toThrow('PENSTOCK_TARGETS');
  });
});
