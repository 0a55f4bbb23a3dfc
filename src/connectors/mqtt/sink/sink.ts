import type { IPubackPacket, IPubcompPacket, IPubrecPacket, Packet } from 'mqtt-packet';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { mqttError } from '../config/errors.ts';
import { clientId } from '../config/identity.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Qos } from '../config/qos.ts';
import { type MqttTable, sinkOf } from '../config/table.ts';
import { pingOnTime } from '../connection/acks.ts';
import { connect } from '../connection/client.ts';
import type { Connection } from '../connection/connection.ts';
import { SinkQos } from '../connection/lowered-qos.ts';
import { inWords, publishRefused } from '../connection/reasons.ts';
import { InFlight, type Sent } from './in-flight.ts';
import { PacketWriter, type PublishHead, publishSize } from './packet-writer.ts';
import { PendingWrite } from './pending-write.ts';
import { PublishHeads } from './publish-heads.ts';

/** How many QoS 2 messages a 3.1.1 broker takes at once is not said; mosquitto's default is this. */
const qos2InFlight = 20;

/**
 * Connects with a session of its own that ends with the connection. A broker that confirms nothing for `patienceMs`, with
 * messages to confirm, is given up. See `openSink` in the connector contract.
 */
export async function openSink(
  context: RunContext<MqttProfile, MqttTable>,
  patienceMs = 30_000,
): Promise<Sink> {
  const { profile, targets, identity, signal } = context;
  const connection = await connect({
    profile,
    targets,
    clientId: clientId(profile, identity),
    clean: true,
    sessionExpirySecs: 0,
    signal,
    prepare: pingOnTime,
  });
  try {
    return new MqttSink(context, connection, patienceMs);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

type Answer = IPubackPacket | IPubrecPacket | IPubcompPacket;

class MqttSink implements Sink {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;
  readonly #topic: string;
  readonly #heads: PublishHeads;
  readonly #sinkQos: SinkQos;
  readonly #qos: Qos;
  readonly #retain: boolean;
  readonly #largestPacket: number;
  readonly #writer: PacketWriter;
  readonly #inFlight: InFlight;
  /** Writes with messages still to send, in order of the calls. Their number is bounded by whoever writes. */
  readonly #waiting: PendingWrite[] = [];
  /** QoS 0: writes that the writer has, and how many bytes it will have written with each. */
  readonly #leaving: { write: PendingWrite; at: number }[] = [];
  /** All writes that have not resolved. */
  readonly #pending = new Set<PendingWrite>();
  readonly #patienceMs: number;
  readonly #silence: NodeJS.Timeout;
  #confirmedAt = performance.now();
  #failure: unknown;

  constructor(context: RunContext<MqttProfile, MqttTable>, connection: Connection, patienceMs: number) {
    const { table, profile, window, signal } = context;
    const { limits, version, client } = connection;
    this.#connection = connection;
    this.#signal = signal;
    this.#topic = table.topic;
    if (version === 4) refuseProperties(table);
    this.#heads = new PublishHeads(table, version);
    this.#sinkQos = new SinkQos(context, connection);
    this.#qos = this.#sinkQos.used;
    this.#patienceMs = patienceMs;
    this.#retain = sinkOf(table)?.retain ?? false;
    if (this.#retain && !limits.retain) {
      throw mqttError('mqtt_publish_refused', 'The broker keeps no retained messages', {
        hint: 'Set retain to false in the table.',
      });
    }
    const brokers = version === 4 && this.#qos === 2 ? qos2InFlight : limits.receiveMaximum;
    this.#inFlight = new InFlight(Math.max(1, Math.min(window, brokers)));
    this.#largestPacket = Math.min(
      limits.maximumPacketSize,
      profile.maxPacketSize ?? Number.POSITIVE_INFINITY,
    );
    this.#writer = new PacketWriter(client.stream, this.#written);
    connection.whenLost((error) => {
      if (this.#inFlight.count > 0) this.#sinkQos.lost(error);
      this.#fail(error);
      context.lost?.(error);
    });
    client.on('packetreceive', this.#received);
    this.#silence = setInterval(() => this.#listen(), patienceMs / 6);
    signal.addEventListener('abort', this.#aborted, { once: true });
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
    clearInterval(this.#silence);
    this.#signal.removeEventListener('abort', this.#aborted);
    const unanswered = this.#inFlight.count > 0 || this.#pending.size > 0;
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    await (unanswered ? this.#connection.destroy() : this.#connection.close());
    this.#connection.client.off('packetreceive', this.#received);
  }

  /** A broker may answer pings and no message: the keep-alive cannot tell. */
  #listen(): void {
    const now = performance.now();
    if (this.#inFlight.count === 0) this.#confirmedAt = now;
    if (now - this.#confirmedAt < this.#patienceMs) return;
    const message = `The broker has confirmed no message for ${this.#patienceMs / 1000} s`;
    this.#fail(new PenstockError('connection_timeout', message));
    void this.#connection.destroy();
  }

  #send(): void {
    while (this.#failure === undefined && !this.#inFlight.full && !this.#writer.full) {
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

  #handOver(): void {
    while (this.#leaving[0] !== undefined && this.#leaving[0].at <= this.#writer.writtenBytes) {
      this.#leaving.shift()?.write.handedOver();
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
    if (publishSize(head, payload.length, this.#qos) > this.#largestPacket) {
      write.refuse(index, this.#tooLarge());
      return;
    }
    const packetId = this.#qos === 0 ? 0 : this.#inFlight.add(write, index);
    this.#writer.publish(head, payload, this.#qos, this.#retain, packetId);
  }

  readonly #written = (): void => {
    this.#handOver();
    this.#send();
  };

  /** MQTT.js ignores the answers to messages that it has not sent itself: these are for us alone. */
  readonly #received = (packet: Packet): void => {
    if (packet.cmd !== 'puback' && packet.cmd !== 'pubrec' && packet.cmd !== 'pubcomp') return;
    this.#confirmedAt = performance.now();
    const sent = this.#inFlight.find(packet.messageId ?? 0);
    if (sent !== undefined) this.#answered(sent, packet);
  };

  #answered(sent: Sent, { cmd, reasonCode = 0, properties }: Answer): void {
    const repeated = cmd === 'pubrec' && sent.released;
    const due = this.#qos === 1 ? 'puback' : sent.released ? 'pubcomp' : 'pubrec';
    const takenForOne = cmd === 'puback' && due === 'pubrec';
    if (takenForOne) this.#sinkQos.takenForOne();
    else if (cmd === due) this.#sinkQos.answered();
    if (cmd !== due && !repeated && !takenForOne) {
      this.#broken(`${cmd.toUpperCase()} does not answer a message at QoS ${this.#qos}`);
    } else if (reasonCode >= 128) {
      this.#refused(sent, cmd, reasonCode, properties?.reasonString);
    } else if (cmd === 'pubrec') {
      sent.released = true;
      this.#writer.release(sent.packetId);
    } else {
      const { write } = sent;
      this.#inFlight.remove(sent);
      write?.confirm();
      this.#send();
    }
  }

  /** The broker refuses one message for good, or none can be written now: then what is there cannot be told. */
  #refused(sent: Sent, cmd: Answer['cmd'], reason: number, said: string | undefined): void {
    const { write, index } = sent;
    if (write === undefined) return;
    // As the table writes it: what the columns of a row hold is in no error.
    const error = publishRefused(this.#topic, reason, said);
    if (cmd === 'pubcomp' || reason === packetIdInUse) {
      this.#broken(`${cmd.toUpperCase()} says ${inWords(reason, said)}`);
    } else if (error.passing) {
      this.#fail(error);
      void this.#connection.destroy();
    } else {
      this.#inFlight.remove(sent);
      write.refuse(index, error);
      this.#send();
    }
  }

  #broken(message: string): void {
    this.#fail(mqttError('mqtt_protocol_error', `The broker broke the MQTT protocol: ${message}`));
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

  #tooLarge(): PenstockError {
    return mqttError(
      'mqtt_packet_too_large',
      `A message does not fit into the ${this.#largestPacket} bytes that a packet may have`,
      {
        hint: 'Make the messages smaller, or raise maxPacketSize in the profile or the limit of the broker.',
      },
    );
  }
}

const packetIdInUse = 0x91;

/** Throws when a table wants something sent along that MQTT 3.1.1 cannot carry. */
function refuseProperties(table: MqttTable): void {
  const { retain: _, ...properties } = sinkOf(table) ?? { retain: false };
  const names = Object.keys(properties);
  if (names.length === 0) return;
  throw mqttError(
    'mqtt_protocol_refused',
    `The broker speaks MQTT 3.1.1, in which a message cannot carry ${names.join(', ')}`,
    {
      hint: 'Remove them from the table, or use a broker that speaks MQTT 5.',
      errors: names.map((name) => ({ path: `/type/${name}`, message: 'needs MQTT 5' })),
    },
  );
}
