import type { Packet } from 'mqtt-packet';
import { PenstockError } from '../../errors.ts';
import type { Outgoing } from '../connector.ts';
import { publishRefused } from './reasons.ts';

/** One call of a sink's `write`: which of its messages are sent and confirmed. */
export class PendingWrite {
  /** Settles when every message is confirmed, or the first one is not. */
  readonly done: Promise<void>;
  readonly #messages: Outgoing[];
  readonly #topic: string;
  readonly #settled: () => void;
  readonly #resolve: () => void;
  readonly #reject: (error: unknown) => void;
  #next = 0;
  #confirmed = 0;
  #failed = false;

  /** `settled` is called for every message that was sent and has been answered, well or badly. */
  constructor(messages: Outgoing[], topic: string, settled: () => void) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#messages = messages;
    this.#topic = topic;
    this.#settled = settled;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The next message to send; undefined when all are sent or the write has failed. */
  take(): Outgoing | undefined {
    if (this.#failed) return undefined;
    const message = this.#messages[this.#next];
    this.#next += 1;
    return message;
  }

  fail(error: unknown): void {
    this.#failed = true;
    this.#reject(error);
  }

  /** MQTT.js calls it for each message: one function for the whole write. */
  readonly acknowledged = (error?: (Error & { code?: unknown }) | null, packet?: Packet): void => {
    if (error) this.fail(publishError(this.#topic, error, packet));
    else this.#confirm();
    this.#settled();
  };

  /** At QoS 0 nobody confirms: the socket has taken all messages, or is gone. */
  readonly handedOver = (error?: Error | null): void => {
    if (error) this.fail(new PenstockError('connection_lost', 'The connection was lost', { cause: error }));
    else this.#resolve();
  };

  #confirm(): void {
    this.#confirmed += 1;
    if (this.#confirmed === this.#messages.length) this.#resolve();
  }
}

/** What MQTT.js reports for a message: a reason code of the broker, or the end of the connection. */
export function publishError(
  topic: string,
  error: Error & { code?: unknown },
  packet: Packet | undefined,
): PenstockError {
  if (typeof error.code !== 'number') {
    return new PenstockError('connection_lost', 'The connection was lost', { cause: error });
  }
  const properties = (packet as { properties?: { reasonString?: string } } | undefined)?.properties;
  return publishRefused(topic, error.code, properties?.reasonString);
}
