import fc from 'fast-check';
import { expect, test } from 'vitest';
import { InFlightMessages, PendingWrite, type SentMessage } from './outgoing.ts';

const write = new PendingWrite([]);

test('hands out no packet identifier twice, loses none, and reuses the last freed one last', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 20 }), fc.array(fc.nat(30), { maxLength: 200 }), (most, moves) => {
      const inFlight = new InFlightMessages(most);
      const free = Array.from({ length: most }, (_, index) => index + 1);
      const used: number[] = [];
      for (const move of moves) {
        const [given] = used.splice(move % most, 1);
        const sent = given === undefined ? undefined : inFlight.find(given);
        if (given !== undefined && sent) {
          inFlight.remove(sent);
          free.push(given);
          expect(inFlight.find(given)).toBeUndefined();
        } else if (!inFlight.full) {
          const packetId = inFlight.add(write, move);
          expect(packetId).toBe(free.shift());
          expect(inFlight.find(packetId)).toMatchObject({ packetId, write, index: move, released: false });
          used.push(packetId);
        }
        expect(inFlight.count).toBe(used.length);
        expect(inFlight.full).toBe(free.length === 0);
      }
    }),
  );
});

test('finds no message for an unused identifier', () => {
  const inFlight = new InFlightMessages(2);
  for (const packetId of [0, 1, 3, 65_535]) expect(inFlight.find(packetId)).toBeUndefined();
});

test('hands out the maximum number of packet identifiers, each once', () => {
  for (const most of [1, 63, 64, 65, 1000, 65_535]) {
    const inFlight = new InFlightMessages(most);
    const given = new Set<number>();
    while (!inFlight.full) given.add(inFlight.add(write, 0));
    expect(given.size).toBe(most);
    expect(inFlight.count).toBe(most);
    expect(Math.max(...given)).toBe(most);
    expect(() => inFlight.add(write, 0)).toThrow(RangeError);
    for (const packetId of given) inFlight.remove(inFlight.find(packetId) as SentMessage);
    expect(inFlight.count).toBe(0);
  }
});
