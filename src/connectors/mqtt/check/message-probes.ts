import { PenstockError } from '../../../errors.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Qos } from '../config/topic.ts';
import type { Connection } from '../connection/connection.ts';
import { forUpTo, untilReported } from '../connection/deadline.ts';
import { publishRefused } from '../connection/reason-codes.ts';
import type { Finding } from './steps.ts';

/** The connection of a running step: `CheckSteps` runs none after a failure. */
export function present(connection: Connection | undefined): Connection {
  if (connection === undefined) throw new PenstockError('internal', 'A step ran without a connection');
  return connection;
}

export async function subscribe(
  connection: Connection | undefined,
  filter: string,
  asked: Qos,
  signal: AbortSignal,
): Promise<Finding<Qos>> {
  const granted = await present(connection).subscribe(filter, asked, signal);
  const details = { filter, asked, granted };
  if (granted === asked) return { value: granted, message: `Subscribed at QoS ${granted}`, details };
  return {
    value: granted,
    code: 'mqtt_qos_downgraded',
    message: `The broker granted QoS ${granted} instead of ${asked}`,
    hint: downgradedHint(granted),
    details,
  };
}

const payload = JSON.stringify({ penstock: 'connection test', note: 'Please ignore this message.' });
const packetOverhead = 10;

/** Publishes the test message, never retained, at the highest QoS that the broker accepts. */
export async function publish(
  connection: Connection | undefined,
  topic: string,
  asked: Qos,
  signal: AbortSignal,
): Promise<Finding<true>> {
  const { client, limits, version } = present(connection);
  let qos = Math.min(asked, limits.maximumQos) as Qos;
  refuseTooLarge(topic, limits.maximumPacketSize);
  const reasonCode = await untilReported<number>(signal, (resolve, reject) => {
    // MQTT.js reports nothing: it keeps an unconfirmed message for a reconnection that never happens.
    present(connection).whenLost(reject);
    const received = ({ cmd }: { cmd: string }) => {
      if (cmd === 'puback') qos = 1;
    };
    client.on('packetreceive', received);
    client.publish(topic, payload, { qos, retain: false }, (error, packet) => {
      if (error) reject(publishError(topic, error, packet));
      else resolve((packet as { reasonCode?: number } | undefined)?.reasonCode ?? 0);
    });
    return () => client.off('packetreceive', received);
  });
  const details = { topic, asked, qos, bytes: payload.length, reasonCode };
  if (qos < asked) {
    const message = `The broker accepts messages at QoS ${qos} only, not at ${asked}`;
    return { value: true, code: 'mqtt_qos_downgraded', message, hint: downgradedHint(qos), details };
  }
  return {
    value: true,
    message: qos === 0 ? 'Sent. At QoS 0 the broker does not confirm messages' : 'Published and confirmed',
    details,
    ...(version === 4 ? { hint: unseenRefusal } : {}),
  };
}

const unseenRefusal =
  'With MQTT 3.1.1 a broker can confirm a message and still discard it because of its access rules. Read the topic with ' +
  'another client to be sure that the message arrived.';

export const downgradedHint = (qos: Qos): string =>
  qos === 0 ? 'At QoS 0 messages can be lost.' : 'A message can arrive twice after a failure.';

/** MQTT.js reports a reason code of the broker, or the end of the connection. */
function publishError(topic: string, error: Error & { code?: unknown }, packet: unknown): PenstockError {
  if (typeof error.code !== 'number')
    return new PenstockError('connection_lost', 'The connection was lost', { cause: error });
  const properties = (packet as { properties?: { reasonString?: string } } | undefined)?.properties;
  return publishRefused(topic, error.code, properties?.reasonString);
}

/** A broker closes the connection at a packet that is larger than it allows. */
function refuseTooLarge(topic: string, maximumPacketSize: number): void {
  const bytes = packetOverhead + Buffer.byteLength(topic) + payload.length;
  if (bytes <= maximumPacketSize) return;
  throw mqttError(
    'mqtt_packet_too_large',
    `The test message needs a packet of ${bytes} bytes, but the broker accepts at most ${maximumPacketSize}`,
    { hint: 'Raise the maximum packet size of the broker.', facts: { bytes, maximumPacketSize } },
  );
}

export interface SampleMessage {
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
}

const maxWaitMs = 3_000;

/** Keeps the first message that arrives. Create it before the subscription. */
export class FirstMessageProbe {
  readonly #connection: Connection | undefined;
  readonly #maxPacketSize: number | undefined;
  #sample: SampleMessage | undefined;
  #arrived: (() => void) | undefined;

  constructor(connection: Connection | undefined, profile: MqttProfile) {
    this.#connection = connection;
    this.#maxPacketSize = profile.maxPacketSize;
    connection?.client.on('message', (topic, payload, { qos, retain }) => {
      this.#sample ??= { topic, payload, qos, retain };
      this.#arrived?.();
    });
  }

  /** Waits up to three seconds, and less than the deadline of the step. No message is a warning. */
  async first(stepTimeoutMs: number, signal: AbortSignal): Promise<Finding<SampleMessage | undefined>> {
    const ms = Math.min(maxWaitMs, stepTimeoutMs * 0.8);
    const sample = await forUpTo(ms, signal, (soon) => this.#wait(soon));
    if (sample === undefined)
      return {
        value: undefined,
        code: 'mqtt_no_message',
        message: `No message arrived within ${ms} ms`,
        hint:
          'Either nothing was published, or the broker does not let this user read the topic: some brokers accept such ' +
          'a subscription and send nothing.' +
          (this.#maxPacketSize === undefined
            ? ''
            : ' Messages larger than maxPacketSize are not sent either.'),
      };
    const { payload, ...rest } = sample;
    const maxPacketSize = this.#maxPacketSize ?? Number.POSITIVE_INFINITY;
    // Only a 3.1.1 broker sends such a message: it does not know the limit.
    if (payload.length > maxPacketSize)
      throw mqttError(
        'mqtt_packet_too_large',
        `A message of ${payload.length} bytes arrived, but maxPacketSize is ${maxPacketSize}`,
        {
          hint: 'Raise maxPacketSize in the profile.',
          facts: { topic: rest.topic, bytes: payload.length, maxPacketSize },
        },
      );
    return { value: sample, message: 'A message arrived', details: { ...rest, bytes: payload.length } };
  }

  #wait(signal: AbortSignal): Promise<SampleMessage> {
    return untilReported<SampleMessage>(signal, (resolve, reject) => {
      this.#arrived = () => this.#sample && resolve(this.#sample);
      this.#connection?.whenLost(reject);
      this.#arrived();
      return () => {
        this.#arrived = undefined;
      };
    });
  }
}
