import type { Duplex } from 'node:stream';

const maxRecentBytes = 65_536;

/** The bytes received since a request, for codes that MQTT.js does not parse. */
export class RecentBytes {
  readonly #socket: Duplex;
  #chunks: Buffer[] = [];
  #size = 0;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  keep(): void {
    this.#chunks = [];
    this.#size = 0;
    // Before MQTT.js, which reports its error while it handles the same bytes.
    this.#socket.prependListener('data', this.#add);
  }

  forget(): void {
    this.#socket.off('data', this.#add);
    this.#chunks = [];
  }

  subackCode(packetId: number): number | undefined {
    const bytes = Buffer.concat(this.#chunks);
    for (let at = bytes.indexOf(0x90); at >= 0; at = bytes.indexOf(0x90, at + 1)) {
      const length = bytes[at + 1] ?? 0;
      if (length < 3 || length > 127 || bytes.length < at + 2 + length) continue;
      if (bytes.readUInt16BE(at + 2) === packetId) return bytes[at + 1 + length];
    }
    return undefined;
  }

  disconnectCode(): number | undefined {
    const bytes = Buffer.concat(this.#chunks);
    const at = bytes.lastIndexOf(0xe0);
    return at >= 0 && (bytes[at + 1] ?? 0) > 0 ? bytes[at + 2] : undefined;
  }

  readonly #add = (chunk: Buffer): void => {
    this.#chunks.push(chunk);
    this.#size += chunk.length;
    while (this.#size > maxRecentBytes && this.#chunks.length > 1)
      this.#size -= this.#chunks.shift()?.length ?? 0;
  };
}
