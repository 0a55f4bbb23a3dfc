import { Writable } from 'node:stream';
import fc from 'fast-check';
import * as mqttPacket from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { PacketWriter, publishSize, slabBytes } from './packet-writer.ts';

/** A stream that writes a piece on demand. It copies at that moment, as a socket may. */
class Slow extends Writable {
  readonly pieces: Buffer[] = [];
  #next: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 1 });
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#next = () => {
      this.pieces.push(Buffer.from(chunk));
      done();
    };
  }

  /** Writes the next piece; false when there is none. */
  async step(): Promise<boolean> {
    const next = this.#next;
    this.#next = undefined;
    next?.();
    await new Promise(setImmediate);
    return next !== undefined;
  }

  packets(protocolVersion: 4 | 5): mqttPacket.Packet[] {
    const parsed: mqttPacket.Packet[] = [];
    const parser = mqttPacket.parser({ protocolVersion });
    parser.on('packet', (packet) => parsed.push(packet));
    parser.parse(Buffer.concat(this.pieces));
    return parsed;
  }
}

const head = (topic: string, version: 4 | 5) => ({
  topic: Buffer.from(topic),
  properties: version === 5 ? Buffer.of(0) : Buffer.alloc(0),
});

const sizes = fc.oneof(
  fc.nat(200),
  fc.constantFrom(127, 128, 16_383, 16_384, slabBytes - 8, slabBytes, 3 * slabBytes),
);
const publishes = fc.array(
  fc.record({
    topic: fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }),
    size: sizes,
    qos: fc.constantFrom(0, 1, 2),
    retain: fc.boolean(),
  }),
  { maxLength: 40 },
);

describe('a packet writer', () => {
  test.each([4, 5] as const)('writes what a parser of version %i reads back, in order', async (version) => {
    await fc.assert(
      fc.asyncProperty(publishes, async (messages) => {
        const stream = new Slow();
        const writer = new PacketWriter(stream, () => undefined);
        for (const [index, { topic, size, qos, retain }] of messages.entries()) {
          while (writer.full) await stream.step();
          const payload = Buffer.alloc(size, index);
          writer.publish(head(topic, version), payload, qos as 0 | 1 | 2, retain, index + 1);
          if (qos === 2) writer.release(index + 1);
        }
        while (writer.writtenBytes < writer.takenBytes) await stream.step();
        const seen = stream.packets(version);
        const wanted = messages.flatMap(({ topic, size, qos, retain }, index) => [
          { cmd: 'publish', topic, size, qos, retain, id: qos > 0 ? index + 1 : undefined },
          ...(qos === 2 ? [{ cmd: 'pubrel', id: index + 1 }] : []),
        ]);
        const got = seen.map((packet) =>
          packet.cmd === 'publish'
            ? {
                cmd: 'publish',
                topic: packet.topic,
                size: packet.payload.length,
                qos: packet.qos,
                retain: packet.retain,
                id: packet.messageId,
              }
            : { cmd: packet.cmd, id: packet.messageId },
        );
        expect(got).toEqual(wanted);
      }),
      { numRuns: 40 },
    );
  });

  test('knows the size of a packet before it writes it', async () => {
    for (const size of [0, 100, 127, 128, 20_000, 3_000_000]) {
      const stream = new Slow();
      const writer = new PacketWriter(stream, () => undefined);
      writer.publish(head('a/b', 5), Buffer.alloc(size), 1, false, 1);
      while (writer.writtenBytes < writer.takenBytes) await stream.step();
      expect(Buffer.concat(stream.pieces).length).toBe(publishSize(head('a/b', 5), size, 1));
      expect(writer.takenBytes).toBe(publishSize(head('a/b', 5), size, 1));
    }
  });

  test('writes all packets of one turn in one piece', async () => {
    const stream = new Slow();
    const writer = new PacketWriter(stream, () => undefined);
    for (let index = 1; index <= 100; index += 1)
      writer.publish(head('a', 5), Buffer.from('x'), 1, false, index);
    while (writer.writtenBytes < writer.takenBytes) await stream.step();
    expect(stream.pieces.length).toBe(1);
    expect(stream.packets(5).length).toBe(100);
  });

  test('is full when a slab is full during a write, and reports when it continues', async () => {
    const stream = new Slow();
    let woken = 0;
    const writer = new PacketWriter(stream, () => {
      woken += 1;
    });
    const payload = Buffer.alloc(1_000);
    while (!writer.full) writer.publish(head('a', 5), payload, 1, false, 1);
    expect(writer.takenBytes).toBeLessThan(3 * slabBytes);
    expect(woken).toBe(0);
    while (woken === 0) await stream.step();
    expect(writer.full).toBe(false);
  });

  test('writes nothing after stop', async () => {
    const stream = new Slow();
    const writer = new PacketWriter(stream, () => undefined);
    writer.publish(head('a', 5), Buffer.from('x'), 1, false, 1);
    writer.stop();
    expect(await stream.step()).toBe(false);
    expect(stream.pieces).toEqual([]);
  });
});
