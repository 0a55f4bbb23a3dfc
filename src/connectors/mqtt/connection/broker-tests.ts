import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PenstockError } from '../../../errors.ts';
import type { Reachable, RunContext } from '../../connector.ts';
import { untilReported } from '../../network/deadline.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { MqttTable } from '../config/table.ts';
import { splitShared } from '../config/topic.ts';
import { connect } from './client.ts';
import { clientId, probeClient } from './connect-request.ts';
import type { Connection } from './connection.ts';

/** Tests of a broker by probe clients, for what it does not say. Each result is remembered for an hour, by URL. */

type SourceContext = RunContext<MqttProfile, MqttTable>;

const testPayload = '{"penstock":"test"}';
const hourMs = 3_600_000;
const maxEntries = 1_000;
const testMs = 10_000;
/** A message that has not arrived this long after a later one will not arrive. */
const arrivalMs = 1_000;

class Remembered<T> {
  readonly #known = new Map<string, { result: T; at: number }>();

  /** Returns the remembered result, or that of `test`. Undefined if the test cannot be made. */
  async of(context: SourceContext, test: (signal: AbortSignal) => Promise<T | undefined>) {
    const key = context.profile.url;
    const known = this.#known.get(key);
    if (known && performance.now() - known.at < hourMs) return known.result;
    const result = await attempted(context.signal, test);
    if (result === undefined) return undefined;
    if (this.#known.size >= maxEntries) this.#known.clear();
    this.#known.set(key, { result, at: performance.now() });
    return result;
  }
}

/** A broker that refuses probe clients, or does not respond to them, proves nothing. */
async function attempted<T>(
  signal: AbortSignal,
  test: (signal: AbortSignal) => Promise<T>,
): Promise<T | undefined> {
  const deadline = AbortSignal.timeout(testMs);
  try {
    return await test(AbortSignal.any([signal, deadline]));
  } catch (error) {
    if (signal.aborted || (!deadline.aborted && !(error instanceof PenstockError))) throw error;
    return undefined;
  }
}

const sessionTopics = 'penstock/session/';

/** The topic for test messages to the session of a task. */
export const sessionTopic = ({ profile, identity }: Pick<SourceContext, 'profile' | 'identity'>): string =>
  `${sessionTopics}${clientId(profile, identity)}`;

/** Whether a message is such a test: a source with a wildcard may receive those of others. */
export const isSessionTest = (topic: string): boolean => topic.startsWith(sessionTopics);

const reporting = new Remembered<boolean>();

/** Whether the broker sets Session Present for a session that it has. ActiveMQ never does. */
export const reportsSessions = (context: SourceContext): Promise<boolean | undefined> =>
  reporting.of(context, async (signal) => {
    const client = { ...probeClient(context), signal };
    // A probe client would end its session with its DISCONNECT.
    const lasting = { ...client, clean: false, sessionExpirySecs: 60, probe: false };
    const first = await connect(lasting);
    await first.subscribe(`penstock/check/${lasting.clientId}`, 1, signal).catch(() => 0);
    await first.close();
    const second = await connect(lasting);
    await second.close();
    await (await connect(client)).close();
    return second.limits.sessionPresent;
  });

/**
 * Whether a session that the broker says nothing about still has its subscription to `sessionTopic`: a test message arrives.
 * Call it before anything is subscribed. Undefined if the test message may not be published.
 */
export const stillReceives = (context: SourceContext, arrived: () => boolean): Promise<boolean | undefined> =>
  attempted(context.signal, async (signal) => {
    const topic = sessionTopic(context);
    const { connection, topics } = await listener(context, [topic], signal);
    try {
      await publish(connection, topic, signal);
      for (let waits = 0; waits < 20 && !arrived(); waits++)
        await sleep(arrivalMs / 20, undefined, { signal });
      if (arrived()) return true;
      return topics.has(topic) ? false : undefined;
    } finally {
      await connection.close();
    }
  });

const literal = new Remembered<boolean>();

/**
 * Whether the broker grants `$share/…` and then treats it as an ordinary topic, so that nothing arrives. Some brokers do over
 * 3.1.1: aedes, nats-server, RabbitMQ, ActiveMQ.
 */
export const sharesLiterally = (context: SourceContext): Promise<boolean | undefined> =>
  literal.of(context, async (signal) => {
    const name = randomBytes(8).toString('hex');
    const [shared, control] = [`penstock/check/${name}`, `penstock/check/${name}_control`];
    const { connection, topics } = await listener(
      context,
      [`$share/penstock_${name}/${shared}`, control],
      signal,
    );
    try {
      for (const topic of [shared, control]) await publish(connection, topic, signal);
      for (let waits = 0; waits < 20 && !topics.has(shared); waits++)
        await sleep(arrivalMs / 10, undefined, { signal });
      if (topics.has(shared)) return false;
      return topics.has(control) ? true : undefined;
    } finally {
      await connection.close();
    }
  });

const together = new Remembered<number>();

/** mosquitto's default. */
const maxTogether = 20;

/**
 * Returns how many QoS 2 messages a 3.1.1 broker takes at once, up to 20. It cannot say so, and mosquitto confirms and drops
 * those beyond its `max_inflight_messages`. Returns 1 if test messages do not arrive at all; undefined over MQTT 5.
 */
export const exactlyOnceTogether = async (
  context: SourceContext,
  { version }: Connection,
): Promise<number | undefined> => {
  if (version === 5) return undefined;
  return (
    (await together.of(context, async (signal) => {
      const topic = `penstock/check/once/${randomBytes(8).toString('hex')}`;
      const { connection, count } = await listener(context, [topic], signal);
      try {
        // All in one turn of the event loop, so that no PUBREL leaves before the last one.
        for (let sent = 0; sent < maxTogether; sent++)
          connection.client.publish(topic, testPayload, { qos: 2 }, () => undefined);
        for (let waits = 0; waits < 20 && count() < maxTogether; waits++)
          await sleep(arrivalMs / 20, undefined, { signal });
        return count() || undefined;
      } finally {
        await connection.destroy();
      }
    })) ?? 1
  );
};

/**
 * Publishes a message that concerns nobody; calls back with whether it is confirmed. Its packet identifier is one of MQTT.js:
 * nothing that has an identifier of its own may be in flight until then.
 */
export const publishTest = ({ client }: Connection, done: (isConfirmed: boolean) => void): void => {
  const topic = `penstock/check/${randomBytes(8).toString('hex')}`;
  client.publish(topic, testPayload, { qos: 1 }, (error) => done(!error));
};

async function listener(context: Reachable<MqttProfile>, filters: readonly string[], signal: AbortSignal) {
  const topics = new Set<string>();
  let arrived = 0;
  const connection = await connect({
    ...probeClient(context),
    signal,
    prepare: (client) =>
      void client.on('message', (topic) => {
        topics.add(topic);
        arrived += 1;
      }),
  });
  for (const filter of filters) {
    await connection.subscribe(filter, 1, signal).catch(async (error: unknown) => {
      await connection.destroy();
      throw error;
    });
  }
  return { connection, topics, count: () => arrived };
}

/** Publishes a test message. A broker that does not confirm it is left to the deadline. */
const publish = ({ client }: Connection, topic: string, signal: AbortSignal): Promise<void> =>
  untilReported<void>(signal, (resolve, reject) => {
    client.publish(topic, testPayload, { qos: 1 }, (cause) =>
      cause
        ? reject(new PenstockError('connection_lost', 'The test message was not confirmed', { cause }))
        : resolve(),
    );
    return undefined;
  });

export const sharedLiterally = (filter: string): PenstockError =>
  mqttError(
    'mqtt_shared_unsupported',
    `The broker takes ${filter} for an ordinary topic: no message of ${splitShared(filter).filter} arrives`,
    {
      hint:
        'Set the topic of the table to the filter without $share. Several tasks then divide its messages among themselves, ' +
        'at every broker.',
    },
  );

/** A shared subscription of no use but to be there after a restart of the broker: see `sharesForgotten`. */
const keptShare = (context: SourceContext): string => `$share/penstock_kept/${sessionTopic(context)}`;

/**
 * Whether a resumed session has lost its shared subscriptions, as mosquitto 2.0 does in a restart. The response to an
 * UNSUBSCRIBE says whether there was one (MQTT 5), so it is asked for one that nobody needs, which is then made again.
 */
export async function sharesForgotten(context: SourceContext, connection: Connection): Promise<boolean> {
  const { session, signal } = context;
  const resumed = connection.limits.sessionPresent && session?.known === true && session.former.length === 0;
  const filter = keptShare(context);
  try {
    const forgotten = resumed && !(await connection.unsubscribe([filter], signal));
    await connection.subscribe(filter, 0, signal);
    return forgotten;
  } catch (error) {
    // The broker does not allow this topic: nothing is known then.
    if (error instanceof PenstockError && error.code !== 'connection_lost') return false;
    throw error;
  }
}

export const sharedForgotten = (filter: string): PenstockError =>
  mqttError(
    'mqtt_shared_forgotten',
    `The broker forgot the subscription to ${filter}, probably in a restart: messages that came before it was made again are lost`,
    {
      hint:
        'Set the topic of the table to the filter without $share. Several tasks then divide its messages among themselves, ' +
        'and the broker keeps an ordinary subscription.',
    },
  );
