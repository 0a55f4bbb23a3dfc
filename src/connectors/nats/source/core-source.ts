import type { Msg } from '@nats-io/transport-node';
import type { Delivery, FoundSession, Source } from '../../connector.ts';
import { type Incoming, QueueSource } from '../../network/queue-source.ts';
import { consumerName } from '../config/session.ts';
import { type CoreSource, tasksOf } from '../config/table.ts';
import type { Connection } from '../connection/client.ts';
import { metadataOf, payloadOf } from '../connection/delivery.ts';
import type { SourceContext } from './stream-source.ts';

/** Messages that wait to be handed out, from which on the connection is read no further. */
const maxWaiting = 1_000;
const maxWaitingBytes = 16 * 1024 * 1024;

/** Subscribes to a subject. NATS sends each message once, to those who are there. */
export async function openCoreSource(
  context: SourceContext,
  source: CoreSource,
  connection: Connection,
): Promise<Source> {
  const { session, signal } = context;
  const arrivals = new Arrivals(connection);
  if (session?.drain) arrivals.finish(undefined);
  else {
    // Tasks are members of one group; so is one that is replaced by another.
    const queue =
      source.queueGroup || (tasksOf(context.table) > 1 ? consumerName(context.identity) : undefined);
    const callback = (error: Error | null, message: Msg) => {
      if (!error) arrivals.add(message);
    };
    connection.onError((error) => arrivals.finish(error));
    connection.nc.subscribe(source.subject, { callback, ...(queue ? { queue } : {}) });
    await connection.settle(signal);
    arrivals.throwIfFailed();
  }
  return new CoreSourceReader(context, connection, arrivals);
}

class CoreSourceReader implements Source {
  readonly session: FoundSession = { resumed: false, lost: false, settled: Promise.resolve() };
  readonly #queue: QueueSource;
  readonly #connection: Connection;
  readonly #arrivals: Arrivals;

  constructor({ window, signal }: SourceContext, connection: Connection, arrivals: Arrivals) {
    this.#connection = connection;
    this.#arrivals = arrivals;
    this.#queue = new QueueSource({
      window,
      signal,
      read: async (queue, reading) => {
        const stop = () => arrivals.finish(undefined);
        reading.addEventListener('abort', stop, { once: true });
        try {
          for await (const message of arrivals) await queue.add(message);
        } finally {
          reading.removeEventListener('abort', stop);
        }
      },
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery[]> {
    return this.#queue[Symbol.asyncIterator]();
  }

  drain(): Promise<void> {
    return this.#queue.drain();
  }

  async close(): Promise<void> {
    this.#arrivals.finish(undefined);
    await this.#queue.close();
    await this.#connection.close();
  }
}

/** The messages of a subscription, as long as the connection lasts. */
class Arrivals {
  readonly #connection: Connection;
  readonly #waiting: Incoming[] = [];
  #bytes = 0;
  #paused = false;
  #end: { error: unknown } | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(connection: Connection) {
    this.#connection = connection;
    connection.whenLost((error) => this.finish(error));
  }

  add(message: Msg): void {
    const payload = payloadOf(message);
    const receivedAt = performance.timeOrigin + performance.now();
    this.#waiting.push({ payload, metadata: metadataOf(message, undefined, receivedAt) });
    this.#bytes += payload.length;
    if (!this.#paused && (this.#waiting.length >= maxWaiting || this.#bytes >= maxWaitingBytes)) {
      this.#paused = true;
      this.#connection.transport.pause();
    }
    this.#wake();
  }

  finish(error: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  throwIfFailed(): void {
    if (this.#end?.error) throw this.#end.error;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Incoming> {
    for (;;) {
      const next = this.#waiting.shift();
      if (next) {
        this.#bytes -= next.payload.length;
        if (this.#paused && this.#waiting.length <= maxWaiting / 2 && this.#bytes <= maxWaitingBytes / 2) {
          this.#paused = false;
          this.#connection.transport.resume();
        }
        yield next;
      } else if (this.#end) {
        this.throwIfFailed();
        return;
      } else await this.#changed.promise;
    }
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
