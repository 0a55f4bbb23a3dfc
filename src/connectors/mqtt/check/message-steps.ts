import { randomBytes } from 'node:crypto';
import { asPenstockError } from '../../../errors.ts';
import { codecFor, expandSchema, rowsOf } from '../../../formats/codec.ts';
import type { CheckContext } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, sinkOf } from '../config/table.ts';
import { columnsIn } from '../config/template.ts';
import { isShared, splitShared } from '../config/topic.ts';
import { connect } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import { type Connection, closedByPeer } from '../connection/connection.ts';
import { retainUnsupported } from '../connection/reason-codes.ts';
import {
  downgradedHint,
  FirstMessageProbe,
  present,
  publish,
  type SampleMessage,
  subscribe,
} from './message-probes.ts';
import type { CheckSteps, Finding } from './steps.ts';

interface TableTest {
  context: CheckContext<MqttProfile, MqttTable>;
  steps: CheckSteps;
  /** Undefined if an earlier step failed: then all steps are reported as skipped. */
  connection: Connection | undefined;
}

/** A 3.1.1 broker that supports shared subscriptions delivers at once. */
const sharedWaitMs = 1_000;

/** Many brokers allow these on some topics only; a profile test cannot know which. */
const restricted = ['mqtt_subscribe_refused', 'mqtt_publish_refused', 'connection_lost'] as const;

const uniqueTopic = (): string => `penstock/check/${randomBytes(8).toString('hex')}`;

export async function checkProfile({ context, steps, connection }: TableTest): Promise<void> {
  const topic = uniqueTopic();
  const probe = new FirstMessageProbe(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic } };
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
export async function checkSource(
  { context, steps, connection }: TableTest,
  table: MqttTable,
): Promise<void> {
  const filter = withOwnGroup(table.topic);
  if (isShared(filter) && connection?.version === 4) await checkShared({ context, steps, connection });
  const probe = new FirstMessageProbe(connection, context.profile);
  await steps.run('subscribe', (signal) => subscribe(connection, filter, qosOf(table), signal), {
    details: { topic: table.topic },
  });
  const sample = await steps.run('first_message', (signal) => probe.first(context.stepTimeoutMs, signal));
  const { schema } = context;
  if (schema === undefined) steps.skip('decode', 'Skipped because there is no schema to decode with');
  else if (connection !== undefined && sample === undefined) {
    steps.skip('decode', 'Skipped because there is no message to decode');
  } else await steps.run('decode', async () => decoded(schema, sample as SampleMessage));
}

/** An MQTT 5 broker reports whether it supports shared subscriptions; with 3.1.1 only using one tells. */
async function checkShared({ context, steps, connection }: TableTest): Promise<void> {
  if (context.probe === 'none') {
    steps.skip('shared', 'Skipped because nothing may be published');
    return;
  }
  const topic = uniqueTopic();
  const probe = new FirstMessageProbe(connection, context.profile);
  const tolerate = { tolerate: restricted, details: { topic } };
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

/** Publishes one message that identifies itself as a test to the table's topic, never retained. */
export async function checkSink({ context, steps, connection }: TableTest, table: MqttTable): Promise<void> {
  if (context.probe === 'none') {
    steps.skip('publish', 'Not published, as requested');
    return;
  }
  if (columnsIn(table.topic).length > 0) {
    steps.skip('publish', 'Skipped because the topic depends on columns of a row');
    return;
  }
  const work = async (signal: AbortSignal) => {
    const { limits, version } = present(connection);
    if (sinkOf(table)?.retain && !limits.retain) throw retainUnsupported();
    const asked = qosOf(table);
    try {
      return await publish(connection, table.topic, asked, signal);
    } catch (error) {
      const mayBeQos2 = asked === 2 && version === 4 && closedByPeer(asPenstockError(error));
      if (mayBeQos2) return await publishAtQos1(context, table.topic, signal);
      throw error;
    }
  };
  await steps.run('publish', work, { details: { topic: table.topic } });
}

/** Some 3.1.1 brokers close the connection at a QoS 2 message (nats-server): a message at QoS 1 is the proof. */
async function publishAtQos1(
  context: TableTest['context'],
  topic: string,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const connection = await connect({ ...probeClient(context), signal });
  try {
    const finding = await publish(connection, topic, 1, signal);
    return {
      ...finding,
      code: 'mqtt_qos_downgraded',
      message: 'The broker closes the connection at QoS 2 messages, but accepts QoS 1',
      hint: downgradedHint(1),
      details: { ...finding.details, asked: 2 },
    };
  } finally {
    await connection.destroy();
  }
}

/** A member of a shared subscription takes messages from the others, so the test joins a group of its own. */
const withOwnGroup = (filter: string): string =>
  isShared(filter)
    ? `$share/penstock_check_${randomBytes(4).toString('hex')}/${splitShared(filter).filter}`
    : filter;

function decoded(schema: Parameters<typeof codecFor>[0], sample: SampleMessage): Finding<true> {
  const full = expandSchema(schema);
  const rows = rowsOf(codecFor(full), sample.payload);
  const columns = (full.fields ?? []).map(({ name }) => name);
  const message = 'The message matches the schema';
  return {
    value: true,
    message: rows.length === 1 ? message : `${message} and contains ${rows.length} rows`,
    details: { topic: sample.topic, columns, rows: rows.length },
  };
}
