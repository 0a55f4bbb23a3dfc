import type { Msg } from '@nats-io/transport-node';
import type { Delivery } from '../../connector.ts';

/** The metadata of a message, and what JetStream writes into its reply subject. */

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream seq>.<consumer seq>.<nanoseconds>.<pending>` */
export interface AckSubject {
  stream: string;
  deliveries: number;
  sequence: bigint;
  consumerSequence: number;
  /** Microseconds since 1970. */
  storedAt: bigint;
  /** Number of messages that the consumer has not sent yet. */
  pending: number;
}

/** Undefined if the subject is no acknowledgement of JetStream. Newer servers put a domain and an account in front. */
export function parseAckSubject(subject: string): AckSubject | undefined {
  if (!subject.startsWith('$JS.ACK.')) return undefined;
  const tokens = subject.split('.');
  const first = tokens.length >= 11 ? 4 : tokens.length === 9 ? 2 : 0;
  if (first === 0) return undefined;
  const [stream = '', , deliveries, sequence = '0', consumerSequence, nanoseconds = '0', pending] =
    tokens.slice(first);
  return {
    stream,
    deliveries: Number(deliveries),
    sequence: BigInt(sequence),
    consumerSequence: Number(consumerSequence),
    storedAt: BigInt(nanoseconds) / 1000n,
    pending: Number(pending),
  };
}

/** The payload without a copy. */
export const payloadOf = ({ data }: Msg): Buffer =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** Computes the metadata columns when they are asked for. */
export class Metadata {
  readonly #message: Msg;
  readonly #stored: AckSubject | undefined;
  readonly #receivedAt: number;

  constructor(message: Msg, stored: AckSubject | undefined, receivedAt: number) {
    this.#message = message;
    this.#stored = stored;
    this.#receivedAt = receivedAt;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get stream(): string | null {
    return this.#stored?.stream ?? null;
  }

  get sequence(): bigint | null {
    return this.#stored?.sequence ?? null;
  }

  get timestamp(): bigint {
    return this.#stored?.storedAt ?? BigInt(Math.round(this.#receivedAt * 1000));
  }

  get redelivered(): boolean {
    return (this.#stored?.deliveries ?? 1) > 1;
  }

  get deliveries(): number | null {
    return this.#stored?.deliveries ?? null;
  }

  get reply(): string | null {
    return this.#stored ? null : (this.#message.reply ?? null);
  }

  get headers(): string {
    const { headers } = this.#message;
    const pairs = (headers?.keys() ?? []).map((name) => {
      const values = headers?.values(name) ?? [];
      return [name, values.length === 1 ? values[0] : values];
    });
    return JSON.stringify(Object.fromEntries(pairs));
  }
}

export const metadataOf = (
  message: Msg,
  stored: AckSubject | undefined,
  receivedAt: number,
): Delivery['metadata'] => new Metadata(message, stored, receivedAt) as unknown as Delivery['metadata'];
