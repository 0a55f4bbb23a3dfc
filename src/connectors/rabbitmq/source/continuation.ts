import type { ConsumeMessage } from 'amqplib';
import type { PenstockError } from '../../../errors.ts';
import { forUpTo, pause, untilReported } from '../../network/deadline.ts';
import { rabbitmqError } from '../config/errors.ts';
import type { Connection } from '../connection/client.ts';
import { offsetOf } from '../connection/delivery.ts';

/** The position in a stream of which nothing was read. */
export const beforeFirst = -1;

/** Minimum time between warnings of skipped offsets. */
const quietMs = 60_000;

interface Stream {
  name: string;
  /** Where a source without a position begins. */
  offset: 'first' | 'last' | 'next';
  /** Offset of the last message that was acknowledged; `beforeFirst` before the first one. */
  stored: number | undefined;
  patienceMs: number;
}

interface Listener {
  warn(error: PenstockError): void;
  /** Stores a position. */
  commit(offset: number): void;
  /** The stream is another one, which has fewer messages. */
  replaced(error: PenstockError): void;
}

/**
 * How far a stream was read, and whether it is still the one in which the position was stored. A source begins at the last message
 * that was acknowledged: a later one says that messages were removed, and none at all that the stream may have been deleted and
 * declared again. Without a position it stores one before the first message is handed out, or once the stream is known to be empty:
 * otherwise the next attempt would begin at a later end.
 */
export class Continuation {
  readonly #connection: Connection;
  readonly #stream: Stream;
  readonly #listener: Listener;
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout | undefined;
  #begun = false;
  /** Offset of the last message that came, or was acknowledged by a former source. */
  #last: number | undefined;
  #skipped = 0;
  #quietUntil = 0;

  /** Looks at the end of the stream when nothing has come for `patienceMs`. */
  constructor(connection: Connection, stream: Stream, listener: Listener) {
    const { stored, offset, patienceMs } = stream;
    this.#connection = connection;
    this.#stream = stream;
    this.#listener = listener;
    this.#last = stored;
    const unsure = stored === undefined ? offset !== 'first' : stored !== beforeFirst;
    this.#timer = unsure ? setTimeout(() => void this.#verify(), patienceMs) : undefined;
  }

  /** Whether the message was acknowledged before. Notices what is missing before it. Call it for every message, in order. */
  isKnown(message: ConsumeMessage): boolean {
    const { stored } = this.#stream;
    const offset = offsetOf(message) ?? (this.#last ?? beforeFirst) + 1;
    if (!this.#begun) this.close();
    if (this.#last === undefined) this.#listener.commit(offset - 1);
    else this.#notice(offset - this.#last - 1);
    this.#begun = true;
    this.#last = Math.max(offset, this.#last ?? offset);
    return stored !== undefined && offset <= stored;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#over.abort(new Error('the stream goes on'));
  }

  #notice(missing: number): void {
    const { name } = this.#stream;
    if (missing <= 0) return;
    if (!this.#begun) {
      this.#listener.warn(removed(name, missing));
      return;
    }
    this.#skipped += missing;
    if (performance.now() < this.#quietUntil) return;
    this.#listener.warn(skipped(name, this.#skipped));
    this.#skipped = 0;
    this.#quietUntil = performance.now() + quietMs;
  }

  /** A server that is only slow must not look like another stream: two ends in a row have to be equal. */
  async #verify(): Promise<void> {
    const { signal } = this.#over;
    const { name, stored, patienceMs } = this.#stream;
    let before: number | undefined;
    while (!signal.aborted) {
      try {
        const end = await endOf(this.#connection, name, patienceMs / 2, signal);
        if (stored !== undefined && end !== undefined && end >= stored) return;
        if (signal.aborted) return;
        if (end !== undefined && end === before) {
          this.#decide(end);
          return;
        }
        before = end;
        await pause(patienceMs / 2, signal);
      } catch {
        // The source reports a lost connection. Anything else may pass.
        before = undefined;
        await pause(patienceMs, signal).catch(() => {});
      }
    }
  }

  #decide(end: number): void {
    const { name, offset, stored } = this.#stream;
    if (stored !== undefined) this.#listener.replaced(anotherStream(name));
    // The last messages of a stream that has some are on their way.
    else if (offset === 'next' || end === beforeFirst) {
      this.#last = end;
      this.#listener.commit(end);
    }
  }
}

/**
 * The offset of the last message; `beforeFirst` if there is none, and undefined if none comes within `ms` though there should be.
 * With `offset: last` the server sends the last chunk of messages.
 */
export async function endOf(
  connection: Connection,
  stream: string,
  ms: number,
  signal: AbortSignal,
): Promise<number | undefined> {
  const channel = await connection.channel(signal);
  try {
    const { raw } = channel;
    let end: number | undefined;
    const came = Promise.withResolvers<void>();
    const show = (message: ConsumeMessage | null): void => {
      if (message) end = Math.max(end ?? beforeFirst, offsetOf(message) ?? beforeFirst);
      came.resolve();
    };
    // Newer servers send no more of a chunk than the prefetch.
    await channel.until(raw.prefetch(65_535), signal);
    const consuming = raw.consume(stream, show, { arguments: { 'x-stream-offset': 'last' } });
    const { consumerTag } = await channel.until(consuming, signal);
    await forUpTo(ms, signal, (soon) =>
      untilReported<void>(soon, (resolve) => void came.promise.then(resolve)),
    );
    // The response comes after the rest of the chunk.
    await channel.until(raw.cancel(consumerTag), signal);
    if (end !== undefined) return end;
    const { messageCount } = await channel.until(raw.checkQueue(stream), signal);
    // The number alone says nothing: it is 0 for a while after a restart of the server.
    return messageCount === 0 ? beforeFirst : undefined;
  } finally {
    await channel.close();
  }
}

const removed = (stream: string, count: number): PenstockError =>
  rabbitmqError(
    'rabbitmq_messages_removed',
    `${count} message${count === 1 ? ' was' : 's were'} removed from the stream ${stream} before they were read`,
    { hint: 'Raise max-age and max-length-bytes of the stream.', facts: { stream, count } },
  );

const skipped = (stream: string, count: number): PenstockError =>
  rabbitmqError(
    'rabbitmq_offsets_skipped',
    `The server skipped ${count} offset${count === 1 ? '' : 's'} of the stream ${stream}`,
    {
      hint: 'Find out whether publishers compress batches: a reader by AMQP 0-9-1 does not get these messages.',
      facts: { stream, count },
    },
  );

const anotherStream = (stream: string): PenstockError =>
  rabbitmqError('rabbitmq_stream_replaced', `The stream ${stream} has fewer messages than were read`, {
    hint: 'It was deleted and declared again. The source begins at its first message.',
    facts: { stream },
  });
