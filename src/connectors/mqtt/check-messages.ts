import { randomBytes } from 'node:crypto';
import { PenstockError } from '../../errors.ts';
import { codecFor, expandSchema } from '../../formats/codec.ts';
import type { CheckContext } from '../connector.ts';
import type { CheckSteps, Finding } from './check-steps.ts';
import type { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';
import { publishError } from './pending-write.ts';
import type { MqttProfile } from './profile.ts';
import { type MqttTable, type Qos, qosOf } from './table.ts';
import { columnsIn } from './template.ts';
import { isShared, splitShared } from './topic.ts';

/** The steps of a connection test that move messages, once the broker has accepted the client. */

export interface Tested {
  context: CheckContext<MqttProfile, MqttTable>;
  steps: CheckSteps;
  /** Undefined when an earlier step has failed; the steps are then only reported as skipped. */
  connection: Connection | undefined;
}

interface Sample {
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
}

const patienceMs = 3_000;

/** What many brokers allow only on some topics; a profile test cannot know them. */
const restricted = ['mqtt_subscribe_refused', 'mqtt_publish_refused', 'connection_lost'] as const;

/** A round trip on a topic that nobody else uses. */
export async function checkProfile({ context, steps, connection }: Tested): Promise<void> {
  const topic = `penstock/check/${randomBytes(8).toString('hex')}`;
  const inbox = new Inbox(connection);
  const tolerate = { tolerate: restricted, details: { topic } };
  const subscribed = await steps.run(
    'subscribe',
    (signal) => subscribe(connection, topic, 1, signal),
    tolerate,
  );
  if (context.probe === 'none') {
    steps.skip('publish', 'Nothing is published, as asked');
    steps.skip('first_message', 'Nothing was published');
    return;
  }
  const published = await steps.run('publish', (signal) => publish(connection, topic, 1, signal), tolerate);
  if (subscribed === undefined || published === undefined) {
    steps.skip('first_message', 'Not tried: the test message cannot come back');
    return;
  }
  await steps.run('first_message', (signal) => inbox.first(context.stepTimeoutMs, signal));
}

/** Subscribes to the table's filter, waits a little for a message, and decodes it. */
export async function checkSource({ context, steps, connection }: Tested, table: MqttTable): Promise<void> {
  const filter = ownGroup(table.topic);
  const inbox = new Inbox(connection);
  await steps.run('subscribe', (signal) => subscribe(connection, filter, qosOf(table), signal), {
    details: { topic: table.topic },
  });
  const sample = await steps.run('first_message', (signal) => inbox.first(context.stepTimeoutMs, signal));
  const { schema } = context;
  if (schema === undefined) steps.skip('decode', 'There is no schema to decode with');
  else if (connection !== undefined && sample === undefined)
    steps.skip('decode', 'There is no message to decode');
  else await steps.run('decode', async () => decoded(schema, sample as Sample));
}

/** Publishes one message that says what it is to the table's topic, never retained. */
export async function checkSink({ context, steps, connection }: Tested, table: MqttTable): Promise<void> {
  if (context.probe === 'none') {
    steps.skip('publish', 'Nothing is published, as asked');
    return;
  }
  if (columnsIn(table.topic).length > 0) {
    steps.skip('publish', 'Nothing is published: the topic depends on the columns of a row');
    return;
  }
  const details = { details: { topic: table.topic } };
  await steps.run('publish', (signal) => publish(connection, table.topic, qosOf(table), signal), details);
}

/**
 * A member of a shared subscription takes messages away from the others. The test joins a group of its own instead,
 * which the broker treats alike.
 */
const ownGroup = (filter: string): string =>
  isShared(filter)
    ? `$share/penstock_check_${randomBytes(4).toString('hex')}/${splitShared(filter).filter}`
    : filter;

/** The connection of a step that runs: `CheckSteps` runs none after a failure. */
function present(connection: Connection | undefined): Connection {
  if (connection === undefined) throw new PenstockError('internal', 'A step ran without a connection');
  return connection;
}

async function subscribe(
  connection: Connection | undefined,
  filter: string,
  asked: Qos,
  signal: AbortSignal,
): Promise<Finding<Qos>> {
  const granted = await present(connection).subscribe(filter, asked, signal);
  const details = { filter, asked, granted };
  if (granted === asked) return { value: granted, message: `Subscribed at QoS ${granted}`, details };
  return {
    value: granted,
    code: 'mqtt_qos_downgraded',
    message: `The broker grants QoS ${granted} instead of ${asked}`,
    hint: granted === 0 ? 'At QoS 0 messages can be lost.' : 'Messages can come twice after a failure.',
    details,
  };
}

async function publish(
  connection: Connection | undefined,
  topic: string,
  asked: Qos,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const { client, limits, version } = present(connection);
  const qos = Math.min(asked, limits.maximumQos) as Qos;
  const payload = JSON.stringify({ penstock: 'connection test', note: 'Please ignore this message.' });
  const reasonCode = await untilReported<number>(signal, (resolve, reject) => {
    client.publish(topic, payload, { qos, retain: false }, (error, packet) => {
      if (error) reject(publishError(topic, error, packet));
      else resolve((packet as { reasonCode?: number } | undefined)?.reasonCode ?? 0);
    });
    return () => undefined;
  });
  return {
    value: true,
    message: qos === 0 ? 'Sent; at QoS 0 there is no answer' : 'Published, and the broker has confirmed it',
    details: { topic, qos, bytes: payload.length, reasonCode },
    ...(version === 4 ? { hint: 'With MQTT 3.1.1 a broker may drop a message and still confirm it.' } : {}),
  };
}

/** Keeps the first message that arrives, from before the subscription on. */
class Inbox {
  readonly #connection: Connection | undefined;
  #sample: Sample | undefined;
  #arrived: (() => void) | undefined;

  constructor(connection: Connection | undefined) {
    this.#connection = connection;
    connection?.client.on('message', (topic, payload, { qos, retain }) => {
      this.#sample ??= { topic, payload, qos, retain };
      this.#arrived?.();
    });
  }

  /** Waits up to three seconds, and less than the step's deadline. No message is a warning. */
  async first(stepTimeoutMs: number, signal: AbortSignal): Promise<Finding<Sample | undefined>> {
    const ms = Math.min(patienceMs, stepTimeoutMs * 0.8);
    const enough = new Error('no message');
    try {
      const sample = await within(
        ms,
        signal,
        () => enough,
        (soon) => this.#wait(soon),
      );
      const { payload, ...rest } = sample;
      return { value: sample, message: 'A message arrived', details: { ...rest, bytes: payload.length } };
    } catch (error) {
      if (error !== enough) throw error;
      return {
        value: undefined,
        code: 'mqtt_no_message',
        message: `No message arrived within ${ms} ms`,
        hint:
          'Perhaps nobody publishes just now. Or the broker accepted the subscription but does not let this user ' +
          'read the topic: some brokers keep silent about that.',
      };
    }
  }

  #wait(signal: AbortSignal): Promise<Sample> {
    return untilReported<Sample>(signal, (resolve, reject) => {
      this.#arrived = () => this.#sample && resolve(this.#sample);
      this.#connection?.whenLost(reject);
      this.#arrived();
      return () => {
        this.#arrived = undefined;
      };
    });
  }
}

function decoded(schema: Parameters<typeof codecFor>[0], sample: Sample): Finding<true> {
  const row = codecFor(expandSchema(schema)).decode(sample.payload);
  return {
    value: true,
    message: 'The message fits the schema',
    details: { topic: sample.topic, columns: Object.keys(row) },
  };
}
