import { mqttError } from '../config/errors.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { Connection } from '../connection/connection.ts';
import { untilReported, within } from '../connection/deadline.ts';
import type { Finding } from './steps.ts';

const patienceMs = 3_000;

/** A message that a connection test has received. */
export interface Sample {
  topic: string;
  payload: Buffer;
  qos: number;
  retain: boolean;
}

/** Keeps the first message that arrives, from before the subscription on. */
export class Inbox {
  readonly #connection: Connection | undefined;
  readonly #largest: number | undefined;
  #sample: Sample | undefined;
  #arrived: (() => void) | undefined;

  constructor(connection: Connection | undefined, profile: MqttProfile) {
    this.#connection = connection;
    this.#largest = profile.maxPacketSize;
    connection?.client.on('message', (topic, payload, { qos, retain }) => {
      this.#sample ??= { topic, payload, qos, retain };
      this.#arrived?.();
    });
  }

  /** Waits up to three seconds, and less than the step's deadline. No message is a warning. */
  async first(stepTimeoutMs: number, signal: AbortSignal): Promise<Finding<Sample | undefined>> {
    const ms = Math.min(patienceMs, stepTimeoutMs * 0.8);
    const enough = new Error('no message');
    try {
      const sample = await within(
        ms,
        signal,
        () => enough,
        (soon) => this.#wait(soon),
      );
      const { payload, ...rest } = sample;
      this.#refuseTooLarge(sample);
      return { value: sample, message: 'A message arrived', details: { ...rest, bytes: payload.length } };
    } catch (error) {
      if (error !== enough) throw error;
      return {
        value: undefined,
        code: 'mqtt_no_message',
        message: `No message arrived within ${ms} ms`,
        hint:
          'Perhaps nobody publishes just now. Or the broker accepted the subscription but does not let this user ' +
          'read the topic: some brokers keep silent about that.' +
          (this.#largest === undefined ? '' : ' Messages larger than maxPacketSize are not sent at all.'),
      };
    }
  }

  /** With MQTT 5 the broker sends no such message; one of 3.1.1 knows no limit. */
  #refuseTooLarge({ topic, payload }: Sample): void {
    const bytes = payload.length;
    if (this.#largest === undefined || bytes <= this.#largest) return;
    throw mqttError(
      'mqtt_packet_too_large',
      `A message of ${bytes} bytes arrived, and maxPacketSize is ${this.#largest}`,
      { hint: 'Raise maxPacketSize in the profile.', facts: { topic, bytes, maxPacketSize: this.#largest } },
    );
  }

  #wait(signal: AbortSignal): Promise<Sample> {
    return untilReported<Sample>(signal, (resolve, reject) => {
      this.#arrived = () => this.#sample && resolve(this.#sample);
      this.#connection?.whenLost(reject);
      this.#arrived();
      return () => {
        this.#arrived = undefined;
      };
    });
  }
}
