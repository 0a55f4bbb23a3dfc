import { PenstockError } from '../../errors.ts';
import type { Outgoing, RunContext, Sink } from '../connector.ts';
import { keepNoCopies, noStore } from './acks.ts';
import { connect } from './client.ts';
import type { Connection } from './connection.ts';
import { clientId } from './identity.ts';
import { PendingWrite } from './pending-write.ts';
import type { MqttProfile } from './profile.ts';
import { type MqttTable, type Qos, qosOf, retains } from './table.ts';

/** How many QoS 2 messages a 3.1.1 broker takes at once is not said; mosquitto's default is this. */
const qos2InFlight = 20;

/** Connects with a session of its own that ends with the connection. See `openSink` in the connector contract. */
export async function openSink(context: RunContext<MqttProfile, MqttTable>): Promise<Sink> {
  const { profile, identity, signal } = context;
  const connection = await connect({
    profile,
    clientId: clientId(profile, identity),
    clean: true,
    sessionExpirySecs: 0,
    signal,
    prepare: (client) => {
      client.outgoingStore = noStore;
      keepNoCopies(client);
    },
  });
  try {
    return new MqttSink(context, connection);
  } catch (error) {
    await connection.close();
    throw error;
  }
}

class MqttSink implements Sink {
  readonly #connection: Connection;
  readonly #signal: AbortSignal;
  readonly #topic: string;
  readonly #options: { qos: Qos; retain: boolean };
  /** Most messages in flight. */
  readonly #most: number;
  readonly #largestPayload: number;
  /** Writes with messages still to send, in order of the calls. Their number is bounded by whoever writes. */
  readonly #waiting: PendingWrite[] = [];
  /** All writes that have not resolved. */
  readonly #pending = new Set<PendingWrite>();
  #inFlight = 0;
  #failure: unknown;

  constructor(context: RunContext<MqttProfile, MqttTable>, connection: Connection) {
    const { table, profile, window, signal } = context;
    const { limits, version, client } = connection;
    this.#connection = connection;
    this.#signal = signal;
    this.#topic = table.topic;
    this.#options = { qos: possibleQos(context, limits.maximumQos), retain: retains(table) };
    if (this.#options.retain && !limits.retain) {
      throw new PenstockError('mqtt_publish_refused', 'The broker keeps no retained messages', {
        hint: 'Set retain to false in the table.',
      });
    }
    const { qos } = this.#options;
    const brokers = version === 4 && qos === 2 ? qos2InFlight : limits.receiveMaximum;
    this.#most = Math.max(1, Math.min(window, brokers));
    const packet = Math.min(limits.maximumPacketSize, profile.maxPacketSize ?? Number.POSITIVE_INFINITY);
    this.#largestPayload = packet - overhead(table.topic, qos, version);
    connection.whenLost((error) => this.#fail(error));
    client.stream.on('drain', this.#send);
    signal.addEventListener('abort', this.#aborted, { once: true });
  }

  async write(messages: Outgoing[]): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (messages.length === 0) return;
    if (messages.some((message) => message.payload.length > this.#largestPayload)) throw this.#tooLarge();
    const write = new PendingWrite(messages, this.#topic, () => this.#settled());
    this.#waiting.push(write);
    this.#pending.add(write);
    this.#send();
    try {
      await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async close(): Promise<void> {
    this.#signal.removeEventListener('abort', this.#aborted);
    this.#connection.client.stream.off('drain', this.#send);
    this.#fail(new PenstockError('connection_lost', 'The sink was closed'));
    await this.#connection.close();
  }

  #settled(): void {
    this.#inFlight -= 1;
    this.#send();
  }

  readonly #send = (): void => {
    const { client } = this.#connection;
    const { qos } = this.#options;
    while (this.#failure === undefined && this.#inFlight < this.#most && !client.stream.writableNeedDrain) {
      const write = this.#waiting[0];
      if (write === undefined) return;
      const message = write.take();
      if (message === undefined) {
        this.#waiting.shift();
        if (qos === 0) client.stream.write(nothing, write.handedOver);
      } else if (qos === 0) {
        client.publish(this.#topic, message.payload, this.#options);
      } else {
        this.#inFlight += 1;
        client.publish(this.#topic, message.payload, this.#options, write.acknowledged);
      }
    }
  };

  readonly #aborted = (): void => {
    this.#fail(this.#signal.reason);
    void this.#connection.destroy();
  };

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#waiting.length = 0;
    for (const write of this.#pending) write.fail(error);
  }

  #tooLarge(): PenstockError {
    return new PenstockError(
      'mqtt_packet_too_large',
      `A message is larger than the ${this.#largestPayload} bytes that fit into a packet`,
      {
        hint: 'Make the messages smaller, or raise maxPacketSize in the profile or the limit of the broker.',
      },
    );
  }
}

/** Written behind QoS 0 messages, to learn when the operating system has taken them. */
const nothing = Buffer.alloc(0);

/** What the table asks for, or what is left of it without giving up the delivery guarantee. */
function possibleQos(context: RunContext<MqttProfile, MqttTable>, maximum: Qos): Qos {
  const asked = qosOf(context.table);
  if (asked <= maximum) return asked;
  if (maximum === 0) {
    throw new PenstockError(
      'mqtt_qos_downgraded',
      'The broker takes messages at QoS 0 only, which may lose them',
      {
        hint: 'Set the qos of the table to AtMostOnce if lost messages do no harm.',
      },
    );
  }
  const details = { code: 'mqtt_qos_downgraded', topic: context.table.topic, asked, granted: maximum };
  context.logger.warn(
    details,
    'The broker takes messages at a lower quality of service than the table asks for',
  );
  return maximum;
}

/** Bytes of a PUBLISH packet beside its payload, at most: header, remaining length, topic, identifier, properties. */
const overhead = (topic: string, qos: Qos, version: 4 | 5): number =>
  1 + 4 + 2 + Buffer.byteLength(topic) + (qos > 0 ? 2 : 0) + (version === 5 ? 1 : 0);
