import type { IPubcompPacket, IPubrecPacket, Packet } from 'mqtt-packet';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { ExactSink, Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, sinkOf } from '../config/table.ts';
import { pingOnTime } from '../connection/acks.ts';
import { exactlyOnceTogether } from '../connection/broker-tests.ts';
import { connect } from '../connection/client.ts';
import { taskClient } from '../connection/connect-request.ts';
import { type Connection, violation } from '../connection/connection.ts';
import { reportGrant, sessionExpirySecs } from '../connection/granted.ts';
import { qos2Unsupported } from '../connection/qos-downgrade.ts';
import { inWords, publishRefused, retainUnsupported } from '../connection/reason-codes.ts';
import { type Asked, unanswered } from '../connection/requests.ts';
import { warnOfRewriting } from '../connection/rewrites.ts';
import { PendingWrite, PublishHeads, refuseProperties, tooLarge } from './outgoing.ts';
import { PacketWriter, type PublishHead, publishSize } from './packet-writer.ts';
import { Silence } from './ticks.ts';

/**
 * A sink that writes each message once: QoS 2 in a session that lasts, with packet identifiers that the job has committed. See
 * `ExactSink` in the connector contract, and docs/decisions/0026-exact-sinks-keep-their-session.md.
 */

const maxIdentifier = 65_535;

/** Sessions that were not there, by identity, until their sink is used: the next connection finds them, but empty. */
const foundLost = new Set<string>();

const misused = (message: string): PenstockError => new PenstockError('internal', message);

/** Fails if nothing sent is confirmed for `confirmTimeoutMs`. */
export async function openExactSink(
  context: RunContext<MqttProfile, MqttTable>,
  confirmTimeoutMs = 30_000,
): Promise<Sink> {
  const { signal, exact } = context;
  const client = { ...taskClient(context), signal, prepare: pingOnTime };
  // With 3.1.1 a session that begins clean does not last.
  if (exact === 'begin') await (await connect(client)).close();
  const lasting = { clean: false, sessionExpirySecs: sessionExpirySecs(context.profile) };
  const connection = await connect({ ...client, ...lasting });
  try {
    if (!connection.limits.sessionPresent) foundLost.add(connection.identity);
    reportGrant(context, connection);
    void warnOfRewriting(context);
    const together = (await exactlyOnceTogether(context, connection)) ?? maxIdentifier;
    return new ExactMqttSink(context, connection, confirmTimeoutMs, together);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

/** A message between PUBLISH and PUBCOMP, or one of a former connection between PUBREL and PUBCOMP. */
interface InFlight {
  readonly identifier: number;
  /** `held`: the broker has taken it over, and knows the identifier. */
  state: 'published' | 'held' | 'released';
  readonly again: boolean;
  readonly write: PendingWrite | undefined;
  readonly index: number;
  readonly completed: PromiseWithResolvers<void>;
}

interface Chunk {
  write: PendingWrite;
  identifiers: readonly number[];
  again: boolean;
}

class ExactMqttSink implements Sink, ExactSink {
  readonly exact = this;
  readonly resumed: boolean;
  readonly maxInFlight: number;
  /** The test of a 3.1.1 broker may have a lower result than the one before. */
  readonly #maxAgain: number;
  readonly #connection: Connection;
  readonly #signal: AbortSignal;
  readonly #topic: string;
  readonly #retain: boolean;
  readonly #heads: PublishHeads;
  readonly #maxPacketSize: number;
  readonly #writer: PacketWriter;
  readonly #inFlight = new Map<number, InFlight>();
  readonly #usedIdentifiers = new Set<number>();
  #confirmationsDue = 0;
  readonly #waiting: Chunk[] = [];
  readonly #pending = new Set<PendingWrite>();
  readonly #confirmTimeoutMs: number;
  readonly #silence: Silence;
  #failure: unknown;

  constructor(
    context: RunContext<MqttProfile, MqttTable>,
    connection: Connection,
    confirmTimeoutMs: number,
    together: number,
  ) {
    const { table, signal } = context;
    const { limits, version, client } = connection;
    this.#connection = connection;
    this.#signal = signal;
    this.#topic = table.topic;
    this.resumed = limits.sessionPresent && !foundLost.has(connection.identity);
    this.#maxAgain = Math.min(limits.receiveMaximum, maxIdentifier);
    this.maxInFlight = Math.max(1, Math.min(together, this.#maxAgain));
    if (limits.maximumQos < 2) throw qos2Unsupported(table.topic, limits.maximumQos);
    if (version === 4) refuseProperties(table);
    this.#heads = new PublishHeads(table, version);
    this.#retain = sinkOf(table)?.retain ?? false;
    if (this.#retain && !limits.retain) throw retainUnsupported();
    const { maxPacketSize = limits.maximumPacketSize } = context.profile;
    this.#maxPacketSize = Math.min(limits.maximumPacketSize, maxPacketSize);
    this.#writer = new PacketWriter(client.stream, () => this.#send());
    connection.asked = () => (this.#confirmationsDue > 0 ? this.#asked : undefined);
    connection.whenLost((error) => {
      this.#fail(error);
      context.lost?.(error);
    });
    client.on('packetreceive', this.#received);
    this.#confirmTimeoutMs = confirmTimeoutMs;
    this.#silence = new Silence(
      confirmTimeoutMs,
      () => this.#confirmationsDue > 0,
      () => this.#confirmsNothing(),
    );
    signal.addEventListener('abort', this.#aborted, { once: true });
  }

  write(): Promise<Refusal[]> {
    return Promise.reject(misused('An exact sink has no write'));
  }

  async publish(
    messages: readonly { identifier: number; message: Outgoing }[],
    again: boolean,
  ): Promise<Refusal[]> {
    this.#use();
    if (messages.length === 0) return [];
    const max = this.#maxOf(again);
    if (messages.length > max) throw misused(`${messages.length} messages exceed the maximum of ${max}`);
    const identifiers = messages.map(({ identifier }) => identifier);
    const taken = identifiers.find((each) => this.#usedIdentifiers.has(each));
    if (taken !== undefined) throw misused(`The packet identifier ${taken} is in use`);
    for (const identifier of identifiers) this.#usedIdentifiers.add(identifier);
    const write = new PendingWrite(messages.map(({ message }) => message));
    this.#waiting.push({ write, again, identifiers });
    this.#pending.add(write);
    this.#send();
    try {
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async release(identifiers: readonly number[]): Promise<void> {
    this.#use();
    await Promise.all(identifiers.map((identifier) => this.#release(identifier)));
  }

  async close(): Promise<void> {
    this.#silence.stop();
    this.#signal.removeEventListener('abort', this.#aborted);
    const unconfirmed = this.#confirmationsDue > 0 || this.#pending.size > 0;
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    await (unconfirmed ? this.#connection.destroy() : this.#connection.close());
    this.#connection.client.off('packetreceive', this.#received);
  }

  #use(): void {
    if (this.#failure !== undefined) throw this.#failure;
    foundLost.delete(this.#connection.identity);
  }

  get #asked(): Asked {
    const unpublished = [...this.#inFlight.values()].some(({ state }) => state === 'published');
    return { packet: unpublished ? 'PUBLISH' : 'PUBREL', topic: this.#topic, qos: 2, retain: this.#retain };
  }

  #maxOf = (again: boolean): number => (again ? this.#maxAgain : this.maxInFlight);

  #send(): void {
    while (this.#failure === undefined && !this.#writer.full) {
      const chunk = this.#waiting[0];
      if (chunk === undefined || this.#inFlight.size >= this.#maxOf(chunk.again)) return;
      const index = chunk.write.take();
      if (index >= 0) this.#publish(chunk, index);
      else this.#waiting.shift();
    }
  }

  #publish({ write, identifiers, again }: Chunk, index: number): void {
    const { payload, row } = write.messages[index] as Outgoing;
    const identifier = identifiers[index] as number;
    let head: PublishHead;
    try {
      head = this.#heads.of(row);
      if (publishSize(head, payload.length, 2) > this.#maxPacketSize) throw tooLarge(this.#maxPacketSize);
    } catch (error) {
      this.#usedIdentifiers.delete(identifier);
      write.refuse(index, asPenstockError(error));
      return;
    }
    this.#add({ identifier, state: 'published', again, write, index, completed: Promise.withResolvers() });
    this.#writer.publish(head, payload, 2, this.#retain, identifier, again);
  }

  #add(message: InFlight): void {
    if (this.#confirmationsDue === 0) this.#silence.heard();
    this.#confirmationsDue += 1;
    this.#inFlight.set(message.identifier, message);
    this.#usedIdentifiers.add(message.identifier);
    message.completed.promise.catch(() => undefined);
  }

  async #release(identifier: number): Promise<void> {
    const known = this.#inFlight.get(identifier);
    const isUnpublished =
      known === undefined ? this.#usedIdentifiers.has(identifier) : known.state === 'published';
    if (isUnpublished) throw misused(`The message ${identifier} is not published yet`);
    if (known?.state === 'released') return known.completed.promise;
    const { again = true, write, index = 0 } = known ?? {};
    const completed = Promise.withResolvers<void>();
    this.#add({ identifier, state: 'released', again, write, index, completed });
    this.#writer.release(identifier);
    return completed.promise;
  }

  /** MQTT.js ignores confirmations of messages that it has not sent itself. */
  readonly #received = (packet: Packet): void => {
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp') return;
    this.#silence.heard();
    const message = this.#inFlight.get(packet.messageId ?? 0);
    if (message === undefined || this.#failure !== undefined) return;
    if (packet.cmd === 'puback') this.#fails(qos2Unsupported(this.#topic, 1));
    else if (packet.cmd === 'pubrec') this.#taken(message, packet);
    else this.#completed(message, packet);
  };

  #taken(message: InFlight, { reasonCode = 0, properties }: IPubrecPacket): void {
    const { write, index, again } = message;
    if (message.state !== 'published') return;
    const inUse = reasonCode === 0x91; /* packet identifier in use */
    // Some brokers refuse the identifier of a message that they have: it was published before.
    if (reasonCode < 128 || (inUse && again)) {
      message.state = 'held';
      this.#confirmationsDue -= 1;
      write?.confirm();
      return;
    }
    const text = properties?.reasonString;
    const error = publishRefused(this.#topic, reasonCode, text);
    if (inUse) this.#fails(violation(`PUBREC has the reason ${inWords(reasonCode, text)}`));
    else if (error.passing) this.#fails(error);
    else {
      this.#remove(message);
      write?.refuse(index, error);
      this.#send();
    }
  }

  #completed(message: InFlight, { reasonCode = 0, properties }: IPubcompPacket): void {
    if (message.state !== 'released')
      this.#fails(violation('PUBCOMP is the wrong response to a message without PUBREL'));
    else if (reasonCode >= 128 && reasonCode !== 0x92 /* packet identifier not found */)
      this.#fails(violation(`PUBCOMP has the reason ${inWords(reasonCode, properties?.reasonString)}`));
    else {
      this.#remove(message);
      message.completed.resolve();
      this.#send();
    }
  }

  #remove({ identifier }: InFlight): void {
    this.#inFlight.delete(identifier);
    this.#usedIdentifiers.delete(identifier);
    this.#confirmationsDue -= 1;
  }

  /** The keep-alive does not notice a broker that responds to pings but confirms no messages. */
  #confirmsNothing(): void {
    this.#fails(unanswered(this.#asked, this.#confirmTimeoutMs));
  }

  readonly #aborted = (): void => this.#fails(this.#signal.reason);

  #fails(error: unknown): void {
    this.#fail(error);
    void this.#connection.destroy();
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#writer.stop();
    this.#waiting.length = 0;
    for (const write of this.#pending) write.fail(this.#failure);
    for (const { completed } of this.#inFlight.values()) completed.reject(this.#failure);
  }
}
