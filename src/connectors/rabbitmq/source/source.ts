import type { ConsumeMessage } from 'amqplib';
import { PenstockError } from '../../../errors.ts';
import type { Delivery, RunContext, Source } from '../../connector.ts';
import { QueueSource } from '../../network/queue-source.ts';
import { rabbitmqError, wrongKind } from '../config/errors.ts';
import type { RabbitmqProfile } from '../config/profile.ts';
import { queueSourceOf, type RabbitmqTable, streamSourceOf } from '../config/table.ts';
import { type Connection, connect, type OpenChannel, taskName } from '../connection/client.ts';
import { Consumer } from '../connection/consumer.ts';
import { deliveryCount, metadataOf, offsetOf, sizeOf } from '../connection/delivery.ts';
import { beforeFirst, Continuation, endOf } from './continuation.ts';

type SourceContext = RunContext<RabbitmqProfile, RabbitmqTable>;
type StreamOfSource = NonNullable<ReturnType<typeof streamSourceOf>>;

/** Number of returns of one message from which on the job warns: half of the delivery limit of RabbitMQ 4. */
const manyReturns = 10;

/** Looks after `patienceMs` whether a stream that sends nothing is another one. See `openSource` in the connector contract. */
export async function openSource(context: SourceContext, patienceMs = 5_000): Promise<Source> {
  const { table, identity, signal } = context;
  const connection = await connect(context, taskName(identity), signal);
  try {
    const stream = streamSourceOf(table);
    const queue = stream?.stream ?? queueSourceOf(table)?.queue;
    if (queue === undefined) throw new Error('the table is a sink');
    const channel = await connection.channel(signal);
    await channel.until(channel.raw.checkQueue(queue), signal);
    const stored = stream ? await startOf(context, connection, stream, patienceMs) : undefined;
    const consumer = new Consumer(
      channel,
      {
        queue,
        prefetch: context.window,
        priority: queueSourceOf(table)?.consumer_priority,
        // The last message that was acknowledged comes once more, which shows that the stream is still the same.
        offset: stored === beforeFirst ? 'first' : (stored ?? stream?.offset),
      },
      signal,
    );
    await consumer.start();
    return new MessageSource(context, queue, { connection, channel, consumer, stored, patienceMs });
  } catch (error) {
    connection.destroy();
    await connection.close();
    signal.throwIfAborted();
    throw refusedKind(error, table);
  }
}

/** The last message that was acknowledged. The present end counts as that for `next`. Undefined if none was and the end is unknown. */
async function startOf(
  { position, signal }: SourceContext,
  connection: Connection,
  { stream, offset }: StreamOfSource,
  patienceMs: number,
): Promise<number | undefined> {
  const stored = position?.stored;
  if (typeof stored === 'number') return stored;
  if (offset !== 'next') return undefined;
  const end = await endOf(connection, stream, Math.min(patienceMs, 1_000) / 2, signal);
  // Empty may also be a stream that starts: see `Continuation`.
  if (end === undefined || end === beforeFirst) return undefined;
  position?.commit(end);
  return end;
}

/** The server refuses the offset of a stream for a queue, and the priority of a consumer for a stream. */
function refusedKind(error: unknown, table: RabbitmqTable): unknown {
  const isRefusal = error instanceof PenstockError && (error.code as string) === 'rabbitmq_wrong_kind';
  const queue = queueSourceOf(table)?.queue;
  return isRefusal ? wrongKind(queue ?? table.stream ?? '', queue !== undefined) : error;
}

interface Parts {
  connection: Connection;
  channel: OpenChannel;
  consumer: Consumer;
  /** Offset of the last message of a stream that was acknowledged. */
  stored: number | undefined;
  patienceMs: number;
}

class MessageSource implements Source {
  readonly #context: SourceContext;
  readonly #name: string;
  readonly #parts: Parts;
  readonly #queue: QueueSource;
  readonly #continuation: Continuation | undefined;
  #warned = false;
  #closing: Promise<void> | undefined;

  constructor(context: SourceContext, name: string, parts: Parts) {
    const { window, signal, position, table } = context;
    const { connection, consumer, stored, patienceMs } = parts;
    const stream = streamSourceOf(table);
    this.#context = context;
    this.#name = name;
    this.#parts = parts;
    connection.whenLost((error) => consumer.finish(error));
    if (stream)
      this.#continuation = new Continuation(
        connection,
        { name, offset: stream.offset, stored, patienceMs },
        {
          warn: context.warn,
          commit: (offset) => position?.commit(offset),
          replaced: (error) => {
            position?.commit(beforeFirst);
            consumer.finish(error);
          },
        },
      );
    signal.addEventListener('abort', this.#aborted, { once: true });
    this.#queue = new QueueSource({
      window,
      signal,
      position: stream ? position : undefined,
      read: (queue, stop) => this.#read(queue, stop),
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery[]> {
    return this.#queue[Symbol.asyncIterator]();
  }

  drain(): Promise<void> {
    return this.#queue.drain();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const { connection, channel, consumer } = this.#parts;
    await this.#queue.close();
    this.#continuation?.close();
    this.#context.signal.removeEventListener('abort', this.#aborted);
    consumer.flush();
    // It gives back what is not acknowledged.
    await channel.close();
    await connection.close();
  }

  readonly #aborted = (): void => {
    this.#parts.consumer.finish(this.#context.signal.reason);
    this.#parts.connection.destroy();
  };

  async #read(queue: QueueSource, stop: AbortSignal): Promise<void> {
    const { consumer } = this.#parts;
    const end = () => {
      consumer.finish();
      void consumer.cancel();
    };
    stop.addEventListener('abort', end, { once: true });
    try {
      for await (const message of consumer) {
        const offset = this.#continuation ? offsetOf(message) : undefined;
        if (this.#continuation?.isKnown(message) === true) {
          consumer.acknowledge(message);
          continue;
        }
        this.#look(message);
        await queue.add({
          payload: message.content,
          metadata: metadataOf(message, this.#name, offset),
          bytes: sizeOf(message),
          ...(offset === undefined ? {} : { position: offset }),
          settled: () => consumer.acknowledge(message),
        });
      }
    } finally {
      stop.removeEventListener('abort', end);
    }
  }

  /** Warns once of a message that came back often: a quorum queue drops it after some more times. */
  #look(message: ConsumeMessage): void {
    const count = deliveryCount(message) ?? 0;
    if (this.#warned || count < manyReturns) return;
    this.#warned = true;
    this.#context.warn(returnedOften(this.#name, count));
  }
}

const returnedOften = (queue: string, count: number): PenstockError =>
  rabbitmqError('rabbitmq_delivery_limit', `A message of ${queue} came back ${count} times`, {
    hint:
      'The queue removes it when it exceeds its delivery limit, 20 by default since RabbitMQ 4.0. Find out why the job connects so often, ' +
      'and set a dead letter exchange.',
    facts: { queue, count },
  });
