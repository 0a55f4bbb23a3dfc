import { randomBytes } from 'node:crypto';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import { codecFor, expandSchema, rowsOf } from '../../../formats/codec.ts';
import type { CheckContext } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import { visitor } from '../config/identity.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Qos } from '../config/qos.ts';
import { type MqttTable, qosOf, sinkOf } from '../config/table.ts';
import { columnsIn } from '../config/template.ts';
import { isShared, splitShared } from '../config/topic.ts';
import { connect } from '../connection/client.ts';
import { type Connection, closedByPeer } from '../connection/connection.ts';
import { untilReported } from '../connection/deadline.ts';
import { publishError } from '../sink/pending-write.ts';
import { Inbox, type Sample } from './first-message-probe.ts';
import type { CheckSteps, Finding } from './steps.ts';

/** The steps of a connection test that move messages, once the broker has accepted the client. */

export interface Tested {
  context: CheckContext<MqttProfile, MqttTable>;
  steps: CheckSteps;
  /** Undefined when an earlier step has failed; the steps are then only reported as skipped. */
  connection: Connection | undefined;
}

/** A 3.1.1 broker that knows shared subscriptions answers at once. */
const sharedPatienceMs = 1_000;

const payload = JSON.stringify({ penstock: 'connection test', note: 'Please ignore this message.' });
/** The most that a PUBLISH has beside topic and payload. */
const packetOverhead = 10;

/** What many brokers allow only on some topics; a profile test cannot know them. */
const restricted = ['mqtt_subscribe_refused', 'mqtt_publish_refused', 'connection_lost'] as const;

/** A topic that nobody else uses. */
const checkTopic = (): string => `penstock/check/${randomBytes(8).toString('hex')}`;

/** A round trip on a topic that nobody else uses. */
export async function checkProfile({ context, steps, connection }: Tested): Promise<void> {
  const topic = checkTopic();
  const inbox = new Inbox(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic } };
  const subscribed = await steps.run(
    'subscribe',
    (signal) => subscribe(connection, topic, 1, signal),
    tolerate,
  );
  if (context.probe === 'none') {
    steps.skip('publish', 'Nothing is published, as asked');
    steps.skip('first_message', 'Not waited for: nothing was published');
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
  if (isShared(filter) && connection?.version === 4) await checkShared({ context, steps, connection });
  const inbox = new Inbox(connection, context.profile);
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

/** MQTT 5 brokers say whether they know shared subscriptions; of a 3.1.1 broker it is found out by using one. */
async function checkShared({ context, steps, connection }: Tested): Promise<void> {
  if (context.probe === 'none') {
    steps.skip('shared', 'Not tried, because nothing is to be published');
    return;
  }
  const topic = checkTopic();
  const inbox = new Inbox(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic } };
  const work = async (signal: AbortSignal): Promise<Finding<unknown>> => {
    await subscribe(connection, ownGroup(`$share/x/${topic}`), 1, signal);
    await publish(connection, topic, 1, signal);
    const { value } = await inbox.first(Math.min(context.stepTimeoutMs, sharedPatienceMs), signal);
    if (value !== undefined) return { value, message: 'The broker knows shared subscriptions' };
    return {
      value,
      code: 'mqtt_shared_unsupported',
      message: 'No message comes through a shared subscription',
      hint: 'Use a filter without $share here: the broker seems to take the filter for an ordinary topic.',
    };
  };
  await steps.run('shared', work, tolerate);
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
  const work = async (signal: AbortSignal) => {
    const { limits, version } = present(connection);
    if (sinkOf(table)?.retain && !limits.retain) throw noRetained();
    const asked = qosOf(table);
    try {
      return await publish(connection, table.topic, asked, signal);
    } catch (error) {
      const mayBeQos2 = asked === 2 && version === 4 && closedByPeer(asPenstockError(error));
      if (mayBeQos2) return await publishAtOne(context, table.topic, signal);
      throw error;
    }
  };
  await steps.run('publish', work, { details: { topic: table.topic } });
}

/** Some brokers of 3.1.1 close the connection at a QoS 2 message (nats-server): one at QoS 1 is the proof. */
async function publishAtOne(
  context: CheckContext<MqttProfile, MqttTable>,
  topic: string,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const connection = await connect({ ...visitor(context), signal });
  try {
    const finding = await publish(connection, topic, 1, signal);
    return {
      ...finding,
      code: 'mqtt_qos_downgraded',
      message: 'The broker closes the connection at a message of QoS 2, and takes one of QoS 1',
      hint: downgradedHint(1),
      details: { ...finding.details, asked: 2 },
    };
  } finally {
    await connection.destroy();
  }
}

const noRetained = (): PenstockError =>
  mqttError('mqtt_publish_refused', 'The broker keeps no retained messages', {
    hint: 'Set retain to false in the table.',
  });

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
    hint: downgradedHint(granted),
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
  let qos = Math.min(asked, limits.maximumQos) as Qos;
  refuseTooLarge(topic, limits.maximumPacketSize);
  const reasonCode = await untilReported<number>(signal, (resolve, reject) => {
    // MQTT.js keeps an unanswered message for a reconnection that does not come.
    present(connection).whenLost(reject);
    const received = ({ cmd }: { cmd: string }) => {
      if (cmd === 'puback') qos = 1;
    };
    client.on('packetreceive', received);
    client.publish(topic, payload, { qos, retain: false }, (error, packet) => {
      if (error) reject(publishError(topic, error, packet));
      else resolve((packet as { reasonCode?: number } | undefined)?.reasonCode ?? 0);
    });
    return () => client.off('packetreceive', received);
  });
  const details = { topic, asked, qos, bytes: payload.length, reasonCode };
  if (qos < asked) {
    const message = `The broker takes messages at QoS ${qos} only, not at ${asked}`;
    return { value: true, code: 'mqtt_qos_downgraded', message, hint: downgradedHint(qos), details };
  }
  return {
    value: true,
    message: qos === 0 ? 'Sent; at QoS 0 there is no answer' : 'Published, and the broker has confirmed it',
    details,
    ...(version === 4 ? { hint: unseenDenial } : {}),
  };
}

const unseenDenial =
  'With MQTT 3.1.1 it cannot be seen whether the broker has denied the message: it may drop it and still confirm it. ' +
  'Read the topic with another client to be sure.';

const downgradedHint = (qos: Qos): string =>
  qos === 0 ? 'At QoS 0 messages can be lost.' : 'Messages can come twice after a failure.';

/** A broker cuts the connection at a packet larger than it allows. */
function refuseTooLarge(topic: string, maximumPacketSize: number): void {
  const bytes = packetOverhead + Buffer.byteLength(topic) + payload.length;
  if (bytes <= maximumPacketSize) return;
  throw mqttError(
    'mqtt_packet_too_large',
    `The test message needs a packet of ${bytes} bytes, and the broker takes ${maximumPacketSize}`,
    { hint: 'Raise the limit of the broker.', facts: { bytes, maximumPacketSize } },
  );
}

function decoded(schema: Parameters<typeof codecFor>[0], sample: Sample): Finding<true> {
  const full = expandSchema(schema);
  const rows = rowsOf(codecFor(full), sample.payload);
  const columns = (full.fields ?? []).map(({ name }) => name);
  const fits = 'The message fits the schema';
  return {
    value: true,
    message: rows.length === 1 ? fits : `${fits} and holds ${rows.length} rows`,
    details: { topic: sample.topic, columns, rows: rows.length },
  };
}
