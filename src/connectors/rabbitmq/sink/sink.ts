import type { ConfirmChannel, Message, Options } from 'amqplib';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { PendingWrite } from '../../network/pending-write.ts';
import { columnsIn } from '../../network/template.ts';
import { given } from '../../network/tls.ts';
import { rabbitmqError, rabbitmqErrors, wrongKind } from '../config/errors.ts';
import type { RabbitmqProfile } from '../config/profile.ts';
import { type RabbitmqTable, sinkOf } from '../config/table.ts';
import { argumentsOf, kindOf } from '../connection/arguments.ts';
import { type Connection, connect, type OpenChannel, taskName } from '../connection/client.ts';
import { type Said, serverError, translated } from '../connection/translate.ts';
import { HeldBack } from './held-back.ts';
import {
  Addresses,
  blocked,
  headersTooLong,
  isTopicRefusal,
  namesTopic,
  rejected,
  takenByNone,
  tooLarge,
  topicForbidden,
  unroutable,
  withoutText,
} from './outgoing.ts';

type SinkContext = RunContext<RabbitmqProfile, RabbitmqTable>;

interface Limits {
  /** Fails if nothing that was sent is confirmed for this time. */
  confirmTimeoutMs: number;
  /** How long messages are held back that no queue takes, although all rows take the same way. */
  queuelessMs: number;
}

const defaults: Limits = { confirmTimeoutMs: 30_000, queuelessMs: 300_000 };

/** See `openSink` in the connector contract. */
export async function openSink(context: SinkContext, limits: Partial<Limits> = {}): Promise<Sink> {
  const { table, identity, signal } = context;
  const connection = await connect(context, taskName(identity), signal);
  try {
    await requireTarget(connection, table, signal);
    const writer = new SinkWriter(context, connection, { ...defaults, ...limits });
    await writer.open();
    signal.throwIfAborted();
    return writer;
  } catch (error) {
    connection.destroy();
    await connection.close();
    signal.throwIfAborted();
    throw error;
  }
}

/** Throws if the exchange is missing, or the queue or stream that the table names, or if it names a queue as a stream. */
async function requireTarget(
  connection: Connection,
  table: RabbitmqTable,
  signal: AbortSignal,
): Promise<void> {
  const { exchange, routing_key: key } = sinkOf(table);
  if (exchange === '' && columnsIn(key).length > 0) return;
  const channel = await connection.channel(signal);
  await channel.until(
    exchange === '' ? channel.raw.checkQueue(key) : channel.raw.checkExchange(exchange),
    signal,
  );
  await channel.close();
  if (!given(table.stream)) return;
  const found = await argumentsOf(connection, key, signal);
  if (found && kindOf(found) !== 'stream') throw wrongKind(key, false);
}

interface Sent {
  write: PendingWrite;
  index: number;
  message: Outgoing;
  key: string;
  options: Options.Publish;
}

/** Publishes messages; each counts as written when the server has confirmed it. */
class SinkWriter implements Sink {
  readonly #context: SinkContext;
  readonly #connection: Connection;
  readonly #sink: ReturnType<typeof sinkOf>;
  readonly #addresses: Addresses;
  #channel: OpenChannel<ConfirmChannel> | undefined;
  /** Writes with messages that were not sent, in order of the calls. */
  readonly #waiting: PendingWrite[] = [];
  readonly #pending = new Set<PendingWrite>();
  /** By the delivery tag of the channel, in order. */
  #sent = new Map<number, Sent>();
  /** Messages to send once more, before others: over a new channel, or now that there is a queue for them. */
  #again: Sent[] = [];
  readonly #heldBack: HeldBack<Sent>;
  /** No queue has taken any for too long: until one does, rows are refused. */
  #refusing = false;
  #tag = 0;
  /** The last of them that was returned: returns come in order. */
  #returned = 0;
  /** Returned messages whose queue is looked for, by its name. */
  readonly #lookups = new Map<string, Sent[]>();
  #lookingFor = 0;
  #full = false;
  #blocked = false;
  #limit = Number.POSITIVE_INFINITY;
  #failure: unknown;
  #confirmedAt = performance.now();
  readonly #over = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(context: SinkContext, connection: Connection, { confirmTimeoutMs, queuelessMs }: Limits) {
    const { table, signal, lost } = context;
    this.#context = context;
    this.#connection = connection;
    this.#sink = sinkOf(table);
    this.#addresses = new Addresses(this.#sink);
    this.#heldBack = new HeldBack<Sent>({
      longestMs: queuelessMs,
      signal: this.#over.signal,
      warn: () => this.#context.warn(takenByNone(this.#sink)),
      canSend: () => this.#sent.size === 0 && this.#channel?.open === true && !this.#blocked,
      send: (sent) => this.#publish(sent, (this.#channel as OpenChannel<ConfirmChannel>).raw),
      giveUp: (all) => this.#refuseAll(all),
      failed: (error) => this.#abandon(error),
    });
    connection.whenLost((error) => {
      this.#fail(error);
      lost?.(error);
    });
    connection.whenBlocked((reason) => this.#alarm(reason));
    signal.addEventListener('abort', this.#aborted, { once: true });
    this.#timer = setInterval(() => this.#checkConfirmations(confirmTimeoutMs), confirmTimeoutMs / 6);
  }

  /** Opens a channel, also after the server has closed one for a single message. */
  async open(): Promise<void> {
    try {
      const channel = await this.#connection.confirmChannel(this.#context.signal);
      const { raw } = channel;
      raw.on('ack', ({ deliveryTag, multiple }) => this.#confirmed(deliveryTag, multiple));
      raw.on('nack', () => this.#abandon(rejected(this.#sink)));
      raw.on('return', (message) => this.#unroutable(message));
      raw.on('drain', () => {
        this.#full = false;
        this.#send();
      });
      channel.whenClosed((said) => this.#channelClosed(said));
      this.#tag = 0;
      this.#returned = 0;
      this.#full = false;
      this.#channel = channel;
      this.#send();
    } catch (error) {
      this.#release();
      throw error;
    }
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure !== undefined) throw this.#failure;
    if (messages.length === 0) return [];
    const write = new PendingWrite(messages);
    this.#waiting.push(write);
    this.#pending.add(write);
    this.#send();
    try {
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async close(): Promise<void> {
    this.#release();
    const unconfirmed = this.#pending.size > 0;
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    if (unconfirmed) this.#connection.destroy();
    await this.#connection.close();
  }

  #release(): void {
    clearInterval(this.#timer);
    this.#context.signal.removeEventListener('abort', this.#aborted);
  }

  #send(): void {
    const { window } = this.#context;
    if (this.#heldBack.isWaiting) return;
    while (this.#failure === undefined && this.#channel?.open && !this.#full && !this.#blocked) {
      if (this.#sent.size + this.#lookingFor >= window) return;
      const sent = this.#again.shift() ?? this.#next();
      if (sent === undefined) return;
      this.#publish(sent, this.#channel.raw);
    }
  }

  /** The next message that can be sent; undefined if there is none. Refuses those that cannot. */
  #next(): Sent | undefined {
    for (let write = this.#waiting[0]; write; write = this.#waiting[0]) {
      const index = write.take();
      const message = write.messages[index];
      if (message === undefined) {
        this.#waiting.shift();
        continue;
      }
      try {
        const bytes = message.payload.length;
        if (bytes > this.#limit) throw tooLarge(bytes, this.#limit);
        const key = this.#addresses.keyOf(message);
        return { write, index, message, key, options: this.#addresses.optionsOf(message) };
      } catch (error) {
        write.refuse(index, asPenstockError(error));
      }
    }
    return undefined;
  }

  #publish(sent: Sent, raw: ConfirmChannel): void {
    if (this.#sent.size === 0) this.#confirmedAt = performance.now();
    try {
      this.#full = !raw.publish(this.#sink.exchange, sent.key, sent.message.payload, sent.options);
    } catch (error) {
      // The library encodes before it sends anything.
      if (error instanceof RangeError) sent.write.refuse(sent.index, headersTooLong(error));
      else this.#abandon(translated(error));
      return;
    }
    this.#tag += 1;
    this.#sent.set(this.#tag, sent);
  }

  #confirmed(tag: number, multiple: boolean): void {
    this.#confirmedAt = performance.now();
    if (!multiple) this.#settle(tag);
    else
      for (const each of this.#sent.keys()) {
        if (each > tag) break;
        this.#settle(each);
      }
    this.#send();
  }

  /** A message that was returned is not among them any more. */
  #settle(tag: number): void {
    const sent = this.#sent.get(tag);
    if (sent === undefined) return;
    this.#sent.delete(tag);
    this.#refusing = false;
    this.#again.unshift(...this.#heldBack.release());
    sent.write.confirm();
  }

  /**
   * A message that no queue takes comes back before it is confirmed. It has no tag: it is the first one like it after the last one
   * that came back. Messages alike in everything that is compared cannot be told apart by any reader either.
   */
  #unroutable({ fields, content, properties }: Message): void {
    for (const [tag, sent] of this.#sent) {
      if (tag <= this.#returned || sent.key !== fields.routingKey) continue;
      const { headers = {}, messageId } = sent.options;
      if (!sent.message.payload.equals(content) || properties.messageId !== messageId) continue;
      if (JSON.stringify(headers) !== JSON.stringify(properties.headers ?? {})) continue;
      this.#returned = tag;
      this.#sent.delete(tag);
      if (this.#sink.exchange === '') this.#lookFor(sent);
      else if (this.#addresses.alike && !this.#refusing) this.#heldBack.add(sent);
      else sent.write.refuse(sent.index, unroutable(this.#sink));
      return;
    }
    this.#abandon(
      rabbitmqError('rabbitmq_refused', 'The server returns a message that was not sent', {
        hint: 'Look at what is between Penstock and the server.',
      }),
    );
  }

  #refuseAll(all: readonly Sent[]): void {
    this.#refusing = true;
    for (const { write, index } of all) write.refuse(index, unroutable(this.#sink));
    this.#send();
  }

  /** A message also comes back while its queue starts, moves or has no leader. Refuses it only if there is no queue. */
  #lookFor(sent: Sent): void {
    const alike = this.#lookups.get(sent.key);
    this.#lookingFor += 1;
    if (alike) alike.push(sent);
    else this.#lookups.set(sent.key, [sent]);
    if (this.#lookingFor === 1) void this.#lookUp();
  }

  /** One queue at a time, each on a channel of its own: the server closes it for one that is missing. */
  async #lookUp(): Promise<void> {
    try {
      for (const [key] of this.#lookups) {
        await this.#requireMissing(key);
        const returned = this.#lookups.get(key) ?? [];
        this.#lookups.delete(key);
        this.#lookingFor -= returned.length;
        for (const { write, index } of returned) write.refuse(index, unroutable(this.#sink));
        this.#send();
      }
    } catch (error) {
      this.#abandon(error);
    }
  }

  /** Throws unless there is no such queue. Errors do not have its name, which a row may have given. */
  async #requireMissing(key: string): Promise<void> {
    const { signal } = this.#context;
    const channel = await this.#connection.channel(signal);
    try {
      await channel.until(channel.raw.checkQueue(key), signal);
    } catch (error) {
      const known = translated(error);
      if ((known.code as string) === 'rabbitmq_queue_missing') return;
      throw known.code in rabbitmqErrors ? withoutText(known) : known;
    }
    throw rabbitmqError('rabbitmq_unavailable', 'The queue takes no messages for now, though it exists', {
      hint: 'It may be starting or electing a leader. If it lasts, look at the log of the server.',
    });
  }

  /** The server closes the channel for one message. Without it all that is not confirmed is sent again. */
  #channelClosed(said: Said): void {
    const [, limit] = /is larger than configured max size (\d+)/.exec(said.text) ?? [];
    if (limit !== undefined) this.#limit = Number(limit);
    const open = [...this.#heldBack.release([...this.#sent.values()]), ...this.#again];
    const forbidden = isTopicRefusal(said) ? open.find(({ key }) => namesTopic(said, key))?.key : undefined;
    const isRefused = ({ message, key }: Sent): boolean =>
      limit === undefined ? key === forbidden : message.payload.length > Number(limit);
    const refused = open.filter(isRefused);
    if (refused.length === 0) {
      this.#abandon(isTopicRefusal(said) ? topicForbidden(this.#sink.exchange) : serverError(said));
      return;
    }
    this.#sent = new Map();
    this.#again = open.filter((sent) => !isRefused(sent));
    for (const { write, index, message } of refused) {
      const bytes = message.payload.length;
      write.refuse(
        index,
        limit === undefined ? topicForbidden(this.#sink.exchange) : tooLarge(bytes, this.#limit),
      );
    }
    void this.#reopen();
  }

  async #reopen(): Promise<void> {
    try {
      await this.open();
    } catch (error) {
      this.#abandon(error);
    }
  }

  #alarm(reason: string | undefined): void {
    this.#confirmedAt = performance.now();
    this.#blocked = reason !== undefined;
    if (reason !== undefined) this.#context.warn(blocked(reason));
    else this.#send();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#over.abort(this.#failure);
    this.#waiting.length = 0;
    for (const write of this.#pending) write.fail(this.#failure);
  }

  /** Fails, and ends the connection: it is not known what the server has. */
  #abandon(error: unknown): void {
    this.#release();
    this.#fail(error);
    this.#connection.destroy();
  }

  /** Heartbeats do not notice a server that confirms nothing. During an alarm it does not. */
  #checkConfirmations(ms: number): void {
    if (this.#blocked || this.#sent.size === 0 || performance.now() - this.#confirmedAt < ms) return;
    this.#abandon(
      rabbitmqError('rabbitmq_not_answered', `The server confirmed no message for ${ms} ms`, {
        hint: 'Check the load of the server and its disk.',
      }),
    );
  }

  readonly #aborted = (): void => this.#abandon(this.#context.signal.reason);
}
