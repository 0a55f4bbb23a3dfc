import type { Watched } from '../../connector.ts';
import type { Fetched } from './reader.ts';

/** The metadata columns of a message. The getters have their names. */
export class Metadata {
  readonly #message: Fetched;

  constructor(message: Fetched) {
    this.#message = message;
  }

  get offset_id(): bigint {
    return this.#message.offset;
  }

  get partition(): number {
    return this.#message.partition;
  }

  get topic(): string {
    return this.#message.topic;
  }

  get timestamp(): bigint {
    return this.#message.timestamp;
  }

  get time(): bigint {
    return this.#message.timestamp * 1_000n;
  }

  get key(): Buffer | null {
    return this.#message.key;
  }

  get key_text(): string | null {
    return this.#message.key?.toString() ?? null;
  }

  get headers(): string | null {
    const { headers } = this.#message;
    if (headers.length === 0) return null;
    const found = new Map<string, string | null | (string | null)[]>();
    for (const [name, value] of headers) {
      const key = name?.toString() ?? '';
      const text = value?.toString() ?? null;
      const before = found.get(key);
      if (before === undefined) found.set(key, text);
      else found.set(key, Array.isArray(before) ? [...before, text] : [before, text]);
    }
    return JSON.stringify(Object.fromEntries(found));
  }
}

export const metadataOf = (message: Fetched): Watched['metadata'] =>
  new Metadata(message) as unknown as Watched['metadata'];

/** A message without a value is empty. */
export const payloadOf = ({ value }: Fetched): Buffer => value ?? Buffer.alloc(0);

/** Bytes of the value, the key and the headers. */
export const bytesOf = ({ value, key, headers }: Fetched): number =>
  headers
    .flat()
    .concat(value, key)
    .reduce((sum, part) => sum + (part?.length ?? 0), 0);
