/** A packet within a buffer: its first byte, and where its body begins and ends. */
export interface Packet {
  bytes: Buffer;
  first: number;
  bodyAt: number;
  end: number;
}

/** Types of MQTT packets. */
export const publish = 3;
export const puback = 4;

/** Splits a stream into MQTT packets. It decodes nothing, and costs a small part of what a parser does. */
export class PacketSplitter {
  readonly #read: (type: number, packet: Packet) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(read: (type: number, packet: Packet) => void) {
    this.#read = read;
  }

  push(chunk: Buffer): void {
    const bytes = this.#rest.length > 0 ? Buffer.concat([this.#rest, chunk]) : chunk;
    let at = 0;
    while (at + 2 <= bytes.length) {
      let bodyAt = at + 1;
      let length = 0;
      let shift = 0;
      let byte = 0x80;
      while (byte & 0x80 && bodyAt < bytes.length) {
        byte = bytes[bodyAt++] as number;
        length |= (byte & 0x7f) << shift;
        shift += 7;
      }
      const end = bodyAt + length;
      if (byte & 0x80 || end > bytes.length) break;
      const first = bytes[at] as number;
      this.#read(first >> 4, { bytes, first, bodyAt, end });
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}

/** Where what follows the topic of a PUBLISH begins. */
const afterTopic = ({ bytes, bodyAt }: Packet): number => bodyAt + 2 + bytes.readUInt16BE(bodyAt);

/** The packet identifier of a PUBLISH; undefined at QoS 0. */
export const identifierOf = (packet: Packet): number | undefined =>
  packet.first & 0b110 ? packet.bytes.readUInt16BE(afterTopic(packet)) : undefined;

/** The payload of a PUBLISH of MQTT 3.1.1. */
export const payloadOf = (packet: Packet): Buffer =>
  packet.bytes.subarray(afterTopic(packet) + (packet.first & 0b110 ? 2 : 0), packet.end);
