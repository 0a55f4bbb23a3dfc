import { randomBytes } from 'node:crypto';
import type { Msg } from '@nats-io/transport-node';
import type { AutocompleteContext, Reachable, WatchContext } from '../../connector.ts';
import { forUpTo, pause, untilReported } from '../../network/deadline.ts';
import type { NatsProfile } from '../config/profile.ts';
import { covers } from '../config/subject.ts';
import { filtersOf, type JetStreamSource, type NatsTable, sourceOf } from '../config/table.ts';
import { type Connection, connect } from '../connection/client.ts';
import { metadataOf, payloadOf } from '../connection/delivery.ts';
import { JetStream, type StoredMessage } from '../connection/jetstream.ts';

/** Looks at messages without a consumer, so that nothing changes for the jobs that read them. */

async function withConnection<T>(
  reachable: Reachable<NatsProfile>,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  const connection = await connect(reachable, `penstock_watch_${randomBytes(8).toString('hex')}`, signal);
  try {
    return await work(connection);
  } finally {
    await connection.close();
  }
}

/** See `watch` in the connector contract. */
export function watch(context: WatchContext<NatsProfile, NatsTable>): Promise<never> {
  const { profile, table, signal } = context;
  const source = sourceOf(table);
  if (source === undefined) throw new Error('the table is a sink');
  return withConnection(context, signal, async (connection) => {
    if (!('stream' in source)) return subscribed(context, connection, [source.subject]);
    const jetStream = await JetStream.of(connection, profile, signal);
    const { config, state } = await jetStream.stream(source.stream);
    // Such a stream removes a message as soon as a job has read it: look at the messages on their way to it.
    if (config.retention !== 'limits') {
      const filters = filtersOf(source);
      return subscribed(context, connection, filters.length > 0 ? filters : config.subjects);
    }
    return polled(context, connection, jetStream, source, state.last_seq);
  });
}

async function subscribed(
  { listening, deliver, signal }: WatchContext<NatsProfile, NatsTable>,
  connection: Connection,
  subjects: readonly string[],
): Promise<never> {
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  connection.onError(failed.reject);
  const callback = (error: Error | null, message: Msg): void => {
    if (error) return;
    const receivedAt = performance.timeOrigin + performance.now();
    const payload = payloadOf(message);
    try {
      deliver({ payload, receivedAt, metadata: metadataOf(message, undefined, receivedAt) });
    } catch (thrown) {
      failed.reject(thrown);
    }
  };
  for (const subject of subjects) connection.nc.subscribe(subject, { callback });
  await connection.settle(signal);
  listening();
  return untilReported<never>(signal, (_resolve, reject) => {
    failed.promise.catch(reject);
    return connection.whenLost(reject);
  });
}

const pollMs = 200;

/** Begins with the last message that there is. */
async function polled(
  { listening, deliver, signal }: WatchContext<NatsProfile, NatsTable>,
  connection: Connection,
  jetStream: JetStream,
  source: JetStreamSource,
  last: number,
): Promise<never> {
  const filters = filtersOf(source);
  const [only = '>'] = filters.length === 1 ? filters : [];
  let next = Math.max(1, last);
  listening();
  for (;;) {
    const found = await jetStream.messageFrom(source.stream, next, only);
    if (!found) {
      await untilReported<void>(signal, (resolve, reject) => {
        const stop = connection.whenLost(reject);
        void pause(pollMs, signal).then(resolve, reject);
        return stop;
      });
      continue;
    }
    next = found.seq + 1;
    if (filters.length > 1 && !filters.some((filter) => covers(filter, found.subject))) continue;
    deliver({
      payload: found.payload,
      receivedAt: performance.timeOrigin + performance.now(),
      metadata: storedMetadata(found, source.stream),
    });
  }
}

const storedMetadata = ({ subject, seq, time, headers }: StoredMessage, stream: string) =>
  metadataOf(
    { subject, headers } as Msg,
    {
      stream,
      deliveries: 1,
      sequence: BigInt(seq),
      consumerSequence: 0,
      storedAt: BigInt(time.getTime()) * 1000n,
      pending: 0,
    },
    time.getTime(),
  );

const totalMs = 3_000;
const maxValues = 1_000;

/** The streams of the account and their subjects. See `autocomplete` in the connector contract. */
export async function autocomplete(
  context: AutocompleteContext<NatsProfile>,
): Promise<Record<string, string[]>> {
  const found = await forUpTo(totalMs, context.signal, (soon) =>
    withConnection(context, soon, async (connection) =>
      (await JetStream.of(connection, context.profile, soon)).streams(),
    ),
  );
  const streams = found ?? [];
  const subjects = [...new Set(streams.flatMap(({ config }) => config.subjects ?? []))].sort();
  const some = subjects.slice(0, maxValues);
  return {
    stream: streams.map(({ config }) => config.name).sort(),
    subject: some,
    filterSubjects: some,
  };
}
