import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Qos } from '../config/topic.ts';
import { AckQueue, type Owed } from './ack-queue.ts';

interface Written {
  kind: 'puback' | 'pubrec' | 'pubcomp';
  id: number;
}

const kinds = new Map<number, Written['kind']>([
  [0x40, 'puback'],
  [0x50, 'pubrec'],
  [0x70, 'pubcomp'],
]);

function read(bytes: Buffer): Written[] {
  const written: Written[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    expect(bytes[at + 1]).toBe(2);
    const kind = kinds.get(bytes[at] as number);
    if (!kind) throw new Error(`${bytes[at]} is no acknowledgement`);
    written.push({ kind, id: bytes.readUInt16BE(at + 2) });
  }
  return written;
}

function queueOf(window: number) {
  const wire: Written[] = [];
  const queue = new AckQueue(
    window,
    (acks) => wire.push(...read(acks)),
    () => undefined,
  );
  return { queue, wire };
}

const owed = (packetId: number, qos: Qos = 1): Owed => ({ packetId, qos, settled: false });

describe('the acknowledgement queue', () => {
  test('holds an acknowledgement until all before it are settled', () => {
    const { queue, wire } = queueOf(10);
    const [first, second, third] = [owed(7), owed(8), owed(9)];
    for (const entry of [first, second, third]) queue.push(entry);
    queue.settle(third);
    queue.settle(second);
    queue.flush();
    expect(wire).toEqual([]);
    queue.settle(first);
    queue.flush();
    expect(wire.map(({ id }) => id)).toEqual([7, 8, 9]);
  });

  test('keeps the order while it grows', () => {
    const { queue, wire } = queueOf(100);
    const all = Array.from({ length: 110 }, (_, index) => owed(index + 1));
    for (const entry of all.slice(0, 10)) queue.push(entry);
    for (const entry of all.slice(0, 10)) queue.settle(entry);
    queue.flush();
    for (const entry of all.slice(10)) queue.push(entry);
    expect([queue.length, queue.full]).toEqual([100, true]);
    for (const entry of all.slice(10).reverse()) queue.settle(entry);
    queue.flush();
    expect(wire.map(({ id }) => id)).toEqual(all.map(({ packetId }) => packetId));
    expect(queue.length).toBe(0);
  });

  test('writes all due acknowledgements at once, after the calls that settled them', async () => {
    let writes = 0;
    const queue = new AckQueue(
      10,
      () => {
        writes += 1;
      },
      () => undefined,
    );
    const entries = [owed(1), owed(2), owed(3)];
    for (const entry of entries) queue.push(entry);
    for (const entry of entries) queue.settle(entry);
    expect(writes).toBe(0);
    await Promise.resolve();
    expect(writes).toBe(1);
  });

  test('sends PUBREC for a repeated QoS 2 message only if it was acknowledged', () => {
    const { queue, wire } = queueOf(10);
    const entry = owed(5, 2);
    expect(queue.repeats(5)).toBe(false);
    queue.push(entry);
    expect(queue.repeats(5)).toBe(true);
    expect(wire).toEqual([]);
    queue.settle(entry);
    queue.flush();
    expect(queue.repeats(5)).toBe(true);
    expect(wire).toEqual([
      { kind: 'pubrec', id: 5 },
      { kind: 'pubrec', id: 5 },
    ]);
    queue.released(5);
    expect(queue.repeats(5)).toBe(false);
  });

  test('sends PUBCOMP for every PUBREL, together with other acknowledgements, and none after the connection ended', async () => {
    const writes: Written[][] = [];
    const queue = new AckQueue(
      10,
      (acks) => writes.push(read(acks)),
      () => undefined,
    );
    const entry = owed(5, 2);
    queue.push(entry);
    queue.settle(entry);
    queue.released(3);
    queue.released(4);
    await Promise.resolve();
    expect(writes).toEqual([
      [
        { kind: 'pubrec', id: 5 },
        { kind: 'pubcomp', id: 3 },
        { kind: 'pubcomp', id: 4 },
      ],
    ]);
    queue.released(5);
    queue.abandon();
    queue.released(6);
    await Promise.resolve();
    expect(writes.length).toBe(1);
  });

  test('refuses more than its window', () => {
    const { queue } = queueOf(1);
    queue.push(owed(1));
    expect(queue.full).toBe(true);
    expect(() => queue.push(owed(2))).toThrow(RangeError);
  });

  test('accepts at most 64 MiB of unsettled payloads, or a single larger one', () => {
    const mebibyte = 1024 * 1024;
    const { queue } = queueOf(10);
    const [first, second] = [
      { ...owed(1), bytes: 40 * mebibyte },
      { ...owed(2), bytes: 24 * mebibyte },
    ];
    queue.push(first);
    expect(queue.full).toBe(false);
    queue.push(second);
    expect(queue.full).toBe(true);
    expect(() => queue.push(owed(3))).toThrow(RangeError);
    queue.settle(first);
    queue.flush();
    expect([queue.full, queue.half]).toEqual([false, true]);
    queue.settle(second);
    queue.flush();
    queue.push({ ...owed(4), bytes: 200 * mebibyte });
    expect([queue.full, queue.half]).toEqual([true, false]);
  });

  test('acknowledges each delivery at most once, in order, never before it is settled, whatever happens', () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant('push' as const), qos: fc.constantFrom<Qos>(0, 1, 2) }),
      fc.record({ do: fc.constant('settle' as const), which: fc.nat(200) }),
      fc.record({ do: fc.constant('settleTwice' as const), which: fc.nat(200) }),
      fc.constant({ do: 'flush' as const }),
      fc.constant({ do: 'reconnect' as const }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 40 }), fc.array(step, { maxLength: 120 }), (window, steps) => {
        const world = new World(window);
        for (const each of steps) world.act(each);
        world.finish();
      }),
      { numRuns: 500 },
    );
  });
});

type Step =
  | { do: 'push'; qos: Qos }
  | { do: 'settle' | 'settleTwice'; which: number }
  | { do: 'flush' | 'reconnect' };

/** A connection and its successors, and a simple model of the allowed traffic. */
class World {
  readonly #window: number;
  readonly #every: { entry: Owed; queue: AckQueue }[] = [];
  #connection: { queue: AckQueue; wire: Written[]; pushed: Owed[] };
  #nextId = 1;

  constructor(window: number) {
    this.#window = window;
    this.#connection = { ...queueOf(window), pushed: [] };
  }

  act(step: Step): void {
    const { queue, pushed } = this.#connection;
    if (step.do === 'push' && !queue.full) {
      const entry = owed(step.qos === 0 ? 0 : this.#nextId++, step.qos);
      queue.push(entry);
      pushed.push(entry);
      this.#every.push({ entry, queue });
    }
    if (step.do === 'settle' || step.do === 'settleTwice') {
      const chosen = this.#every[step.which % Math.max(1, this.#every.length)];
      chosen?.queue.settle(chosen.entry);
      if (step.do === 'settleTwice') chosen?.queue.settle(chosen.entry);
    }
    if (step.do === 'flush') queue.flush();
    if (step.do === 'reconnect') {
      this.finish();
      queue.abandon();
      this.#connection = { ...queueOf(this.#window), pushed: [] };
    }
    this.#verify();
  }

  finish(): void {
    this.#connection.queue.flush();
    this.#verify();
    const settled = this.#connection.pushed.findIndex((entry) => !entry.settled);
    const due = settled < 0 ? this.#connection.pushed : this.#connection.pushed.slice(0, settled);
    expect(this.#connection.wire.length).toBe(due.filter(({ qos }) => qos > 0).length);
  }

  /** The acknowledgements on the wire are a prefix of the received messages, all settled. */
  #verify(): void {
    const { wire, pushed, queue } = this.#connection;
    const expected = pushed.filter(({ qos }) => qos > 0).slice(0, wire.length);
    expect(wire.map(({ id }) => id)).toEqual(expected.map(({ packetId }) => packetId));
    expect(expected.every(({ settled }) => settled)).toBe(true);
    expect(queue.length).toBeLessThanOrEqual(this.#window);
  }
}
