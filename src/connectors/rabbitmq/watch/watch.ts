import { randomBytes } from 'node:crypto';
import type { ConsumeMessage } from 'amqplib';
import type { WatchContext } from '../../connector.ts';
import { untilReported } from '../../network/deadline.ts';
import { given } from '../../network/tls.ts';
import { rabbitmqError } from '../config/errors.ts';
import type { RabbitmqProfile } from '../config/profile.ts';
import { queueSourceOf, type RabbitmqTable, streamSourceOf } from '../config/table.ts';
import { connect, type OpenChannel } from '../connection/client.ts';
import { metadataOf, offsetOf } from '../connection/delivery.ts';
import { serverError } from '../connection/translate.ts';

type Watching = WatchContext<RabbitmqProfile, RabbitmqTable>;

/** Messages that the server sends ahead. */
const prefetch = 100;

/**
 * Shows the messages of a stream from its last ones on, and copies of those for a queue, which come through a queue of its own at
 * the exchange that the table names. See `watch` in the connector contract.
 */
export async function watch(context: Watching): Promise<never> {
  const { table, signal } = context;
  const stream = streamSourceOf(table)?.stream;
  const copied = queueSourceOf(table);
  if (stream === undefined && !given(copied?.watch_exchange)) throw cannotWatch(copied?.queue ?? '');
  const connection = await connect(context, `penstock watch ${randomBytes(8).toString('hex')}`, signal);
  try {
    const channel = await connection.channel(signal);
    const queue =
      stream ?? (await copyQueue(channel, copied?.watch_exchange ?? '', copied?.watch_key, signal));
    return await untilReported<never>(signal, (_, reject) => {
      const show = (message: ConsumeMessage | null): void => {
        try {
          if (message === null) throw cancelled(queue);
          deliver(context, message, stream, copied?.queue ?? queue);
          channel.raw.ack(message);
        } catch (error) {
          reject(error);
        }
      };
      const stop = connection.whenLost(reject);
      channel.whenClosed((said) => reject(serverError(said)));
      listen(channel, queue, stream !== undefined, show, signal).then(() => context.listening(), reject);
      return stop;
    });
  } finally {
    connection.destroy();
    await connection.close();
  }
}

async function listen(
  channel: OpenChannel,
  queue: string,
  isStream: boolean,
  show: (message: ConsumeMessage | null) => void,
  signal: AbortSignal,
): Promise<void> {
  await channel.until(channel.raw.prefetch(prefetch), signal);
  const options = isStream ? { arguments: { 'x-stream-offset': 'last' } } : {};
  await channel.until(channel.raw.consume(queue, show, options), signal);
}

/** A queue for copies, which ends with the connection and is bounded. */
async function copyQueue(
  channel: OpenChannel,
  exchange: string,
  key: string | undefined,
  signal: AbortSignal,
): Promise<string> {
  const options = {
    exclusive: true,
    autoDelete: true,
    durable: false,
    arguments: { 'x-max-length': 1_000, 'x-max-length-bytes': 16 * 1024 * 1024 },
  };
  const { queue } = await channel.until(channel.raw.assertQueue('', options), signal);
  await channel.until(channel.raw.bindQueue(queue, exchange, given(key) ? key : '#'), signal);
  return queue;
}

function deliver(
  { deliver: give }: Watching,
  message: ConsumeMessage,
  stream: string | undefined,
  queue: string,
): void {
  const receivedAt = performance.timeOrigin + performance.now();
  const offset = stream === undefined ? undefined : offsetOf(message);
  give({ payload: message.content, metadata: metadataOf(message, stream ?? queue, offset), receivedAt });
}

const cannotWatch = (queue: string) =>
  rabbitmqError(
    'rabbitmq_cannot_watch',
    `A tail or preview of the queue ${queue} would take messages from its readers`,
    {
      hint: 'Name the exchange that it is bound to in watch_exchange of the table: Penstock then gets copies of its messages.',
    },
  );

const cancelled = (queue: string) =>
  rabbitmqError('rabbitmq_consumer_cancelled', `The server ended the consumer of ${queue}`, {
    hint: 'The queue was deleted, or moves to another node.',
  });
