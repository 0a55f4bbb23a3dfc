import type { Channel, ConsumeMessage, Message } from 'amqplib';
import type { PenstockError } from '../../../errors.ts';
import { Fifo } from '../../network/fifo.ts';
import { rabbitmqError } from '../config/errors.ts';
import type { OpenChannel } from './client.ts';
import { offsetOf, sizeOf } from './delivery.ts';
import { serverError, translated } from './translate.ts';

/** Messages that wait, from which on the consumer is ended for a while, and messages are given back. */
const maxWaitingBytes = 16 * 1024 * 1024;
const maxWaiting = 100_000;
/** Bytes of what is held, below which the consumer begins again, and of what it may then add. */
const resumeBelow = 32 * 1024 * 1024;
const resumeWith = 32 * 1024 * 1024;
/** The protocol has 16 bits for it. */
const maxPrefetch = 65_535;
/** Minimum number of messages by whose mean size a small prefetch is raised. */
const minSample = 50;

interface ConsumerOptions {
  queue: string;
  /** Number of messages that the server sends without an acknowledgement. A stream may exceed it. */
  prefetch: number;
  priority?: number | undefined;
  /** Where to begin in a stream; undefined for a queue. */
  offset?: string | number | undefined;
}

/**
 * Receives the messages of a queue or a stream. The server pushes them, so that their number is bounded by the prefetch and their
 * size is not: a server that cannot send for 30 seconds closes the connection, so reading cannot pause. When too many bytes wait,
 * the consumer ends, what has no room goes back to the queue, and it begins again with a prefetch for messages of this size. Once
 * messages are smaller, it begins again with a larger one.
 */
export class Consumer {
  readonly #channel: OpenChannel<Channel>;
  readonly #options: ConsumerOptions;
  readonly #signal: AbortSignal;
  #tag: string | undefined;
  #consumers = 0;
  #prefetch: number;
  #cancelled: Promise<void> = Promise.resolve();
  readonly #waiting = new Fifo<ConsumeMessage>();
  #waitingBytes = 0;
  /** Messages that are not acknowledged, those that wait included. */
  #held = 0;
  #heldBytes = 0;
  /** Messages since the consumer began. */
  #recent = 0;
  #recentBytes = 0;
  /** Delivery tags of messages that came while the consumer was being ended. Undefined if it is not. */
  #excess: number[] | undefined;
  #paused: Promise<void> = Promise.resolve();
  /** Mean size of the messages that were held then. */
  #each = 0;
  /** Where a stream goes on. */
  #from: number | undefined;
  readonly #acks: Acks;
  #end: { error?: unknown } | undefined;
  #changed = Promise.withResolvers<void>();

  constructor(channel: OpenChannel<Channel>, options: ConsumerOptions, signal: AbortSignal) {
    this.#channel = channel;
    this.#options = options;
    this.#signal = signal;
    this.#prefetch = this.#maxPrefetch;
    this.#acks = new Acks(channel, (error) => this.finish(error));
    channel.whenClosed((said) => this.finish(serverError(said)));
  }

  get #maxPrefetch(): number {
    return Math.min(this.#options.prefetch, maxPrefetch);
  }

  /** Begins to receive. Rejects with the first thing that is wrong. */
  async start(): Promise<void> {
    const { queue, priority, offset } = this.#options;
    const { raw } = this.#channel;
    const from = this.#from ?? offset;
    this.#recent = 0;
    this.#recentBytes = 0;
    await this.#channel.until(raw.prefetch(this.#prefetch), this.#signal);
    // It may be over by now.
    if (!this.#end) {
      this.#consumers += 1;
      // Its own name for it: messages may come before the library has reported that of the server.
      const consumerTag = `penstock-${this.#consumers}`;
      this.#tag = consumerTag;
      const consuming = raw.consume(queue, (message) => this.#arrived(message), {
        consumerTag,
        arguments: from === undefined ? {} : { 'x-stream-offset': from },
        // A stream refuses it: how a table is found to name one as a queue.
        ...(from === undefined ? { priority: priority ?? 0 } : {}),
      });
      await this.#channel.until(consuming, this.#signal);
    }
    if (!this.#end) return;
    await this.cancel();
    if ('error' in this.#end) throw this.#end.error;
  }

  /** Takes no more messages: the server keeps the rest for others. Those that wait are still handed out. */
  finish(error?: unknown): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake();
  }

  /** Tells the server to send no more. Never throws. */
  async cancel(): Promise<void> {
    // Without the channel nothing is sent either.
    await this.#cancel().catch(() => {});
  }

  /** Resolves when the server sends no more. */
  #cancel(): Promise<void> {
    const tag = this.#tag;
    this.#tag = undefined;
    if (tag !== undefined && this.#channel.open)
      this.#cancelled = this.#channel
        .until(this.#channel.raw.cancel(tag), new AbortController().signal)
        .then(() => {});
    return this.#cancelled;
  }

  /** The message is safe downstream. Acknowledgements leave in any order, those of one turn together. */
  acknowledge(message: ConsumeMessage): void {
    this.#held -= 1;
    this.#heldBytes -= sizeOf(message);
    this.#acks.acknowledge(message.fields.deliveryTag);
    this.#wake();
  }

  /** Sends the acknowledgements that are due. */
  flush(): void {
    this.#acks.send();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<ConsumeMessage> {
    for (;;) {
      if (this.#end && 'error' in this.#end) throw this.#end.error;
      const next = this.#waiting.shift();
      if (next) {
        this.#waitingBytes -= sizeOf(next);
        yield next;
      } else if (this.#end) return;
      else if (this.#excess && this.#heldBytes <= resumeBelow) await this.#resume();
      else if (this.#grows()) await this.#restart();
      else await this.#changed.promise;
    }
  }

  #arrived(message: ConsumeMessage | null): void {
    if (message === null) {
      this.finish(cancelled(this.#options.queue));
      return;
    }
    const tag = message.fields.deliveryTag;
    this.#acks.arrived(tag);
    if (this.#excess) {
      this.#excess.push(tag);
      return;
    }
    const bytes = sizeOf(message);
    this.#held += 1;
    this.#heldBytes += bytes;
    this.#recent += 1;
    this.#recentBytes += bytes;
    this.#waiting.push(message);
    this.#waitingBytes += bytes;
    if (this.#isStream) this.#from = (offsetOf(message) ?? this.#from ?? -1) + 1;
    if (this.#waitingBytes >= maxWaitingBytes || this.#waiting.length >= maxWaiting) this.#pause();
    this.#wake();
  }

  get #isStream(): boolean {
    return this.#options.offset !== undefined;
  }

  /** Ends the consumer; what the server has sent by then is given back, once it sends no more. */
  #pause(): void {
    const excess: number[] = [];
    this.#excess = excess;
    this.#each = this.#heldBytes / Math.max(1, this.#held);
    this.#paused = this.#cancel().then(
      () => {
        for (const tag of excess)
          if (this.#isStream) this.#acks.acknowledge(tag);
          else this.#acks.giveBack(tag);
      },
      (error: unknown) => this.finish(error),
    );
  }

  async #resume(): Promise<void> {
    await this.#paused;
    if (this.#end) return;
    this.#excess = undefined;
    this.#prefetch = this.#fitting(this.#each);
    await this.start();
  }

  /** The prefetch for messages of this mean size. */
  #fitting(bytes: number): number {
    return Math.max(1, Math.min(this.#maxPrefetch, Math.floor(resumeWith / Math.max(1, bytes))));
  }

  /** Whether messages have become small enough for a larger prefetch. */
  #grows(): boolean {
    if (this.#excess || this.#prefetch === this.#maxPrefetch || this.#heldBytes > resumeBelow) return false;
    if (this.#recent < Math.max(minSample, 2 * this.#prefetch)) return false;
    const fitting = this.#fitting(this.#recentBytes / this.#recent);
    this.#recent = 0;
    this.#recentBytes = 0;
    if (fitting < 2 * this.#prefetch && fitting < this.#maxPrefetch) return false;
    this.#prefetch = fitting;
    return true;
  }

  /** Begins again with another prefetch. Messages that come meanwhile are kept. */
  async #restart(): Promise<void> {
    await this.#cancel();
    if (!this.#end && !this.#excess) await this.start();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

const cancelled = (queue: string): PenstockError =>
  rabbitmqError('rabbitmq_consumer_cancelled', `The server ended the consumer of ${queue}`, {
    hint: 'The queue was deleted, or moves to another node. The job connects again.',
  });

/** Settles the deliveries of a channel in any order. Those of one turn leave together, with as few frames as possible. */
class Acks {
  readonly #channel: OpenChannel<Channel>;
  readonly #failed: (error: PenstockError) => void;
  /** Tags that are not settled at the server, in order. */
  readonly #open = new Set<number>();
  #due: number[] = [];

  constructor(channel: OpenChannel<Channel>, failed: (error: PenstockError) => void) {
    this.#channel = channel;
    this.#failed = failed;
  }

  arrived(tag: number): void {
    this.#open.add(tag);
  }

  acknowledge(tag: number): void {
    if (this.#due.length === 0) setImmediate(() => this.send());
    this.#due.push(tag);
  }

  /** The queue is to send it again, perhaps to another consumer. */
  giveBack(tag: number): void {
    this.#open.delete(tag);
    this.#sends((raw) => raw.nack(delivery(tag), false, true));
  }

  /** Never throws. */
  send(): void {
    const due = this.#due;
    this.#due = [];
    if (due.length === 0) return;
    for (const tag of due) this.#open.delete(tag);
    const [first = Number.POSITIVE_INFINITY] = this.#open;
    this.#sends((raw) => {
      const upTo = due.reduce((last, tag) => (tag < first ? Math.max(last, tag) : last), 0);
      if (upTo > 0) raw.ack(delivery(upTo), true);
      for (const tag of due) if (tag > first) raw.ack(delivery(tag), false);
    });
  }

  /** The library throws on a channel that it is closing. */
  #sends(work: (raw: Channel) => void): void {
    if (!this.#channel.open) return;
    try {
      work(this.#channel.raw);
    } catch (error) {
      this.#failed(translated(error));
    }
  }
}

/** The library reads only the tag of a message. */
const delivery = (deliveryTag: number): Message => ({ fields: { deliveryTag } }) as Message;
