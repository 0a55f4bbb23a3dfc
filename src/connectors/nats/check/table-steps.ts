import { randomBytes } from 'node:crypto';
import { createInbox, type Msg, headers as newHeaders } from '@nats-io/transport-node';
import type { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import { type CheckSteps, decodeStep, type Finding, firstMessageStep } from '../../network/check-steps.ts';
import { untilReported } from '../../network/deadline.ts';
import type { Incoming } from '../../network/queue-source.ts';
import { columnsIn } from '../../network/template.ts';
import { natsError } from '../config/errors.ts';
import type { NatsProfile } from '../config/profile.ts';
import { covers, overlaps } from '../config/subject.ts';
import {
  type CoreSink,
  type CoreSource,
  filtersOf,
  isJetStreamSink,
  type JetStreamSink,
  type JetStreamSource,
  type NatsTable,
} from '../config/table.ts';
import type { Connection } from '../connection/client.ts';
import { metadataOf, payloadOf } from '../connection/delivery.ts';
import { apiPrefix, type JetStream } from '../connection/jetstream.ts';
import { apiError, jetStreamDisabled } from '../connection/translate.ts';

/** Test steps of a table. After a failed step the others are skipped, so that what they need is there when they run. */

export interface Tested {
  context: CheckContext<NatsProfile, NatsTable>;
  steps: CheckSteps;
  connection: Connection;
  jetStream: JetStream | undefined;
}

export async function checkStreamSource(tested: Tested, source: JetStreamSource): Promise<void> {
  const { steps, connection, context } = tested;
  const jetStream = tested.jetStream as JetStream;
  await steps.run('stream', (signal) => streamFinding(jetStream.during(signal), source));
  await steps.run('permission', async (signal) => {
    const error = await forbiddenIn(connection, requestsOf(context.profile, source.stream), signal);
    if (error) throw error;
    return { value: true, message: 'The user may create, read and acknowledge with a consumer' };
  });
  const sample = await steps.run('first_message', (signal) =>
    sampleFinding(jetStream.during(signal), source),
  );
  await decodeStep(steps, context, () => (sample ? [sample] : []));
}

async function streamFinding(jetStream: JetStream, source: JetStreamSource): Promise<Finding<true>> {
  const { config, state } = await jetStream.stream(source.stream);
  const subjects = config.subjects ?? [];
  const filters = filtersOf(source);
  const foreign = filters.find((filter) => !subjects.some((subject) => overlaps(subject, filter)));
  // A stream that copies others has no subjects of its own.
  if (foreign !== undefined && subjects.length > 0)
    throw natsError(
      'nats_subject_uncovered',
      `The stream ${source.stream} has no subject that ${foreign} matches`,
      {
        hint: `Its subjects are ${subjects.slice(0, 10).join(', ')}.`,
        facts: { filter: foreign, subjects: subjects.slice(0, 100) },
      },
    );
  const details = {
    subjects: subjects.slice(0, 100),
    messages: state.messages,
    firstSequence: state.first_seq,
    lastSequence: state.last_seq,
    retention: config.retention,
    storage: config.storage,
    replicas: config.num_replicas,
    maxAgeSecs: Math.round(config.max_age / 1e9),
    maxMessages: config.max_msgs,
    maxBytes: config.max_bytes,
  };
  const hints = [
    ...((source.maxDeliver ?? -1) > 0
      ? ['With maxDeliver the server gives a message up after some attempts: it is lost then.']
      : []),
    ...(source.ackPolicy === 'None' ? ['With ackPolicy None messages are lost in a crash.'] : []),
    ...(config.storage === 'memory' ? ['The stream is in memory: a restart of the server loses it.'] : []),
  ];
  return {
    value: true,
    message: `${source.stream} has ${state.messages} message${state.messages === 1 ? '' : 's'}`,
    details,
    ...(hints.length > 0 ? { hint: hints.join(' ') } : {}),
  };
}

interface Probe {
  subject: string;
  body: string;
}

/** Requests that a source makes, each in a form that changes nothing. */
function requestsOf(profile: NatsProfile, stream: string): Probe[] {
  const prefix = apiPrefix(profile);
  const name = `penstock_check_${randomBytes(8).toString('hex')}`;
  return [
    // Refused by the server, as it names another stream.
    { subject: `${prefix}.CONSUMER.CREATE.${stream}.${name}`, body: '{"stream_name":"","config":{}}' },
    { subject: `${prefix}.CONSUMER.INFO.${stream}.${name}`, body: '' },
    { subject: `${prefix}.CONSUMER.MSG.NEXT.${stream}.${name}`, body: '{"batch":1,"no_wait":true}' },
    { subject: `$JS.ACK.${stream}.${name}.1.1.1.1.0`, body: '+WPI' },
  ];
}

/** Publishes them, and returns what the server forbids. */
async function forbiddenIn(
  connection: Connection,
  probes: readonly Probe[],
  signal: AbortSignal,
): Promise<PenstockError | undefined> {
  let found: PenstockError | undefined;
  connection.onError((error) => {
    found ??= error;
  });
  const inbox = createInbox(connection.inboxPrefix);
  connection.nc.subscribe(`${inbox}.*`, { callback: () => {} });
  for (const [index, { subject, body }] of probes.entries())
    connection.nc.publish(subject, body, { reply: `${inbox}.${index}` });
  await connection.settle(signal);
  return found;
}

/** Reads a stored message without a consumer. */
async function sampleFinding(
  jetStream: JetStream,
  source: JetStreamSource,
): Promise<Finding<Buffer | undefined>> {
  const [filter = '>'] = filtersOf(source);
  const found = await jetStream.messageFrom(source.stream, 1, filter);
  if (!found) return { value: undefined, message: 'The stream has no message yet, which need not be wrong' };
  const { subject, seq, payload } = found;
  return {
    value: payload,
    message: `The first message has the sequence number ${seq}`,
    details: { subject, sequence: seq, bytes: payload.length },
  };
}

export async function checkCoreSource(tested: Tested, source: CoreSource): Promise<void> {
  const { steps, connection, context } = tested;
  const arrived = Promise.withResolvers<Incoming>();
  await steps.run('subscribe', async (signal) => {
    let forbidden: PenstockError | undefined;
    connection.onError((error) => {
      forbidden ??= error;
    });
    const callback = (error: Error | null, message: Msg): void => {
      if (error) return;
      const receivedAt = performance.timeOrigin + performance.now();
      arrived.resolve({ payload: payloadOf(message), metadata: metadataOf(message, undefined, receivedAt) });
    };
    connection.nc.subscribe(source.subject, { callback });
    await connection.settle(signal);
    if (forbidden) throw forbidden;
    return {
      value: true,
      message: `Subscribed to ${source.subject}. NATS sends each message once, to those who are there: messages can be lost`,
      hint: 'Read a stream to lose none.',
    };
  });
  const next = async () => ({ value: await arrived.promise, done: false }) as const;
  const sample = await firstMessageStep(steps, context, next, ({ metadata }) => ({
    message: `A message came from ${String(metadata.subject)}`,
  }));
  await decodeStep(steps, context, () => (sample ? [sample.payload] : []));
}

export async function checkSink(tested: Tested, sink: CoreSink | JetStreamSink): Promise<void> {
  const { steps, context, connection } = tested;
  if (!isJetStreamSink(sink)) {
    steps.skip('publish', 'Nothing was published: NATS has no message that reaches nobody');
    return;
  }
  const jetStream = tested.jetStream as JetStream;
  await steps.run('stream', (signal) => targetFinding(jetStream.during(signal), sink));
  if (columnsIn(sink.subject).length > 0)
    steps.skip('publish', 'Nothing was published, because the subject depends on the rows');
  else if (context.probe === 'none') steps.skip('publish', 'Nothing was published: the test may not write');
  else await steps.run('publish', (signal) => publishFinding(connection, sink, signal));
}

async function targetFinding(
  jetStream: JetStream,
  { stream, subject }: JetStreamSink,
): Promise<Finding<true>> {
  const { config, state } = await jetStream.stream(stream);
  const subjects = config.subjects ?? [];
  const pattern = subject
    .split('.')
    .map((token) => (columnsIn(token).length > 0 ? '*' : token))
    .join('.');
  const isCovered =
    columnsIn(subject).length > 0
      ? subjects.some((each) => overlaps(each, pattern))
      : subjects.some((each) => covers(each, subject));
  if (!isCovered)
    throw natsError('nats_subject_uncovered', `The stream ${stream} does not have the subject ${subject}`, {
      hint: `Add it: nats stream edit ${stream} --subjects '${[...subjects.slice(0, 5), pattern].join(',')}'.`,
      facts: { subject, subjects: subjects.slice(0, 100) },
    });
  const full =
    (config.max_msgs > 0 && state.messages >= config.max_msgs) ||
    (config.max_bytes > 0 && state.bytes >= config.max_bytes);
  const details = {
    subjects: subjects.slice(0, 100),
    discard: config.discard,
    duplicateWindowSecs: Math.round(config.duplicate_window / 1e9),
    maxMessageBytes: config.max_msg_size,
    messages: state.messages,
  };
  const message = `${stream} has the subject`;
  if (!full) return { value: true, message, details };
  return config.discard === 'new'
    ? {
        value: true,
        message: `${message}, but is full: it discards new messages`,
        code: 'nats_stream_full',
        hint: 'Raise its limits, or delete messages from it. A job waits until there is room.',
        details,
      }
    : {
        value: true,
        message: `${message}, and is full: each new message removes the oldest`,
        details,
      };
}

/** Publishes a message that JetStream refuses, because it names another stream: only the permission is tested. */
async function publishFinding(
  connection: Connection,
  { subject, stream }: JetStreamSink,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const headers = newHeaders();
  headers.set('Nats-Expected-Stream', `penstock_check_${randomBytes(8).toString('hex')}`);
  const reply = createInbox(connection.inboxPrefix);
  const message = await untilReported<Msg>(signal, (resolve, reject) => {
    connection.onError(reject);
    connection.whenLost(reject);
    connection.nc.subscribe(reply, {
      callback: (error, received) => (error ? reject(error) : resolve(received)),
    });
    connection.nc.publish(subject, '', { reply, headers });
    return undefined;
  });
  if (message.headers?.code === 503) throw jetStreamDisabled();
  const { error } = message.json<{ error?: { err_code?: number } }>();
  // That the expected stream is another one: it would have been stored otherwise.
  if (error?.err_code !== 10060) throw apiError(error ?? {});
  return { value: true, message: `The user may publish to ${subject}; nothing was stored in ${stream}` };
}
