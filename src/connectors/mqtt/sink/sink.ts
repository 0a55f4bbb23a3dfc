import type { Duplex } from 'node:stream';
import type { MqttClient } from 'mqtt';
import type { Packet } from 'mqtt-packet';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';
import { type MqttTable, qosOf, sinkOf } from '../config/table.ts';
import type { Qos } from '../config/topic.ts';
import { pingOnTime } from '../connection/acks.ts';
import { exactlyOnceTogether, publishTest } from '../connection/broker-tests.ts';
import { connect } from '../connection/client.ts';
import { taskClient } from '../connection/connect-request.ts';
import { type Connection, violation } from '../connection/connection.ts';
import { reportGrant } from '../connection/granted.ts';
import { type Confirming, PacketLane } from '../connection/packet-lane.ts';
import { SinkQos } from '../connection/qos-downgrade.ts';
import { inWords, publishRefused, retainUnsupported } from '../connection/reason-codes.ts';
import { type Asked, unanswered } from '../connection/requests.ts';
import { warnOfRewriting } from '../connection/rewrites.ts';
import {
  InFlightMessages,
  PendingWrite,
  PublishHeads,
  refuseProperties,
  type SentMessage,
  tooLarge,
} from './outgoing.ts';
import { PacketWriter, type PublishHead, publishSize } from './packet-writer.ts';
import { closesAt, fingerprint, fingerprintOf, Suspects } from './suspects.ts';
import { Silence } from './ticks.ts';

/** Connects with a clean session. Fails if nothing sent is confirmed for `confirmTimeoutMs`. See `openSink` in the contract. */
export async function openSink(
  context: RunContext<MqttProfile, MqttTable>,
  confirmTimeoutMs = 30_000,
): Promise<Sink> {
  const { signal } = context;
  let lane: PacketLane | undefined;
  const prepare = (client: MqttClient, socket: Duplex): void => {
    pingOnTime(client);
    lane = new PacketLane(client, socket, {});
  };
  const connection = await connect({ ...taskClient(context), signal, prepare });
  try {
    reportGrant(context, connection);
    void warnOfRewriting(context);
    const max = qosOf(context.table) === 2 ? await exactlyOnceTogether(context, connection) : undefined;
    const suspects = new Suspects(connection);
    await suspects.proveLink(connection, signal);
    const sink = new MqttSink(context, connection, suspects, confirmTimeoutMs, max);
    if (lane) lane.takers = { confirmed: sink.confirmed };
    return sink;
  } catch (error) {
    await connection.close();
    throw error;
  }
}

class MqttSink implements Sink {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;
  readonly #topic: string;
  readonly #heads: PublishHeads;
  readonly #sinkQos: SinkQos;
  readonly #suspects: Suspects;
  readonly #qos: Qos;
  readonly #retain: boolean;
  readonly #maxPacketSize: number;
  readonly #writer: PacketWriter;
  readonly #inFlight: InFlightMessages;
  /** Writes with unsent messages, in order of the calls. The caller bounds their number. */
  readonly #waiting: PendingWrite[] = [];
  /** QoS 0: completely encoded writes, and the value of `writtenBytes` at which each is done. */
  readonly #leaving: { write: PendingWrite; at: number }[] = [];
  readonly #pending = new Set<PendingWrite>();
  readonly #confirmTimeoutMs: number;
  readonly #silence: Silence;
  #failure: unknown;
  /** Whether a test message is unconfirmed, so that rows have to wait. */
  #testing = false;
  /** A message at which the broker probably closes the connection. */
  #aside: { write: PendingWrite; index: number } | undefined;

  constructor(
    context: RunContext<MqttProfile, MqttTable>,
    connection: Connection,
    suspects: Suspects,
    confirmTimeoutMs: number,
    max = Number.POSITIVE_INFINITY,
  ) {
    const { table, profile, window, signal } = context;
    const { limits, version, client } = connection;
    this.#connection = connection;
    this.#suspects = suspects;
    this.#signal = signal;
    this.#topic = table.topic;
    if (version === 4) refuseProperties(table);
    this.#heads = new PublishHeads(table, version);
    this.#sinkQos = new SinkQos(context, connection);
    this.#qos = this.#sinkQos.used;
    this.#confirmTimeoutMs = confirmTimeoutMs;
    this.#retain = sinkOf(table)?.retain ?? false;
    if (this.#retain && !limits.retain) throw retainUnsupported();
    const most = this.#qos === 2 ? Math.min(max, limits.receiveMaximum) : limits.receiveMaximum;
    this.#inFlight = new InFlightMessages(Math.max(1, Math.min(window, most)));
    this.#maxPacketSize = Math.min(
      limits.maximumPacketSize,
      profile.maxPacketSize ?? Number.POSITIVE_INFINITY,
    );
    this.#writer = new PacketWriter(client.stream, this.#written);
    connection.asked = () => (this.#inFlight.count > 0 ? this.#asked : undefined);
    connection.whenLost((reason) => {
      const { count } = this.#inFlight;
      if (count > 0) this.#sinkQos.lost(reason);
      const error = suspects.lost(reason, count, () => fingerprintOf(this.#heads, this.#inFlight.first()));
      this.#fail(error);
      context.lost?.(error);
    });
    client.on('packetreceive', this.#received);
    this.#silence = new Silence(
      confirmTimeoutMs,
      () => this.#inFlight.count > 0 || this.#testing,
      () => this.#confirmsNothing(),
    );
    signal.addEventListener('abort', this.#aborted, { once: true });
  }

  write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    if (messages.length === 0) return Promise.resolve([]);
    const write = new PendingWrite(messages, this.#over);
    this.#waiting.push(write);
    this.#pending.add(write);
    this.#send();
    return write.done;
  }

  readonly #over = (write: PendingWrite, refusals: number): void => {
    this.#pending.delete(write);
    if (refusals > 0) this.#suspects.release();
  };

  async close(): Promise<void> {
    this.#silence.stop();
    this.#signal.removeEventListener('abort', this.#aborted);
    const unconfirmed = this.#inFlight.count > 0 || this.#pending.size > 0;
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    await (unconfirmed ? this.#connection.destroy() : this.#connection.close());
    this.#connection.client.off('packetreceive', this.#received);
  }

  /** The keep-alive does not notice a broker that responds to pings but confirms no messages. */
  #confirmsNothing(): void {
    this.#fail(unanswered(this.#asked, this.#confirmTimeoutMs));
    void this.#connection.destroy();
  }

  #send(): void {
    while (this.#failure === undefined && !this.#full && !this.#writer.full) {
      const write = this.#waiting[0];
      if (write === undefined) return;
      const index = write.take();
      if (index >= 0) this.#publish(write, index);
      else {
        this.#waiting.shift();
        if (this.#qos === 0) this.#leaving.push({ write, at: this.#writer.takenBytes });
        this.#handOver();
      }
    }
  }

  /** Refuses a message at which the broker closes the connection, now or once that is proven. */
  #setAside(write: PendingWrite, index: number, message: string): boolean {
    if (this.#suspects.convicts(message)) {
      write.refuse(index, closesAt(this.#topic));
      return true;
    }
    if (!this.#suspects.accuses(message)) return false;
    this.#proveRights({ write, index });
    return true;
  }

  /** The broker accepts messages: only the one that was set aside is at fault. */
  #acquit(): void {
    this.#suspects.confirmed();
    this.#aside?.write.refuse(this.#aside.index, closesAt(this.#topic));
    this.#aside = undefined;
  }

  /** If no other message follows that the broker could confirm, a test message shows that it accepts any. */
  #proveRights(aside: { write: PendingWrite; index: number }): void {
    this.#aside = aside;
    const test = (): void => {
      if (!this.#aside || this.#failure !== undefined || this.#inFlight.count > 0) return;
      this.#testing = true;
      publishTest(this.#connection, (isConfirmed) => {
        this.#testing = false;
        if (isConfirmed) this.#acquit();
        this.#send();
      });
    };
    setTimeout(test, 1_000).unref();
  }

  get #asked(): Asked {
    const packet = this.#inFlight.first()?.released ? 'PUBREL' : 'PUBLISH';
    return { packet, topic: this.#topic, qos: this.#qos, retain: this.#retain };
  }

  get #full(): boolean {
    return this.#testing || this.#inFlight.full || (this.#suspects.careful && this.#inFlight.count > 0);
  }

  #handOver(): void {
    while (this.#leaving[0] !== undefined && this.#leaving[0].at <= this.#writer.writtenBytes) {
      this.#leaving.shift()?.write.finish();
    }
  }

  #publish(write: PendingWrite, index: number): void {
    const { payload, row } = write.messages[index] as Outgoing;
    let head: PublishHead;
    try {
      head = this.#heads.of(row);
    } catch (error) {
      write.refuse(index, asPenstockError(error));
      return;
    }
    if (publishSize(head, payload.length, this.#qos) > this.#maxPacketSize) {
      write.refuse(index, tooLarge(this.#maxPacketSize));
      return;
    }
    if (this.#suspects.comparing && this.#setAside(write, index, fingerprint(head.topic, payload))) return;
    const packetId = this.#qos === 0 ? 0 : this.#inFlight.add(write, index);
    this.#writer.publish(head, payload, this.#qos, this.#retain, packetId);
  }

  readonly #written = (): void => {
    this.#handOver();
    this.#send();
  };

  /** See `PacketLane`. */
  readonly confirmed = (kind: Confirming, packetId: number, reasonCode: number): boolean => {
    const sent = this.#inFlight.find(packetId);
    if (sent === undefined) return false;
    this.#silence.heard();
    this.#confirmed(sent, kind, reasonCode);
    return true;
  };

  /** Confirmations that the lane leaves to MQTT.js, which ignores those of messages that it has not sent itself. */
  readonly #received = (packet: Packet): void => {
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp') return;
    this.#silence.heard();
    const sent = this.#inFlight.find(packet.messageId ?? 0);
    if (sent !== undefined)
      this.#confirmed(sent, packet.cmd, packet.reasonCode, packet.properties?.reasonString);
  };

  #confirmed(sent: SentMessage, cmd: Confirming, reasonCode = 0, reason?: string): void {
    const repeated = cmd === 'pubrec' && sent.released;
    const due = this.#qos === 1 ? 'puback' : sent.released ? 'pubcomp' : 'pubrec';
    const confirmedAtQos1 = cmd === 'puback' && due === 'pubrec';
    if (confirmedAtQos1) this.#sinkQos.confirmedAtQos1();
    else if (cmd === due) this.#sinkQos.confirmed();
    if (cmd !== due && !repeated && !confirmedAtQos1) {
      this.#violated(`${cmd.toUpperCase()} is the wrong response to a QoS ${this.#qos} message`);
    } else if (reasonCode >= 128) {
      this.#refused(sent, cmd, reasonCode, reason);
    } else if (cmd === 'pubrec') {
      sent.released = true;
      this.#writer.release(sent.packetId);
    } else {
      const { write } = sent;
      this.#inFlight.remove(sent);
      this.#acquit();
      write?.confirm();
      this.#send();
    }
  }

  /** Refuses one message, or fails the sink if it cannot be known which messages the broker has. */
  #refused(sent: SentMessage, cmd: Confirming, reason: number, text: string | undefined): void {
    const { write, index } = sent;
    if (write === undefined) return;
    // The topic as in the table: errors must not contain values of a row.
    const error = publishRefused(this.#topic, reason, text);
    if (cmd === 'pubcomp' || reason === 0x91 /* packet identifier in use */) {
      this.#violated(`${cmd.toUpperCase()} has the reason ${inWords(reason, text)}`);
    } else if (error.passing) {
      this.#fail(error);
      void this.#connection.destroy();
    } else {
      this.#inFlight.remove(sent);
      write.refuse(index, error);
      this.#send();
    }
  }

  #violated(message: string): void {
    this.#fail(violation(message));
    void this.#connection.destroy();
  }

  readonly #aborted = (): void => {
    this.#fail(this.#signal.reason);
    void this.#connection.destroy();
  };

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#writer.stop();
    this.#waiting.length = 0;
    this.#leaving.length = 0;
    for (const write of this.#pending) write.fail(error);
  }
}
