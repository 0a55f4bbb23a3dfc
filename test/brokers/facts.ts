import { setTimeout as pause } from 'node:timers/promises';
import type { IConnackPacket } from 'mqtt-packet';
import { unique } from '../support/mqtt.ts';
import { until } from '../support/until.ts';
import type { RestartableBroker } from './kinds.ts';
import { RawClient } from './raw-client.ts';

/** Behaviour of a broker, found by trying it. Each fact is a cell of the table in docs/brokers.md. */
export const facts: Readonly<Record<string, (broker: RestartableBroker) => Promise<string>>> = {
  'session expiry granted of 7 days': async (broker) => {
    const { nothing, sessionExpiryInterval } = await granted(broker);
    if (nothing) return 'no MQTT 5';
    return sessionExpiryInterval === undefined ? 'as asked' : `${sessionExpiryInterval} s`;
  },
  'receive maximum': async (broker) => String((await granted(broker)).receiveMaximum ?? 'not said'),
  'maximum packet size': async (broker) => String((await granted(broker)).maximumPacketSize ?? 'not said'),
  'maximum QoS': maximumQos,
  'QoS granted to a subscription at QoS 2': async (broker) => {
    const { client } = await RawClient.connect(broker);
    const code = await client.subscribe('facts/qos', 2);
    await client.cut();
    return String(code);
  },
  'session after a restart': (broker) => overRestart(broker, 'SIGTERM', 'session'),
  'subscription after a restart': (broker) => overRestart(broker, 'SIGTERM', 'subscription'),
  'shared subscription after a restart': (broker) => overRestart(broker, 'SIGTERM', 'shared'),
  'queued message after a restart': (broker) => overRestart(broker, 'SIGTERM', 'queue'),
  'retained message after a restart': (broker) => overRestart(broker, 'SIGTERM', 'retained'),
  'message queued later, after a restart': (broker) => overRestart(broker, 'SIGTERM', 'later'),
  'messages confirmed while it stops': stopping,
  'session after kill -9': (broker) => overRestart(broker, 'SIGKILL', 'session'),
  'queued message after kill -9': (broker) => overRestart(broker, 'SIGKILL', 'queue'),
  'shared subscription, MQTT 5': (broker) => shared(broker, 5),
  'shared subscription, MQTT 3.1.1': (broker) => shared(broker, 4),
  'messages sent without acknowledgement': async (broker) => {
    const { id } = await stored(broker, 'facts/window');
    await send(broker, 'facts/window', 300);
    const { client } = await resumed(broker, id);
    const { length } = await client.settle(2000);
    await forget(broker, id, client);
    return length >= 300 ? '300 or more' : String(length);
  },
  'redelivery after a lost connection': redelivery,
  'queue of a client that is away': queue,
  'queued messages at UNSUBSCRIBE': async (broker) => {
    const { id } = await stored(broker, 'facts/unsubscribe');
    await send(broker, 'facts/unsubscribe', 300);
    const { client } = await resumed(broker, id);
    await client.unsubscribe('facts/unsubscribe');
    const { length } = await client.settle(2000, true);
    await forget(broker, id, client);
    return length >= 300 ? 'kept' : 'discarded';
  },
  'changes topics': rewrites,
};

async function granted(
  broker: RestartableBroker,
): Promise<NonNullable<IConnackPacket['properties']> & { nothing?: true }> {
  if (broker.version === 4) return { nothing: true };
  const { client, connack } = await RawClient.connect(broker, {
    clean: false,
    properties: { sessionExpiryInterval: 7 * 24 * 3600 },
  });
  await client.end();
  return connack.properties ?? {};
}

/** A session with a subscription, whose client is away. */
async function stored(
  broker: RestartableBroker,
  topic: string,
): Promise<{ id: string; code: number | 'closed' }> {
  const id = `facts${unique()}`;
  const { client } = await RawClient.connect(broker, { clientId: id, clean: false });
  const code = await client.subscribe(topic);
  await client.end();
  return { id, code };
}

const resumed = (broker: RestartableBroker, clientId: string) =>
  RawClient.connect(broker, { clientId, clean: false });

/** Ends a session. */
async function forget(broker: RestartableBroker, clientId: string, client: RawClient): Promise<void> {
  await client.cut();
  const { client: last } = await RawClient.connect(broker, { clientId, clean: true });
  await last.end();
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`);

async function send(broker: RestartableBroker, topic: string, count: number): Promise<number> {
  const { client } = await RawClient.connect(broker);
  const confirmed = await client.publish(topic, numbered(count), { window: 100 });
  await client.cut();
  return confirmed;
}

async function maximumQos(broker: RestartableBroker): Promise<string> {
  const { nothing, maximumQoS } = await granted(broker);
  return nothing ? 'not said' : String(maximumQoS ?? 2);
}

async function shared(broker: RestartableBroker, version: 4 | 5): Promise<string> {
  if (version === 5 && broker.version === 4) return 'no MQTT 5';
  const topic = `facts/shared${unique()}`;
  const { client } = await RawClient.connect(broker, { version });
  const { client: other } = await RawClient.connect(broker, { version });
  const codes = [await client.subscribe(`$share/g/${topic}`), await other.subscribe(`$share/g/${topic}`)];
  const refused = codes.find((code) => code === 'closed' || code >= 0x80);
  if (refused !== undefined)
    return refused === 'closed' ? 'closes the connection' : `refused (${hex(refused)})`;
  await send(broker, topic, 20);
  const members = [client, other];
  const total = () => members.reduce((sum, { received }) => sum + received.length, 0);
  await Promise.all(members.map((one) => one.settle(5000, true, () => total() >= 20)));
  await Promise.all(members.map((one) => one.cut()));
  if (total() === 0) return 'granted, nothing arrives';
  return total() === 20 ? 'yes' : `granted, ${total()} of 20 arrive`;
}

const hex = (code: number): string => `0x${code.toString(16).toUpperCase()}`;

async function redelivery(broker: RestartableBroker): Promise<string> {
  const { id } = await stored(broker, 'facts/again');
  await send(broker, 'facts/again', 10);
  const { client } = await resumed(broker, id);
  await client.settle(1500);
  await client.cut();
  const { client: again } = await resumed(broker, id);
  const messages = await again.settle(1500);
  await forget(broker, id, again);
  if (messages.length === 0) return 'none at once';
  const order = messages.map(({ payload }) => String(payload));
  const inOrder = order.join() === numbered(order.length).join();
  const dup = messages.every((message) => message.dup)
    ? 'DUP'
    : messages.some(({ dup }) => dup)
      ? 'DUP on some'
      : 'no DUP';
  return `${inOrder ? 'in order' : 'not in order'}, ${dup}`;
}

const many = 12_000;

async function queue(broker: RestartableBroker): Promise<string> {
  const { id } = await stored(broker, 'facts/queue');
  const confirmed = await send(broker, 'facts/queue', many);
  const { client, connack } = await resumed(broker, id);
  const seen = new Set((await client.settle(5000, true)).map(({ payload }) => String(payload)));
  await forget(broker, id, client);
  if (!connack.sessionPresent && seen.size === 0) return 'session dropped';
  if (seen.size >= many) return `${many} or more`;
  const which = seen.has('m0') ? 'newest' : 'oldest';
  return `${seen.size}, then the ${which} are ${confirmed === many ? 'confirmed and dropped' : 'refused'}`;
}

/** Stops the broker three times in the middle of a publisher's work, with a subscriber connected. */
async function stopping(broker: RestartableBroker): Promise<string> {
  let lost = 0;
  for (let round = 0; round < 3; round++) {
    const topic = `facts/stopping${unique()}`;
    const { id } = await stored(broker, topic);
    const { client } = await RawClient.connect(broker);
    const { client: live } = await resumed(broker, id);
    const early = live.settle(2000, true);
    const over = pause(300).then(() => broker.kill('SIGTERM'));
    let confirmed = 0;
    while ((await client.publish(topic, [`m${confirmed}`])) === 1) {
      confirmed += 1;
      await pause(3);
    }
    await over;
    await broker.resume();
    await until('the broker accepts clients', () => reachable(broker), 60_000);
    const { client: reader } = await resumed(broker, id);
    const late = await reader.settle(5000, true);
    const seen = new Set([...(await early), ...late].map(({ payload }) => String(payload)));
    await forget(broker, id, reader);
    lost += numbered(confirmed).filter((payload) => !seen.has(payload)).length;
  }
  return lost === 0 ? 'kept' : 'some are lost';
}

async function reachable(broker: RestartableBroker): Promise<boolean> {
  const { client } = await RawClient.connect(broker);
  await client.cut();
  return true;
}

async function rewrites(broker: RestartableBroker): Promise<string> {
  const root = `facts${unique()}`;
  const { client } = await RawClient.connect(broker);
  await client.subscribe(`${root}/#`, 0);
  const changes: string[] = [];
  for (const character of ['.', '*', ' ', '>', '~', '%']) {
    const topic = `${root}/a${character}b`;
    const before = client.received.length;
    const { client: sender } = await RawClient.connect(broker);
    await sender.publish(topic, ['x']);
    await sender.cut();
    await client.settle(700);
    const arrived = client.received[before]?.topic;
    const shown = character === ' ' ? 'a space' : `\`${character}\``;
    if (arrived === undefined) changes.push(`${shown} does not arrive`);
    else if (arrived !== topic) changes.push(`${shown} becomes \`${arrived.slice(root.length + 2, -1)}\``);
  }
  await client.cut();
  return changes.length === 0 ? 'no' : changes.join(', ');
}

type Kept = 'session' | 'subscription' | 'shared' | 'queue' | 'retained' | 'later';
const restarts = new WeakMap<RestartableBroker, Map<string, Promise<Record<Kept, string>>>>();

/** All that a restart shows is found in one. */
function overRestart(broker: RestartableBroker, signal: 'SIGTERM' | 'SIGKILL', what: Kept): Promise<string> {
  const known = restarts.get(broker) ?? new Map<string, Promise<Record<Kept, string>>>();
  restarts.set(broker, known);
  const result = known.get(signal) ?? restart(broker, signal).catch(withoutStart);
  known.set(signal, result);
  return result.then((found) => found[what]);
}

/** A broker that is not there again within two minutes. */
function withoutStart(error: Error): Record<Kept, string> {
  if (!/in vain for: .* listens|ECONNREFUSED|did not start/.test(error.message)) throw error;
  const gone = 'does not start again';
  return { session: gone, subscription: gone, shared: gone, queue: gone, retained: gone, later: gone };
}

/** Whether a client that has subscribed again gets what is sent while it is away once more. */
async function secondAbsence(
  broker: RestartableBroker,
  id: string,
  topic: string,
  reader: RawClient,
): Promise<boolean> {
  await reader.subscribe(topic);
  await reader.cut();
  const { client: sender } = await RawClient.connect(broker);
  await sender.publish(topic, ['later']);
  await sender.cut();
  const { client } = await resumed(broker, id);
  const got = await client.settle(5000, true);
  await client.cut();
  return got.some(({ payload }) => String(payload) === 'later');
}

async function restart(
  broker: RestartableBroker,
  signal: 'SIGTERM' | 'SIGKILL',
): Promise<Record<Kept, string>> {
  const root = `restart${unique()}`;
  const shares = (await shared(broker, broker.version ?? 5)) === 'yes';
  const plain = await stored(broker, `${root}/plain`);
  const group = await stored(broker, `$share/g/${root}/shared`);
  const { client } = await RawClient.connect(broker);
  await client.publish(`${root}/retained`, ['kept'], { retain: true });
  await client.publish(`${root}/plain`, ['before']);
  await client.cut();
  await broker.kill(signal);
  await broker.resume();
  await until('the broker accepts clients', () => reachable(broker), 60_000);
  const { client: later } = await RawClient.connect(broker);
  await later.subscribe(`${root}/retained`);
  const retained = await later.settle(1500);
  await later.publish(`${root}/plain`, ['after']);
  await later.publish(`${root}/shared`, ['after']);
  const reader = await resumed(broker, plain.id);
  const got = (await reader.client.settle(5000, true)).map(({ payload }) => String(payload));
  const member = await resumed(broker, group.id);
  const gotShared = (await member.client.settle(5000, true)).map(({ payload }) => String(payload));
  const gotLater = await secondAbsence(broker, plain.id, `${root}/plain`, reader.client);
  for (const one of [later, member.client]) await one.cut();
  const yes = (found: boolean) => (found ? 'kept' : 'forgotten');
  return {
    session:
      !reader.connack.sessionPresent && got.length === 2
        ? 'kept, not said'
        : yes(reader.connack.sessionPresent),
    subscription: yes(got.includes('after')),
    shared: shares ? yes(gotShared.includes('after')) : 'none',
    queue: yes(got.includes('before')),
    retained: yes(retained.length > 0),
    later: yes(gotLater),
  };
}
