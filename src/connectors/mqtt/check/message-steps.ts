import { randomBytes } from 'node:crypto';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import { expandSchema, readyCodec, rowsOf } from '../../../formats/codec.ts';
import type { RegisteredSchemas } from '../../../formats/registered.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { CheckContext } from '../../connector.ts';
import type { CheckSteps, Finding } from '../../network/check-steps.ts';
import { untilReported } from '../../network/deadline.ts';
import { columnsIn } from '../../network/template.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, sinkOf } from '../config/table.ts';
import { isShared, type Qos, splitShared } from '../config/topic.ts';
import { connect } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import { type Connection, closedByPeer } from '../connection/connection.ts';
import { publishRefused, retainUnsupported } from '../connection/reason-codes.ts';
import { type Asked, unanswered } from '../connection/requests.ts';
import { rewriting, suspectsIn } from '../connection/rewrites.ts';
import { FirstMessageProbe, type SampleMessage } from './first-message.ts';
import { testPayload, Witness } from './witness.ts';

type MqttCheck = CheckContext<MqttProfile, MqttTable>;

interface TableTest {
  context: MqttCheck;
  steps: CheckSteps;
  /** Undefined if an earlier step failed: then all steps are reported as skipped. */
  connection: Connection | undefined;
}

/** A 3.1.1 broker that supports shared subscriptions delivers at once. */
const sharedWaitMs = 1_000;

/** Many brokers allow these on some topics only; a profile test cannot know which. */
const restricted = [
  'mqtt_subscribe_refused',
  'mqtt_publish_refused',
  'mqtt_not_answered',
  'connection_lost',
] as const;

const uniqueTopic = (): string => `penstock/check/${randomBytes(8).toString('hex')}`;

export async function checkProfile({ context, steps, connection }: TableTest): Promise<void> {
  const topic = uniqueTopic();
  const probe = new FirstMessageProbe(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic }, late: unansweredBy(connection) };
  const subscribed = await steps.run(
    'subscribe',
    (signal) => subscribe(connection, topic, 1, signal),
    tolerate,
  );
  if (context.probe === 'none') {
    steps.skip('publish', 'Not published, as requested');
    steps.skip('first_message', 'Skipped because nothing was published');
    return;
  }
  const published = await steps.run('publish', (signal) => publish(connection, topic, 1, signal), tolerate);
  if (subscribed === undefined || published === undefined) {
    steps.skip('first_message', 'Skipped because the test message cannot arrive');
    return;
  }
  await steps.run('first_message', (signal) => probe.first(context.stepTimeoutMs, signal));
}

/** Subscribes to the table's filter, waits briefly for a message, and decodes it. */
export async function checkSource(test: TableTest, table: MqttTable): Promise<void> {
  const { context, steps, connection } = test;
  const filter = withOwnGroup(table.topic);
  if (isShared(filter) && connection?.version === 4) await checkShared(test);
  await checkTopic(test, table);
  const probe = new FirstMessageProbe(connection, context.profile);
  const options = { details: { topic: table.topic }, late: unansweredBy(connection) };
  await steps.run('subscribe', (signal) => subscribe(connection, filter, qosOf(table), signal), options);
  const sample = await steps.run('first_message', (signal) => probe.first(context.stepTimeoutMs, signal));
  const { schema, schemas } = context;
  if (schema === undefined) steps.skip('decode', 'Skipped because there is no schema to decode with');
  else if (connection !== undefined && sample === undefined) {
    steps.skip('decode', 'Skipped because there is no message to decode');
  } else await steps.run('decode', () => decoded(schema, schemas, sample as SampleMessage));
}

/** An MQTT 5 broker reports whether it supports shared subscriptions; with 3.1.1 only an attempt shows it. */
async function checkShared({ context, steps, connection }: TableTest): Promise<void> {
  if (context.probe === 'none') {
    steps.skip('shared', 'Skipped because nothing may be published');
    return;
  }
  const topic = uniqueTopic();
  const probe = new FirstMessageProbe(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic }, late: unansweredBy(connection) };
  const work = async (signal: AbortSignal): Promise<Finding<unknown>> => {
    await subscribe(connection, withOwnGroup(`$share/x/${topic}`), 1, signal);
    await publish(connection, topic, 1, signal);
    const { value } = await probe.first(Math.min(context.stepTimeoutMs, sharedWaitMs), signal);
    if (value !== undefined) return { value, message: 'The broker supports shared subscriptions' };
    return {
      value,
      code: 'mqtt_shared_unsupported',
      message: 'No message arrived through a shared subscription',
      hint: 'Use a filter without $share: the broker probably treats the whole filter as an ordinary topic.',
    };
  };
  await steps.run('shared', work, tolerate);
}

/** Tries on a topic of its own whether the broker rewrites characters of the table's topic. */
async function checkTopic({ context, steps, connection }: TableTest, table: MqttTable): Promise<void> {
  const suspects = suspectsIn(table);
  if (suspects.length === 0 || connection === undefined || context.probe === 'none') return;
  const work = async (signal: AbortSignal): Promise<Finding<true>> => {
    const found = await rewriting(context, suspects, signal);
    const details = { characters: suspects.map(({ character }) => character) };
    if (found === undefined)
      return { value: true, message: 'The broker does not rewrite the topic, as far as it shows', details };
    const { message, hint } = found;
    return { value: true, code: 'mqtt_topic_rewritten', message, ...(hint ? { hint } : {}), details };
  };
  await steps.run('topic', work, { tolerate: restricted });
}

/** Publishes one message that identifies itself as a test to the table's topic, never retained. */
export async function checkSink(test: TableTest, table: MqttTable): Promise<void> {
  const { context, steps, connection } = test;
  if (context.probe === 'none') {
    steps.skip('publish', 'Not published, as requested');
    return;
  }
  await checkTopic(test, table);
  if (columnsIn(table.topic).length > 0) {
    steps.skip('publish', 'Skipped because the topic depends on columns of a row');
    return;
  }
  const work = async (signal: AbortSignal) => {
    const { limits, version } = present(connection);
    if (sinkOf(table)?.retain && !limits.retain) throw retainUnsupported();
    const asked = qosOf(table);
    const witness = version === 4 || asked === 0 ? await Witness.of(context, table.topic, signal) : undefined;
    try {
      const finding = await publish(connection, table.topic, asked, signal, witness?.payload);
      return witness ? await witness.testify(finding, signal) : finding;
    } catch (error) {
      const mayBeQos2 = asked === 2 && version === 4 && closedByPeer(asPenstockError(error));
      if (mayBeQos2) return await publishAtQos1(context, table.topic, signal);
      throw error;
    } finally {
      await witness?.close();
    }
  };
  await steps.run('publish', work, { details: { topic: table.topic }, late: unansweredBy(connection) });
}

/** Some 3.1.1 brokers close the connection at a QoS 2 message (nats-server): a message at QoS 1 is the proof. */
async function publishAtQos1(context: MqttCheck, topic: string, signal: AbortSignal): Promise<Finding<true>> {
  const connection = await connect({ ...probeClient(context), signal });
  try {
    const finding = await publish(connection, topic, 1, signal);
    const message = 'The broker closes the connection at QoS 2 messages, but accepts QoS 1';
    const details = { ...finding.details, asked: 2 };
    return { ...finding, code: 'mqtt_qos_downgraded', message, hint: downgradedHint(1), details };
  } finally {
    await connection.destroy();
  }
}

/** A member of a shared subscription takes messages from the others, so the test joins a group of its own. */
const withOwnGroup = (filter: string): string =>
  isShared(filter)
    ? `$share/penstock_check_${randomBytes(4).toString('hex')}/${splitShared(filter).filter}`
    : filter;

async function decoded(
  schema: ConnectionSchema,
  schemas: RegisteredSchemas | undefined,
  sample: SampleMessage,
): Promise<Finding<true>> {
  const full = expandSchema(schema);
  const rows = rowsOf(await readyCodec(full, schemas, [sample.payload]), sample.payload);
  const columns = (full.fields ?? []).map(({ name }) => name);
  const message = 'The message matches the schema';
  return {
    value: true,
    message: rows.length === 1 ? message : `${message} and contains ${rows.length} rows`,
    details: { topic: sample.topic, columns, rows: rows.length },
  };
}

/** The connection of a running step: `CheckSteps` runs none after a failure. */
function present(connection: Connection | undefined): Connection {
  if (connection === undefined) throw new PenstockError('internal', 'A step ran without a connection');
  return connection;
}

/** Names the request that the broker did not respond to by the deadline of a step. */
const unansweredBy = (connection: Connection | undefined) => (ms: number) => {
  const asked = connection?.asked();
  return asked
    ? unanswered(asked, ms)
    : new PenstockError('connection_timeout', `The broker did not respond within ${ms} ms`);
};

async function subscribe(
  connection: Connection | undefined,
  filter: string,
  asked: Qos,
  signal: AbortSignal,
): Promise<Finding<Qos>> {
  const granted = await present(connection).subscribe(filter, asked, signal);
  const details = { filter, asked, granted };
  // More than asked is a fault of the broker, without harm.
  if (granted >= asked) return { value: granted, message: `Subscribed at QoS ${granted}`, details };
  const message = `The broker granted QoS ${granted} instead of ${asked}`;
  return { value: granted, code: 'mqtt_qos_downgraded', message, hint: downgradedHint(granted), details };
}

const packetOverhead = 10;

/** Publishes the test message, never retained, at the highest QoS that the broker accepts. */
async function publish(
  connection: Connection | undefined,
  topic: string,
  asked: Qos,
  signal: AbortSignal,
  payload = testPayload(),
): Promise<Finding<true>> {
  const { client, limits, version } = present(connection);
  let qos = Math.min(asked, limits.maximumQos) as Qos;
  refuseTooLarge(topic, payload, limits.maximumPacketSize);
  let packet: Asked['packet'] = 'PUBLISH';
  present(connection).asked = () => ({ packet, topic, qos, retain: false, alone: true });
  const reasonCode = await untilReported<number>(signal, (resolve, reject) => {
    // MQTT.js reports nothing: it keeps an unconfirmed message for a reconnection that never happens.
    present(connection).whenLost(reject);
    let confirmation = 0;
    const received = ({ cmd, reasonCode }: Confirmation) => {
      if (cmd === 'puback' || cmd === 'pubrec') confirmation = reasonCode ?? 0;
      if (cmd === 'puback') qos = 1;
      if (cmd === 'pubrec') packet = 'PUBREL';
    };
    client.on('packetreceive', received);
    client.publish(topic, payload, { qos, retain: false }, (error, packet) => {
      if (error) reject(publishError(topic, error, packet));
      else resolve(confirmation);
    });
    return () => client.off('packetreceive', received);
  });
  present(connection).responded({ packet: 'PUBLISH', topic, qos, retain: false });
  const details = { topic, asked, qos, bytes: payload.length, reasonCode };
  if (qos < asked) {
    const message = `The broker accepts messages at QoS ${qos} only, not at ${asked}`;
    return { value: true, code: 'mqtt_qos_downgraded', message, hint: downgradedHint(qos), details };
  }
  return {
    value: true,
    message: qos === 0 ? 'Sent. At QoS 0 the broker does not confirm messages' : confirmedBy(reasonCode),
    details,
    ...(version === 4 || qos === 0 ? { hint: unseenRefusal } : {}),
  };
}

interface Confirmation {
  cmd: string;
  reasonCode?: number;
}

const noSubscribers = 0x10;

const confirmedBy = (reasonCode: number): string =>
  reasonCode === noSubscribers
    ? 'Published and confirmed. The broker says that nobody has subscribed to the topic (0x10)'
    : 'Published and confirmed';

const unseenRefusal =
  'At QoS 0, and with MQTT 3.1.1, a broker can discard a message because of its access rules without saying so. Read the ' +
  'topic with another client to be sure that the message arrived.';

const downgradedHint = (qos: Qos): string =>
  qos === 0 ? 'At QoS 0 messages can be lost.' : 'A message can arrive twice after a failure.';

/** MQTT.js reports a reason code of the broker, or the end of the connection. */
function publishError(topic: string, error: Error & { code?: unknown }, packet: unknown): PenstockError {
  if (typeof error.code !== 'number')
    return new PenstockError('connection_lost', 'The connection was lost', { cause: error });
  const properties = (packet as { properties?: { reasonString?: string } } | undefined)?.properties;
  return publishRefused(topic, error.code, properties?.reasonString);
}

/** A broker closes the connection at a packet that is larger than it allows. */
function refuseTooLarge(topic: string, payload: string, maximumPacketSize: number): void {
  const bytes = packetOverhead + Buffer.byteLength(topic) + payload.length;
  if (bytes <= maximumPacketSize) return;
  const message = `The test message needs a packet of ${bytes} bytes, but the broker accepts at most ${maximumPacketSize}`;
  const hint = 'Raise the maximum packet size of the broker.';
  throw mqttError('mqtt_packet_too_large', message, { hint, facts: { bytes, maximumPacketSize } });
}
