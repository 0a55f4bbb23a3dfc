import { generate, type QoS } from 'mqtt-packet';

/** The topic on both brokers, so that no forwarder has to rename it. */
export const topic = 'bench/readings';
/** The same in Kafka, whose topics have no slash. */
export const kafkaTopic = 'bench.readings';

/** Sequence number of messages that only test whether the forwarder is ready. */
export const probe = 0;

const payloadBytes = 100;
/** First sequence number. All have ten digits and are valid JSON. */
const base = 1_000_000_000;
const seqAt = '{"seq":'.length;
const digits = 10;

/** The payload of 100 bytes: a JSON object with a number and a text. */
export function encodePayload(seq: number): Buffer {
  const frame = JSON.stringify({ seq: base + seq, text: '' });
  return Buffer.from(JSON.stringify({ seq: base + seq, text: 'x'.repeat(payloadBytes - frame.length) }));
}

/** The sequence number of a payload. Throws if the payload was altered. */
export function readSeq(payload: Buffer): number {
  const seq = Number(payload.toString('latin1', seqAt, seqAt + digits)) - base;
  if (payload.length !== payloadBytes || !(seq >= 0))
    throw new Error(`a payload arrived altered: ${payload}`);
  return seq;
}

/** Makes PUBLISH packets from a template encoded by mqtt-packet, in which only two numbers differ. */
export class PacketPress {
  readonly #packet: Buffer;
  readonly #qos: QoS;

  constructor(qos: QoS) {
    this.#qos = qos;
    const common = {
      cmd: 'publish',
      topic,
      payload: encodePayload(probe),
      dup: false,
      retain: false,
    } as const;
    this.#packet = generate(qos === 0 ? { ...common, qos } : { ...common, qos, messageId: 1 });
  }

  /** The packets of `count` messages in one buffer. `nextId` returns packet identifiers, if needed. */
  print(firstSeq: number, count: number, nextId: () => number): Buffer {
    const { length } = this.#packet;
    const sheet = Buffer.allocUnsafe(length * count);
    for (let index = 0; index < count; index++) {
      const payloadAt = (index + 1) * length - payloadBytes;
      this.#packet.copy(sheet, index * length);
      sheet.write(String(base + firstSeq + index), payloadAt + seqAt, 'latin1');
      if (this.#qos > 0) sheet.writeUInt16BE(nextId(), payloadAt - 2);
    }
    return sheet;
  }
}
