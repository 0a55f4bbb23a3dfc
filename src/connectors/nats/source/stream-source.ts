import { createInbox, type Msg, type Subscription } from '@nats-io/transport-node';
import { asPenstockError, type PenstockError } from '../../../errors.ts';
import type { Delivery, FoundSession, RunContext, Source } from '../../connector.ts';
import { natsError } from '../config/errors.ts';
import type { NatsProfile } from '../config/profile.ts';
import { consumerName } from '../config/session.ts';
import {
  ackWaitMs,
  filtersOf,
  type JetStreamSource,
  jetStreamSourceOf,
  type NatsTable,
} from '../config/table.ts';
import type { Connection } from '../connection/client.ts';
import { type AckSubject, metadataOf, parseAckSubject, payloadOf } from '../connection/delivery.ts';
import { apiPrefix, JetStream } from '../connection/jetstream.ts';
import { translated } from '../connection/translate.ts';

export type SourceContext = RunContext<NatsProfile, NatsTable>;

/** Maximum size of messages, with their headers, that are not acknowledged. */
const maxBytes = 64 * 1024 * 1024;
/**
 * nats-server 2.9 sends a message that is due again to a pull whose client is gone: the message then waits once more, and loses
 * its place. So a pull is short, and is over before messages are due that were held when it began.
 */
const pullMs = 2_000;
/** By how much later a pull may be over for the server, which may be busy when it comes. */
const lateMs = 300;
/** Without a response for this time the consumer may be gone: the server ignores a pull from one that does not exist. */
const silenceMs = 3 * pullMs;
const tickMs = 1_000;
/** Size of a pull for messages of a drain that are to come again. It may bring newer ones, which are held until the end. */
const drainBatch = 10;
/** Minimum time between warnings of messages that were removed. */
const removedEveryMs = 60_000;

/** Reads a stream with a durable consumer that the tasks of the source share. */
export async function openStreamSource(
  context: SourceContext,
  source: JetStreamSource,
  connection: Connection,
): Promise<Source> {
  const { profile, identity, session, signal } = context;
  const jetStream = await JetStream.of(connection, profile, signal);
  const name = consumerName(identity);
  const reader = new StreamSource(context, source, connection, jetStream);
  if (session?.drain) {
    await reader.openDraining();
    return reader;
  }
  const { info, existed } = await jetStream.ensureConsumer(source, name);
  const lost = session?.known === true && !existed;
  if (lost && identity.taskIndex === 0) context.warn(consumerLost(source.stream));
  const found = { resumed: existed, lost, settled: removeFormer(context, source, jetStream) };
  if (existed && filtersOf(source).length === 0 && source.ackPolicy !== 'None') {
    const { state } = await jetStream.stream(source.stream);
    const unread = state.first_seq - 1 - info.delivered.stream_seq;
    if (unread > 0 && identity.taskIndex === 0) context.warn(messagesRemoved(source.stream, unread));
  }
  await reader.open(found);
  return reader;
}

/** Removes the consumers that the source had on other streams. Never rejects. */
async function removeFormer(
  { session, identity, warn, logger }: SourceContext,
  { stream }: JetStreamSource,
  jetStream: JetStream,
): Promise<void> {
  if (identity.taskIndex > 0) return;
  const streams = (session?.former ?? []).flatMap((table) => jetStreamSourceOf(table)?.stream ?? []);
  for (const former of new Set(streams)) {
    if (former === stream) continue;
    await jetStream.removeConsumer(former, consumerName(identity)).catch((error: unknown) => {
      const { code } = asPenstockError(error);
      logger.warn({ code, stream: former }, 'former consumer cannot be removed');
      if (!asPenstockError(error).passing) warn(asPenstockError(error));
    });
  }
}

const consumerLost = (stream: string): PenstockError =>
  natsError('nats_consumer_lost', `The stream ${stream} no longer has the consumer of this source`, {
    hint: 'It was created again by the deliver policy of the table. Check who deletes consumers, and inactiveThreshold.',
  });

const messagesRemoved = (stream: string, count: number): PenstockError =>
  natsError(
    'nats_messages_removed',
    `${count} message${count === 1 ? ' was' : 's were'} removed from the stream ${stream} before they were read`,
    { hint: 'Raise max_age, max_msgs or max_bytes of the stream.', facts: { stream, count } },
  );

const consumerDeleted = (): PenstockError =>
  natsError('nats_consumer_deleted', 'The consumer of this source was deleted, or its stream', {
    hint: 'The job connects again, and creates the consumer if the stream still exists.',
  });

const refusedToSend = (status: number, description: string): PenstockError =>
  natsError('nats_refused', `The server refuses to send messages: ${description} (${status})`, {
    hint: 'Check maxBatch, maxBytes and maxExpires of the table, and the limits of the consumer.',
    facts: { status },
  });

/** The source fails rather than lose the message. */
const largerThan = (bytes: number, configured: boolean): PenstockError =>
  natsError('nats_message_too_large', `The stream has a message that is larger than ${bytes} bytes`, {
    hint: configured
      ? 'Raise maxBytes of the table (consumer.max_bytes) above the size of the message, its headers and its subjects.'
      : 'The source reads no message of this size. Delete it from the stream, or send smaller ones.',
    facts: { bytes },
  });

/** A message that is handed out and not acknowledged to the server. */
interface Entry {
  reply: string;
  bytes: number;
  done: boolean;
  /** When the server last heard that it is in progress. */
  heldSince: number;
}

/** With the headers and both subjects. The library does not declare it; the headers need no parsing for it. */
const sizeOf = (message: Msg): number => (message as Msg & { size(): number }).size();

class StreamSource implements Source {
  session: FoundSession | undefined;
  readonly #context: SourceContext;
  readonly #source: JetStreamSource;
  readonly #connection: Connection;
  readonly #jetStream: JetStream;
  readonly #name: string;
  readonly #window: number;
  readonly #acknowledges: boolean;
  readonly #inbox: string;
  readonly #nextSubject: string;
  #subscription: Subscription | undefined;
  #ready: Delivery[] = [];
  /** In order of receipt, which is the order of acknowledgements. */
  #entries: Entry[] = [];
  #first = 0;
  #bytes = 0;
  /** Number of messages that the server may still send for the pull that is under way; 0 if none is. */
  #pulled = 0;
  #pulls = 0;
  #pullEnds = 0;
  /** Of the last pull: how many bytes it asked for. */
  #pullBytes = 0;
  /** Whether it has brought a message. */
  #pullCame = false;
  #heardAt = 0;
  /** After a message was too large for what was left of the bytes: more must be free than then. */
  #minBytes = 0;
  /** Times at which nothing is pulled, after the server was too busy. */
  #notBefore = 0;
  #verifying = false;
  #ended = false;
  #failure: unknown;
  #closing: Promise<void> | undefined;
  #changed = Promise.withResolvers<void>();
  #timer: NodeJS.Timeout | undefined;
  #last: AckSubject | undefined;
  #removed = 0;
  #removedAt = Number.NEGATIVE_INFINITY;
  /** Of a drain: the last message of the stream when it began. */
  #drainTo: bigint | undefined;
  /** Whether the server has sent everything up to it, at least once. */
  #pastGoal = false;
  /** Whether others hold messages up to it, such as a task that has crashed. */
  #awaitsOthers = true;
  /** Newer messages by sequence. They are given back when the source is closed: at once, they would only come again. */
  readonly #beyond = new Map<bigint, Pick<Entry, 'reply' | 'heldSince'>>();

  constructor(context: SourceContext, source: JetStreamSource, connection: Connection, jetStream: JetStream) {
    const { maxAckPending = -1 } = source;
    this.#context = context;
    this.#source = source;
    this.#connection = connection;
    this.#jetStream = jetStream;
    this.#name = consumerName(context.identity);
    this.#window = maxAckPending > 0 ? Math.min(context.window, maxAckPending) : context.window;
    this.#acknowledges = source.ackPolicy !== 'None';
    this.#inbox = createInbox(connection.inboxPrefix);
    this.#nextSubject = `${apiPrefix(context.profile)}.CONSUMER.MSG.NEXT.${source.stream}.${this.#name}`;
  }

  async open(found: FoundSession): Promise<void> {
    const { signal } = this.#context;
    this.session = found;
    this.#connection.whenLost((error) => this.#fail(error));
    this.#connection.onError((error) => this.#fail(error));
    const callback = (error: Error | null, message: Msg): void => {
      if (error) this.#fail(translated(error));
      else this.#received(message);
    };
    this.#subscription = this.#connection.nc.subscribe(`${this.#inbox}.*`, { callback });
    await this.#connection.settle(signal);
    if (this.#failure !== undefined) throw this.#failure;
    signal.addEventListener('abort', this.#aborted, { once: true });
    this.#timer = setInterval(() => this.#tick(), tickMs);
    this.#pull();
  }

  /**
   * Reads to the end that the stream has now, and ends when all of it is acknowledged. Only the first task does so: the others share its
   * consumer.
   */
  async openDraining(): Promise<void> {
    const { identity } = this.#context;
    const found: FoundSession = { resumed: false, lost: false, settled: Promise.resolve() };
    const info =
      identity.taskIndex === 0 ? await this.#jetStream.consumer(this.#source.stream, this.#name) : undefined;
    if (!info) {
      this.session = found;
      this.#ended = true;
      return;
    }
    const { state } = await this.#jetStream.stream(this.#source.stream);
    this.#drainTo = BigInt(state.last_seq);
    this.#pastGoal = info.delivered.stream_seq >= state.last_seq;
    await this.open({ ...found, resumed: true });
    void this.#untilDrained().catch((error: unknown) => this.#fail(error));
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ready.length > 0) {
        const batch = this.#ready;
        this.#ready = [];
        yield batch;
      } else if (this.#ended) return;
      else await this.#changed.promise;
    }
  }

  async drain(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#wake();
    // The server may have sent messages before it knows; they go back to it.
    await this.#unsubscribe();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#ended = true;
    this.#ready = [];
    clearInterval(this.#timer);
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#wake();
    if (this.#failure !== undefined) return this.#connection.destroy();
    await this.#unsubscribe();
    // Otherwise the server would send them again only after the acknowledgement wait.
    // One delay for all: with the time left for each, a later one could be due first.
    const delayMs = this.#giveBackMs;
    for (const { reply } of [...this.#held(), ...this.#beyond.values()]) this.#giveBack(reply, delayMs);
    await this.#connection.settle(AbortSignal.timeout(2_000)).catch(() => {});
    await this.#connection.close();
  }

  async #unsubscribe(): Promise<void> {
    const subscription = this.#subscription;
    this.#subscription = undefined;
    if (!subscription || this.#failure !== undefined) return;
    await this.#connection.until(subscription.drain(), AbortSignal.timeout(2_000)).catch(() => {});
  }

  #held(): Entry[] {
    return this.#entries.slice(this.#first);
  }

  get #unsettled(): number {
    return this.#entries.length - this.#first;
  }

  #received(message: Msg): void {
    this.#heardAt = performance.now();
    const { reply } = message;
    const stored = reply === undefined ? undefined : parseAckSubject(reply);
    if (reply === undefined || stored === undefined) {
      this.#status(message);
      return;
    }
    this.#pulled = Math.max(0, this.#pulled - 1);
    this.#pullCame = true;
    this.#minBytes = 0;
    if (this.#ended || this.#failure !== undefined || this.#unsettled >= this.#context.window) {
      this.#giveBack(reply);
      return;
    }
    if (this.#drainTo !== undefined && stored.sequence > this.#drainTo) {
      this.#pastGoal = true;
      this.#notBefore = performance.now() + tickMs;
      this.#beyond.set(stored.sequence, { reply, heldSince: performance.now() });
      return;
    }
    this.#count(stored);
    this.#take(message, reply, stored);
    if (this.#pulled === 0) this.#pull();
  }

  #take(message: Msg, reply: string, stored: AckSubject): void {
    const payload = payloadOf(message);
    const receivedAt = performance.timeOrigin + performance.now();
    const bytes = sizeOf(message);
    const entry: Entry = { reply, bytes, done: false, heldSince: performance.now() };
    this.#entries.push(entry);
    this.#bytes += bytes;
    let metadata: Delivery['metadata'] | undefined;
    this.#ready.push({
      payload,
      receivedAt,
      get metadata() {
        metadata ??= metadataOf(message, stored, receivedAt);
        return metadata;
      },
      ack: () => this.#acknowledged(entry),
    });
    this.#wake();
  }

  #acknowledged(entry: Entry): void {
    if (entry.done) return;
    entry.done = true;
    const closed = this.#failure !== undefined || this.#closing !== undefined;
    for (let next = this.#entries[this.#first]; next?.done; next = this.#entries[this.#first]) {
      this.#first += 1;
      this.#bytes -= next.bytes;
      if (!closed) this.#respond(next.reply, '+ACK');
    }
    if (this.#first > 1_000 || this.#first === this.#entries.length) {
      this.#entries = this.#held();
      this.#first = 0;
    }
    this.#pull();
  }

  /** Time until the last pull is over: see `pullMs`. */
  get #giveBackMs(): number {
    return Math.max(0, this.#pullEnds - performance.now()) + lateMs;
  }

  /** Gives a message back to the server, which sends it again after the delay. */
  #giveBack(reply: string, delayMs = this.#giveBackMs): void {
    this.#respond(reply, `-NAK {"delay":${Math.round(delayMs * 1_000_000)}}`);
  }

  #respond(reply: string, word: '+ACK' | '+WPI' | `-NAK${string}`): void {
    if (!this.#acknowledges || this.#connection.nc.isClosed()) return;
    this.#connection.nc.publish(reply, word);
  }

  /** Asks for as many messages as the window has room for. One request at a time: it is over when all of them have come. */
  #pull(): void {
    if (this.#pulled > 0 || this.#subscription === undefined) return;
    if (this.#ended || this.#failure !== undefined || performance.now() < this.#notBefore) return;
    if (this.#pastGoal && !this.#awaitsOthers) return;
    const { maxBatch = 100_000, maxExpires = pullMs / 1000 } = this.#source;
    const most = this.#pastGoal ? Math.min(drainBatch, maxBatch) : maxBatch;
    const room = Math.min(this.#window - this.#unsettled, most);
    const bytes = Math.min(maxBytes - this.#bytes, this.#maxPullBytes);
    if (room <= 0 || bytes <= 0 || (bytes < this.#minBytes && this.#unsettled > 0)) return;
    const expiresMs = Math.min(pullMs, maxExpires * 1000);
    const request = { batch: room, max_bytes: bytes, expires: expiresMs * 1_000_000 };
    this.#pullEnds = performance.now() + expiresMs;
    this.#pullBytes = bytes;
    this.#pullCame = false;
    this.#pulled = room;
    this.#pulls += 1;
    this.#heardAt = performance.now();
    this.#connection.nc.publish(this.#nextSubject, JSON.stringify(request), {
      reply: `${this.#inbox}.${this.#pulls}`,
    });
  }

  get #maxPullBytes(): number {
    return Math.min(this.#source.maxBytes ?? maxBytes, maxBytes);
  }

  /** A message without a payload, about a pull. */
  #status({ subject, headers }: Msg): void {
    const { code = 0, description = '' } = headers ?? {};
    const isCurrent = subject === `${this.#inbox}.${this.#pulls}`;
    if (code === 100 || !isCurrent) return;
    this.#pulled = 0;
    const said = description.toLowerCase();
    const isConflict = code === 409;
    if (isConflict && /consumer deleted|stream deleted/.test(said)) this.#fail(consumerDeleted());
    else if (code === 503) this.#verify();
    else if (isConflict && /maxwaiting|maxackpending|leadership|shutdown|no leader/.test(said))
      this.#notBefore = performance.now() + tickMs;
    else if (isConflict && said.includes('message size exceeds')) this.#tooLarge();
    else if (code === 404 || code === 408 || (isConflict && said.includes('batch completed'))) this.#pull();
    else this.#fail(refusedToSend(code, description));
  }

  /** The next message is larger than what the pull had left. */
  #tooLarge(): void {
    // Messages that have come may be acknowledged by now: only the limit of the pull tells whether waiting helps.
    if (!this.#pullCame) {
      if (this.#pullBytes >= this.#maxPullBytes) {
        this.#fail(largerThan(this.#pullBytes, this.#maxPullBytes < maxBytes));
        return;
      }
      this.#minBytes = this.#pullBytes + 1;
    }
    this.#pull();
  }

  #tick(): void {
    const now = performance.now();
    if (this.#pulled > 0 && now - this.#heardAt > silenceMs) this.#verify();
    this.#pull();
    const due = ackWaitMs(this.#source) / 3;
    for (const entry of [...this.#held(), ...this.#beyond.values()]) {
      if (now - entry.heldSince < due) continue;
      entry.heldSince = now;
      this.#respond(entry.reply, '+WPI');
    }
    if (this.#removed === 0 || now - this.#removedAt < removedEveryMs) return;
    this.#removedAt = now;
    this.#context.warn(messagesRemoved(this.#source.stream, this.#removed));
    this.#removed = 0;
  }

  /** A pull from a consumer that is gone gets no response: asks whether it is still there, and pulls again. */
  #verify(): void {
    if (this.#verifying) return;
    this.#verifying = true;
    this.#jetStream
      .consumer(this.#source.stream, this.#name)
      .then((found) => {
        this.#pulled = 0;
        if (found) this.#pull();
        else this.#fail(consumerDeleted());
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#verifying = false;
      });
  }

  /**
   * Counts messages that the stream removed unread: numbers that are missing between two, or with a filter, by which the number of
   * those that wait falls too much. Only of two deliveries in a row: between others, other tasks have had theirs.
   */
  #count(stored: AckSubject): void {
    const last = this.#last;
    this.#last = stored;
    if (!last || this.#source.deliverPolicy === 'LastPerSubject') return;
    const isNext = stored.consumerSequence === last.consumerSequence + 1;
    if (!isNext || stored.deliveries > 1 || last.deliveries > 1) return;
    const missing =
      filtersOf(this.#source).length === 0
        ? Number(stored.sequence - last.sequence) - 1
        : last.pending - 1 - stored.pending;
    if (missing > 0) this.#removed += missing;
  }

  async #untilDrained(): Promise<void> {
    const { stream } = this.#source;
    const goal = Number(this.#drainTo);
    while (!this.#ended && this.#failure === undefined) {
      // Before the request: the response need not count what comes after it.
      const beyond = this.#beyond.size;
      const held = beyond + this.#unsettled;
      const info = await this.#jetStream.consumer(stream, this.#name);
      const atEnd = !info || info.num_pending === 0 || info.delivered.stream_seq >= goal;
      this.#pastGoal ||= atEnd;
      const pending = info?.num_ack_pending ?? 0;
      this.#awaitsOthers = pending > held;
      if (atEnd && pending <= beyond && this.#unsettled === 0) {
        this.#ended = true;
        this.#wake();
        return;
      }
      const changed = this.#changed.promise;
      await Promise.race([changed, new Promise((resolve) => setTimeout(resolve, 250).unref())]);
    }
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    if (this.#failure !== undefined || this.#closing !== undefined) return;
    this.#failure = error;
    this.#ready = [];
    clearInterval(this.#timer);
    this.#wake();
    void this.#connection.destroy();
  }

  #wake(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
