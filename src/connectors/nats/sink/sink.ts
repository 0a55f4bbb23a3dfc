import { createInbox, type Msg } from '@nats-io/transport-node';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { PendingWrite } from '../../network/pending-write.ts';
import { columnsIn } from '../../network/template.ts';
import { natsError } from '../config/errors.ts';
import type { NatsProfile } from '../config/profile.ts';
import { connectionName } from '../config/session.ts';
import { covers } from '../config/subject.ts';
import { isJetStreamSink, type JetStreamSink, type NatsTable, sinkOf } from '../config/table.ts';
import { type Connection, connect } from '../connection/client.ts';
import { JetStream } from '../connection/jetstream.ts';
import { apiError, isForbidden, translated } from '../connection/translate.ts';
import { Addresses, tooLarge } from './outgoing.ts';

type SinkContext = RunContext<NatsProfile, NatsTable>;

/** Fails if nothing that was sent is confirmed for `confirmTimeoutMs`. See `openSink` in the connector contract. */
export async function openSink(context: SinkContext, confirmTimeoutMs = 30_000): Promise<Sink> {
  const { table, profile, identity, signal } = context;
  const sink = sinkOf(table);
  if (!sink) throw new Error('the table is a source');
  const connection = await connect(context, connectionName(identity), signal);
  try {
    if (!isJetStreamSink(sink)) {
      signal.throwIfAborted();
      return new CoreSinkWriter(context, connection, new Addresses(sink), confirmTimeoutMs);
    }
    const jetStream = await JetStream.of(connection, profile, signal);
    await requireStream(jetStream, sink);
    const writer = new StreamSinkWriter(
      context,
      connection,
      new Addresses(sink),
      confirmTimeoutMs,
      sink,
      jetStream,
    );
    await writer.open();
    return writer;
  } catch (error) {
    await connection.destroy();
    signal.throwIfAborted();
    throw error;
  }
}

/**
 * Throws `nats_stream_missing`, and `nats_subject_uncovered` if the stream does not have the subject. A user who may only publish
 * cannot ask.
 */
export async function requireStream(
  jetStream: Pick<JetStream, 'stream'>,
  { stream, subject }: JetStreamSink,
): Promise<string[] | undefined> {
  let subjects: string[];
  try {
    const { config } = await jetStream.stream(stream);
    subjects = config.subjects ?? [];
  } catch (error) {
    if (error instanceof PenstockError && isForbidden(error)) return undefined;
    throw error;
  }
  if (columnsIn(subject).length > 0 || subjects.some((each) => covers(each, subject))) return subjects;
  throw uncovered(stream, subject);
}

const uncovered = (stream: string, subject: string): PenstockError =>
  natsError('nats_subject_uncovered', `The stream ${stream} does not have the subject ${subject}`, {
    hint: `Add it: nats stream edit ${stream} --subjects '…,${subject}'.`,
    facts: { stream, subject },
  });

/** For a user who may not ask whether the stream has the subject: an election of a leader looks the same. */
const unanswered = (stream: string, subject: string): PenstockError =>
  natsError('nats_unavailable', `Nothing stores messages for the subject ${subject} now`, {
    hint:
      `JetStream may be electing a leader. If it lasts, no stream may have the subject: check the subjects of ${stream}, ` +
      `or let the user publish to $JS.API.STREAM.INFO.${stream}, by which the sink can tell.`,
    facts: { stream, subject },
  });

interface Sent {
  write: PendingWrite;
  index: number;
  subject: string;
}

/** Shared by both kinds of sinks: the order of writes, the window, and the end. */
abstract class Writer implements Sink {
  protected readonly connection: Connection;
  protected readonly signal: AbortSignal;
  protected readonly window: number;
  protected failure: unknown;
  protected confirmedAt = performance.now();
  readonly #addresses: Addresses;
  readonly #more: Readonly<Record<string, string>> | undefined;
  /** Writes with unsent messages, in order of the calls. */
  readonly #waiting: PendingWrite[] = [];
  readonly #pending = new Set<PendingWrite>();
  readonly #timer: NodeJS.Timeout;

  constructor(
    { window, signal, lost }: SinkContext,
    connection: Connection,
    addresses: Addresses,
    confirmTimeoutMs: number,
    more?: Readonly<Record<string, string>>,
  ) {
    this.connection = connection;
    this.signal = signal;
    this.window = window;
    this.#addresses = addresses;
    this.#more = more;
    connection.transport.drained = () => this.send();
    connection.whenLost((error) => {
      this.fail(error);
      lost?.(error);
    });
    connection.onError((error) => this.reported(error));
    signal.addEventListener('abort', this.#aborted, { once: true });
    this.#timer = setInterval(() => this.#checkConfirmations(confirmTimeoutMs), confirmTimeoutMs / 6);
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.failure !== undefined) throw this.failure;
    if (messages.length === 0) return [];
    const write = new PendingWrite(messages);
    this.#waiting.push(write);
    this.#pending.add(write);
    this.send();
    try {
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.signal.removeEventListener('abort', this.#aborted);
    const unconfirmed = this.#pending.size > 0;
    this.fail(new PenstockError('connection_lost', 'The sink was closed'));
    await (unconfirmed ? this.connection.destroy() : this.connection.close());
  }

  /** Number of messages that are sent and not confirmed. */
  protected abstract get inFlight(): number;
  /** Whether no more may be sent now. */
  protected abstract get busy(): boolean;
  /** Returns the subject for responses to the message. */
  protected abstract sent(message: Sent): string | undefined;
  /** Called when nothing more can be sent now. */
  protected abstract paused(): void;
  /** The server reports an error without ending the connection. */
  protected abstract reported(error: PenstockError): void;

  protected send(): void {
    while (this.failure === undefined && !this.busy && !this.connection.transport.full) {
      const write = this.#waiting[0];
      if (write === undefined) break;
      const index = write.take();
      if (index < 0) this.#waiting.shift();
      else this.#publish(write, index);
    }
    if (this.failure === undefined) this.paused();
  }

  protected fail(error: unknown): void {
    this.failure ??= error;
    this.#waiting.length = 0;
    for (const write of this.#pending) write.fail(this.failure);
  }

  /** Fails, and ends the connection: it is not known what the server has. */
  protected abandon(error: unknown): void {
    this.fail(error);
    void this.connection.destroy();
  }

  #publish(write: PendingWrite, index: number): void {
    const message = write.messages[index] as Outgoing;
    try {
      const subject = this.#addresses.subjectOf(message);
      const headers = this.#addresses.headersOf(message, this.#more);
      const limit = this.connection.info.max_payload;
      const bytes = message.payload.length + (headers ? sizeOf(headers) : 0);
      if (bytes > limit) throw tooLarge(bytes, limit);
      if (this.inFlight === 0) this.confirmedAt = performance.now();
      const reply = this.sent({ write, index, subject });
      this.connection.nc.publish(subject, message.payload, {
        ...(headers ? { headers } : {}),
        ...(reply === undefined ? {} : { reply }),
      });
    } catch (error) {
      const known = asPenstockError(error);
      if (known.code === 'internal') this.abandon(translated(error));
      else write.refuse(index, known);
    }
  }

  /** Pings do not notice a server that confirms nothing. */
  #checkConfirmations(ms: number): void {
    if (this.inFlight === 0 || performance.now() - this.confirmedAt < ms) return;
    this.abandon(
      natsError('nats_not_answered', `The server confirmed no message for ${ms} ms`, {
        hint: 'Check the load of the server and its disk.',
      }),
    );
  }

  readonly #aborted = (): void => this.abandon(this.signal.reason);
}

/** The library keeps the encoded form. */
const sizeOf = (headers: unknown): number => (headers as { encode(): Uint8Array }).encode().length;

interface PubAck {
  error?: { code?: number; err_code?: number; description?: string };
  stream?: string;
  seq?: number;
}

/** Publishes to a stream: each message is confirmed when it is stored. */
class StreamSinkWriter extends Writer {
  readonly #sink: JetStreamSink;
  readonly #jetStream: JetStream;
  readonly #inbox: string;
  readonly #sent = new Map<string, Sent>();
  #number = 0;

  constructor(
    context: SinkContext,
    connection: Connection,
    addresses: Addresses,
    confirmTimeoutMs: number,
    sink: JetStreamSink,
    jetStream: JetStream,
  ) {
    super(context, connection, addresses, confirmTimeoutMs, { 'Nats-Expected-Stream': sink.stream });
    this.#sink = sink;
    this.#jetStream = jetStream;
    this.#inbox = createInbox(connection.inboxPrefix);
  }

  async open(): Promise<void> {
    const callback = (error: Error | null, message: Msg): void => {
      if (error) this.abandon(translated(error));
      else this.#confirmed(message);
    };
    this.connection.nc.subscribe(`${this.#inbox}.*`, { callback });
    await this.connection.settle(this.signal);
    if (this.failure !== undefined) throw this.failure;
  }

  protected get inFlight(): number {
    return this.#sent.size;
  }

  protected get busy(): boolean {
    return this.#sent.size >= this.window;
  }

  protected sent(message: Sent): string {
    this.#number += 1;
    const token = String(this.#number);
    this.#sent.set(token, message);
    return `${this.#inbox}.${token}`;
  }

  protected paused(): void {}

  /** A message that the user may not publish gets no other response. */
  protected reported(error: PenstockError): void {
    if (!isForbidden(error)) return;
    const { subject } = error.facts;
    for (const [token, sent] of this.#sent) {
      if (sent.subject !== subject) continue;
      this.#sent.delete(token);
      sent.write.refuse(sent.index, error);
    }
    this.send();
  }

  #confirmed(message: Msg): void {
    const token = message.subject.slice(this.#inbox.length + 1);
    const sent = this.#sent.get(token);
    if (sent === undefined) return;
    this.confirmedAt = performance.now();
    // Nobody has the subject, or JetStream is not ready.
    if (message.headers?.code === 503) {
      void this.#unclaimed(token, sent);
      return;
    }
    const error = this.#errorIn(message);
    if (error?.passing) this.abandon(error);
    else this.#settle(token, sent, error);
  }

  #settle(token: string, sent: Sent, error: PenstockError | undefined): void {
    this.#sent.delete(token);
    if (error) sent.write.refuse(sent.index, error);
    else sent.write.confirm();
    this.send();
  }

  /** Refuses a message whose subject the stream surely does not have. Otherwise the stream may take it later. */
  async #unclaimed(token: string, sent: Sent): Promise<void> {
    const { stream, subject } = this.#sink;
    try {
      const { config } = await this.#jetStream.stream(stream);
      if (config.subjects?.some((each) => covers(each, sent.subject)))
        throw natsError('nats_unavailable', `The stream ${stream} does not respond`);
      // The subject as in the table: errors must not contain values of a row.
      this.#settle(token, sent, uncovered(stream, subject));
    } catch (error) {
      const known = asPenstockError(error);
      this.abandon(isForbidden(known) ? unanswered(stream, subject) : known);
    }
  }

  #errorIn(message: Msg): PenstockError | undefined {
    try {
      const ack = message.json<PubAck>();
      if (ack.error) return apiError(ack.error);
      if (typeof ack.seq === 'number' && ack.stream === this.#sink.stream) return undefined;
    } catch {
      // A response that is no JSON is none of JetStream's.
    }
    return natsError('nats_refused', 'Somebody else than JetStream responds to the message', {
      hint: 'Another client subscribes to the subject and responds: use other subjects for requests.',
    });
  }
}

/** Publishes to a subject: confirmed when the server has taken the messages, whether or not somebody receives them. */
class CoreSinkWriter extends Writer {
  /** Sent since the last PING. */
  #open: Sent[] = [];
  /** Sent before it. */
  #asked: Sent[] = [];

  protected get inFlight(): number {
    return this.#open.length + this.#asked.length;
  }

  protected get busy(): boolean {
    return this.inFlight >= this.window;
  }

  protected sent(message: Sent): undefined {
    this.#open.push(message);
  }

  /** The response to a PING confirms what was sent before it: the server processes a connection in order. */
  protected paused(): void {
    if (this.#asked.length > 0 || this.#open.length === 0) return;
    this.#asked = this.#open;
    this.#open = [];
    this.connection.settle(this.signal).then(
      () => {
        this.confirmedAt = performance.now();
        const confirmed = this.#asked;
        this.#asked = [];
        for (const { write } of confirmed) write.confirm();
        if (this.failure === undefined) this.send();
      },
      (error: unknown) => this.abandon(error),
    );
  }

  protected reported(error: PenstockError): void {
    if (!isForbidden(error)) return;
    const refuse = (sent: Sent): boolean => {
      if (sent.subject !== error.facts.subject) return true;
      sent.write.refuse(sent.index, error);
      return false;
    };
    this.#asked = this.#asked.filter(refuse);
    this.#open = this.#open.filter(refuse);
  }
}
