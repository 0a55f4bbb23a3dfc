import type { Finding } from '../../network/check-steps.ts';
import { forUpTo, untilReported } from '../../network/deadline.ts';
import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Connection } from '../connection/connection.ts';

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
    const limited = this.#maxPacketSize !== undefined;
    if (sample === undefined)
      return {
        value: undefined,
        code: 'mqtt_no_message',
        message: `No message arrived within ${ms} ms`,
        hint:
          'Either nothing was published, or the broker does not let this user read the topic: some brokers accept such ' +
          `a subscription and send nothing.${limited ? ' Messages larger than maxPacketSize are not sent either.' : ''}`,
      };
    const { payload, ...rest } = sample;
    const maxPacketSize = this.#maxPacketSize ?? Number.POSITIVE_INFINITY;
    // Only a 3.1.1 broker sends such a message: it does not know the limit.
    const bytes = payload.length;
    if (bytes > maxPacketSize) {
      const message = `A message of ${bytes} bytes arrived, but maxPacketSize is ${maxPacketSize}`;
      const facts = { topic: rest.topic, bytes, maxPacketSize };
      throw mqttError('mqtt_packet_too_large', message, {
        hint: 'Raise maxPacketSize in the profile.',
        facts,
      });
    }
    return { value: sample, message: 'A message arrived', details: { ...rest, bytes } };
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
