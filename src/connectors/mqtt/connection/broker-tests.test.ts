import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { startAedes } from '../../../../test/support/aedes-broker.ts';
import { atEnd } from '../../../../test/support/at-end.ts';
import { mosquitto, scripted } from '../../../../test/support/fixtures.ts';
import {
  ackAll,
  type MqttContext,
  plainClient,
  Reader,
  recordingWarnings,
  sourceContext,
  takeSession,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import type { Source } from '../../connector.ts';
import { openSource } from '../source/source.ts';
import { reportsSessions } from './broker-tests.ts';

/** Facts that a source finds out about a broker by trying. */

const opened: Source[] = [];
afterEach(async () => {
  for (const source of opened.splice(0)) await source.close();
});

async function open(context: MqttContext): Promise<Source> {
  const source = await openSource(context);
  opened.push(source);
  return source;
}

/** A link that hides Session Present in every CONNACK of 3.1.1, as ActiveMQ never sets it. */
async function silentLink(port: number): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const broker = connect(port, '127.0.0.1');
    for (const socket of [client, broker]) sockets.add(socket.on('error', () => undefined));
    client.pipe(broker);
    broker.once('data', (connack: Buffer) => {
      if (connack[0] === 0x20) connack[2] = 0;
      client.write(connack);
      broker.pipe(client);
    });
    client.once('close', () => broker.destroy());
    broker.once('close', () => client.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  atEnd(async () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `mqtt://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const known = (former: MqttContext['table'][] = []) => ({ known: true, former, drain: false });
const unknown = { known: false, former: [], drain: false };

test.each(['5', '3.1.1'] as const)(
  'a broker that sets Session Present is known to, over MQTT %s, and keeps no session of the test',
  async (protocolVersion) => {
    const broker = await mosquitto();
    const context = sourceContext({ url: broker.url, protocolVersion }, `in/${unique()}`);
    expect(await reportsSessions(context)).toBe(true);
    const [, id = ''] = /as (penstock_check_\w+)/.exec(broker.log) ?? [];
    expect(await takeSession(broker.url, id)).toBe(false);
  },
);

describe('at a broker that never sets Session Present', () => {
  test('a session that lives is not reported as lost, and one that is gone is', async () => {
    const broker = await mosquitto();
    const url = await silentLink(broker.port);
    const { warn, warnings } = recordingWarnings();
    const context = sourceContext({ url, protocolVersion: '3.1.1' }, `in/${unique()}`, 'AtLeastOnce', {
      warn,
    });
    const first = await open({ ...context, session: unknown });
    expect(first.session).toMatchObject({ resumed: false, lost: false });
    await first.session?.settled;
    await first.close();

    const again = await open({ ...context, session: known() });
    expect(again.session).toMatchObject({ resumed: true, lost: false });
    await again.close();

    const publisher = await plainClient(broker.url);
    await publisher.publishAsync(context.table.topic, 'queued', { qos: 1 });
    const third = await open({ ...context, session: known() });
    const queued = await new Reader(third).take(1);
    expect(texts(queued)).toEqual(['queued']);
    ackAll(queued);
    expect([third.session?.resumed, warnings]).toEqual([true, []]);
    await third.close();

    const taking = { clientId: idOf(context), protocolVersion: 4, clean: true };
    await (await plainClient(broker.url, taking)).endAsync();
    const last = await open({ ...context, session: known() });
    expect(last.session).toMatchObject({ resumed: false, lost: true });
    expect(warnings).toMatchObject([{ code: 'mqtt_session_lost' }]);
  });

  test('nothing is said if test messages are not allowed', async () => {
    const acl = 'user u\ntopic readwrite in/#\n';
    const broker = await mosquitto({ users: { u: 'p' }, acl });
    const url = await silentLink(broker.port);
    const { warn, warnings } = recordingWarnings();
    const profile = { url, protocolVersion: '3.1.1', username: 'u', password: 'p' } as const;
    const context = sourceContext(profile, `in/${unique()}`, 'AtLeastOnce', { warn });
    await (await open({ ...context, session: unknown })).close();
    const again = await open({ ...context, session: known() });
    expect(again.session).toMatchObject({ resumed: false, lost: false });
    expect(warnings).toEqual([]);
  });
});

const idOf = ({ identity }: MqttContext): string =>
  `penstock_${identity.jobId}_${identity.operatorId}_${identity.taskIndex}`;

describe('a shared subscription', () => {
  test('that a restart of mosquitto forgets is reported, once and not at other times', async () => {
    const broker = await mosquitto();
    const { warn, warnings } = recordingWarnings();
    const context = sourceContext({ url: broker.url }, `$share/mine/in/${unique()}`, 'AtLeastOnce', { warn });
    const first = await open({ ...context, session: unknown });
    await first.session?.settled;
    await first.close();
    const second = await open({ ...context, session: known() });
    await second.session?.settled;
    await second.close();
    expect(warnings).toEqual([]);
    await broker.kill('SIGTERM');
    await broker.resume();
    const third = await open({ ...context, session: known() });
    await third.session?.settled;
    expect(warnings).toMatchObject([{ code: 'mqtt_shared_forgotten' }]);
    expect(warnings[0]?.message).toContain(context.table.topic);
  });

  test.each(['aedes', 'mosquitto'])('is tested over 3.1.1: %s', async (name) => {
    const { url } = name === 'aedes' ? await startAedes() : await mosquitto();
    const { warn, warnings } = recordingWarnings();
    const profile = { url, protocolVersion: '3.1.1' } as const;
    await open(sourceContext(profile, '$share/mine/in', 'AtLeastOnce', { warn }));
    if (name === 'aedes') {
      await until('it is reported', () => warnings.length > 0);
      expect(warnings).toMatchObject([{ code: 'mqtt_shared_unsupported' }]);
    } else {
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      expect(warnings).toEqual([]);
    }
  });
});

test('a former topic is unsubscribed only when its queue was read, as a broker may drop it then', async () => {
  const total = 100;
  let sent = 0;
  let acknowledged = 0;
  let seenAtUnsubscribe = -1;
  const server = await scripted({
    connack: { sessionPresent: true },
    on: (packet, connection) => {
      // A queue of 100, of which 10 are in flight at once.
      if (packet.cmd === 'subscribe') {
        sent = 10;
        connection.publish(1, sent);
      }
      if (packet.cmd === 'puback') {
        acknowledged += 1;
        if (sent < total) {
          sent += 1;
          connection.publish(1, 1, sent);
        }
      }
      if (packet.cmd === 'unsubscribe') seenAtUnsubscribe = acknowledged;
      return false;
    },
  });
  const context = sourceContext({ url: server.url }, 'new');
  const source = await open({ ...context, session: known([{ ...context.table, topic: 'old' }]) });
  for await (const batch of source) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    ackAll(batch);
    if (seenAtUnsubscribe >= 0 || acknowledged + batch.length >= total) break;
  }
  await source.session?.settled;
  expect(seenAtUnsubscribe).toBe(total);
});
