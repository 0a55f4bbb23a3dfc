import { randomBytes } from 'node:crypto';
import { PenstockError } from '../../../errors.ts';
import type { CheckContext } from '../../connector.ts';
import type { Finding } from '../../network/check-steps.ts';
import { forUpTo, untilReported } from '../../network/deadline.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { MqttTable } from '../config/table.ts';
import { connect } from '../connection/client.ts';
import { probeClient } from '../connection/connect-request.ts';
import type { Connection } from '../connection/connection.ts';

const maxWaitMs = 1_500;

/**
 * A second client that subscribes to the topic of a test message. Over MQTT 3.1.1, and at QoS 0, only its arrival shows that
 * the broker has not discarded it.
 */
export class Witness {
  readonly payload: string;
  readonly #connection: Connection;
  readonly #waitMs: number;
  #seen = false;
  #arrived: (() => void) | undefined;

  private constructor(connection: Connection, payload: string, waitMs: number) {
    this.#connection = connection;
    this.payload = payload;
    this.#waitMs = waitMs;
  }

  /** Undefined if the user may not read the topic, or no second client may connect: then nothing can be proven. */
  static async of(
    context: CheckContext<MqttProfile, MqttTable>,
    topic: string,
    signal: AbortSignal,
  ): Promise<Witness | undefined> {
    const ms = Math.min(maxWaitMs, context.stepTimeoutMs * 0.3);
    return forUpTo(ms, signal, async (soon) => {
      const connection = await connect({ ...probeClient(context), signal: soon });
      try {
        const witness = new Witness(connection, testPayload(), ms);
        connection.client.on('message', (_topic, payload) => witness.#read(payload));
        await connection.subscribe(topic, 1, soon, 'never');
        return witness;
      } catch (error) {
        await connection.destroy();
        throw error;
      }
    }).catch((error: unknown) => {
      signal.throwIfAborted();
      if (!(error instanceof PenstockError)) throw error;
      return undefined;
    });
  }

  /** Adds whether the message has arrived to the finding of its publication. */
  async testify(finding: Finding<true>, signal: AbortSignal): Promise<Finding<true>> {
    const arrived = await this.#arrives(signal);
    const details = { ...finding.details, arrived };
    if (finding.code !== undefined) return { ...finding, details };
    if (arrived) return { value: true, message: `${finding.message}. A second client received it`, details };
    return {
      value: true,
      code: 'mqtt_no_message',
      message: `${finding.message}. A second client that had subscribed to the topic did not receive it`,
      hint:
        'Either the broker has discarded the message, or it lets this user write the topic, but not read it. Check its access ' +
        'rules and its log.',
      details,
    };
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async #arrives(signal: AbortSignal): Promise<boolean> {
    const seen = await forUpTo(this.#waitMs, signal, (soon) =>
      untilReported<boolean>(soon, (resolve) => {
        this.#arrived = () => resolve(true);
        if (this.#seen) resolve(true);
        return undefined;
      }),
    );
    return seen === true;
  }

  #read(payload: Buffer): void {
    if (payload.toString() !== this.payload) return;
    this.#seen = true;
    this.#arrived?.();
  }
}

/** A message that identifies itself as a test, different each time. */
export const testPayload = (): string =>
  JSON.stringify({
    penstock: 'connection test',
    note: 'Please ignore this message.',
    id: randomBytes(4).toString('hex'),
  });
