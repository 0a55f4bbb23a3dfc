import type { ConsumeMessage } from 'amqplib';
import type { Delivery } from '../../connector.ts';

/** The metadata of a message. */

/** A header with a whole number. A publisher may set any header to anything, also one of the server. */
function wholeHeader({ properties }: ConsumeMessage, name: string): number | undefined {
  const headers: object = properties.headers ?? {};
  const value: unknown = Object.hasOwn(headers, name)
    ? (headers as Record<string, unknown>)[name]
    : undefined;
  return typeof value === 'number' && Number.isSafeInteger(value) ? value : undefined;
}

/** Its place in a stream. A message of a queue has none, but may have such a header. */
export const offsetOf = (message: ConsumeMessage): number | undefined =>
  wholeHeader(message, 'x-stream-offset');

/** Number of times that it came back before. Undefined at first, and in queues other than quorum queues. */
export const deliveryCount = (message: ConsumeMessage): number | undefined =>
  wholeHeader(message, 'x-delivery-count');

/** Bytes of its content and headers, about. */
export function sizeOf({ content, properties: { headers } }: ConsumeMessage): number {
  let bytes = content.length;
  const values: unknown[] = headers ? [headers] : [];
  // Tables may be nested deeper than the stack allows.
  while (values.length > 0) {
    const value = values.pop();
    if (typeof value === 'string' || Buffer.isBuffer(value)) bytes += value.length;
    else if (typeof value !== 'object' || value === null) bytes += 8;
    else {
      bytes += 16;
      for (const [name, each] of Object.entries(value)) {
        bytes += name.length;
        values.push(each);
      }
    }
  }
  return bytes;
}

/** Headers of the server. */
const ofServer = ['x-stream-offset', 'x-delivery-count'];

/** Number of tables and lists within each other that headers show; null beyond. */
const maxDepth = 32;

/** A value of a field table as JSON: a time as a text, bytes as text in UTF-8, a decimal as a number. */
function plain(value: unknown, depth = 0): unknown {
  if (Buffer.isBuffer(value)) return value.toString();
  if (typeof value !== 'object' || value === null) return value;
  if (depth === maxDepth) return null;
  if (Array.isArray(value)) return value.map((each) => plain(each, depth + 1));
  const typed = typedValue(value);
  if (typed !== undefined) return typed;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plain(each, depth + 1)]));
}

/** The value of a time or a decimal as amqplib wraps it. Undefined for a table, which may look alike. */
function typedValue(value: object): string | number | null | undefined {
  const { '!': type, value: inner, ...more } = value as { '!'?: unknown; value?: unknown };
  if (Object.keys(more).length > 0) return undefined;
  if (type === 'timestamp' && typeof inner === 'number') return isoTime(inner);
  if (type !== 'decimal' || typeof inner !== 'object' || inner === null) return undefined;
  const { digits, places } = inner as { digits?: unknown; places?: unknown };
  return typeof digits === 'number' && typeof places === 'number' ? digits / 10 ** places : undefined;
}

/** Null for a time that no calendar has. */
function isoTime(seconds: number): string | null {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? null : time.toISOString();
}

/** Computes the metadata columns when they are asked for. */
class Metadata {
  readonly #message: ConsumeMessage;
  readonly #offset: number | undefined;
  readonly queue: string;

  constructor(message: ConsumeMessage, queue: string, offset: number | undefined) {
    this.#message = message;
    this.#offset = offset;
    this.queue = queue;
  }

  get exchange(): string {
    return this.#message.fields.exchange;
  }

  get routing_key(): string {
    return this.#message.fields.routingKey;
  }

  get redelivered(): boolean {
    return this.#message.fields.redelivered;
  }

  get delivery_count(): bigint | null {
    const count = deliveryCount(this.#message);
    return count === undefined ? null : BigInt(count);
  }

  get offset(): bigint | null {
    return this.#offset === undefined ? null : BigInt(this.#offset);
  }

  get timestamp(): bigint | null {
    const seconds: unknown = this.#message.properties.timestamp;
    return typeof seconds === 'number' && Number.isSafeInteger(seconds) ? BigInt(seconds) * 1_000_000n : null;
  }

  get message_id(): string | null {
    return this.#message.properties.messageId ?? null;
  }

  get correlation_id(): string | null {
    return this.#message.properties.correlationId ?? null;
  }

  get content_type(): string | null {
    return this.#message.properties.contentType ?? null;
  }

  get type(): string | null {
    return this.#message.properties.type ?? null;
  }

  get app_id(): string | null {
    return this.#message.properties.appId ?? null;
  }

  get user_id(): string | null {
    return this.#message.properties.userId ?? null;
  }

  get reply_to(): string | null {
    return this.#message.properties.replyTo ?? null;
  }

  get priority(): number | null {
    return this.#message.properties.priority ?? null;
  }

  get headers(): string {
    const entries = Object.entries(this.#message.properties.headers ?? {});
    const own = entries.filter(([name]) => !ofServer.includes(name));
    return JSON.stringify(Object.fromEntries(own.map(([name, value]) => [name, plain(value)])));
  }
}

/** The offset is that of a stream. */
export const metadataOf = (
  message: ConsumeMessage,
  queue: string,
  offset: number | undefined,
): Delivery['metadata'] => new Metadata(message, queue, offset) as unknown as Delivery['metadata'];
