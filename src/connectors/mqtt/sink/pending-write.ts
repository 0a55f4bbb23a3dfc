import type { Packet } from 'mqtt-packet';
import { PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal } from '../../connector.ts';
import { publishRefused } from '../connection/reasons.ts';

/** One call of a sink's `write`: which of its messages are sent and confirmed. */
export class PendingWrite {
  /** Resolves with the refusals when every message is confirmed or refused. */
  readonly done: Promise<Refusal[]>;
  readonly messages: readonly Outgoing[];
  readonly #refusals: Refusal[] = [];
  readonly #resolve: (refusals: Refusal[]) => void;
  readonly #reject: (error: unknown) => void;
  #next = 0;
  #answered = 0;
  #failed = false;

  constructor(messages: readonly Outgoing[]) {
    const { promise, resolve, reject } = Promise.withResolvers<Refusal[]>();
    this.done = promise;
    this.messages = messages;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The index of the next message to send; -1 when all are sent or the write has failed. */
  take(): number {
    if (this.#failed || this.#next === this.messages.length) return -1;
    this.#next += 1;
    return this.#next - 1;
  }

  fail(error: unknown): void {
    this.#failed = true;
    this.#reject(error);
  }

  confirm(): void {
    this.#answered += 1;
    if (this.#answered === this.messages.length) this.#finish();
  }

  /** The message will never be there; the others go on. */
  refuse(index: number, error: PenstockError): void {
    this.#refusals.push({ index, error });
    this.confirm();
  }

  /** At QoS 0 nobody confirms: the operating system has taken all messages. */
  handedOver(): void {
    this.#finish();
  }

  #finish(): void {
    this.#resolve(this.#refusals.sort((a, b) => a.index - b.index));
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
