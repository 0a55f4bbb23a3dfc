import * as cborX from 'cbor-x/encode';
import fc from 'fast-check';
import * as msgpackr from 'msgpackr/pack';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../../test/support/arbitrary-rows.ts';
import { codecFor } from '../codec.ts';
import type { Field } from '../schema/schema.ts';

const numRuns = process.env.PENSTOCK_SOAK ? 20_000 : 120;
const cases = arbitraryFields.chain((fields) => fc.tuple(fc.constant(fields), arbitraryRow(fields)));

test('no native addon reads or writes, so that all machines do the same', () => {
  for (const library of [cborX, msgpackr])
    expect(library).toHaveProperty('isNativeAccelerationEnabled', false);
});

describe.each(['cbor', 'msgpack'] as const)('any row of any schema in %s', (type) => {
  const codecOf = (fields: Field[]) => codecFor({ format: { type }, fields });

  test('is the same after writing and reading it', () => {
    fc.assert(
      fc.property(cases, ([fields, row]) => {
        const codec = codecOf(fields);
        expect(codec.decode(codec.encode(row))).toEqual(row);
      }),
      { numRuns },
    );
  });
  test('is only ever refused with bad_data when bytes of it are changed', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(cases, damage, fc.nat({ max: 8 }), ([fields, row], changes, cut) => {
        const codec = codecOf(fields);
        const payload = Buffer.from(codec.encode(row));
        for (const [at, byte] of changes) payload[at % payload.length] = byte;
        try {
          codec.decode(payload.subarray(0, Math.max(0, payload.length - cut)));
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad_data' });
        }
      }),
      { numRuns },
    );
  });
});

test.each(['cbor', 'msgpack'] as const)(
  '%s reads texts without an offset in the timezone of the table',
  (type) => {
    const write = codecFor({ format: { type }, fields: [{ name: 'at', type: 'string' }] });
    const read = codecFor({
      format: { type, timezone: 'Europe/Berlin' },
      fields: [{ name: 'at', type: 'timestamp', unit: 'second' }],
    });
    for (const [at, time] of [
      ['2024-07-01T12:00:00', 1_719_828_000n],
      ['2024-12-01 12:00:00', 1_733_050_800n],
      ['2024-07-01T12:00:00Z', 1_719_835_200n],
    ] as const)
      expect(read.decode(write.encode({ at }))).toEqual({ at: time });
    expect(() => codecFor({ format: { type, timezone: 'Mars/Base' }, fields: [] })).toThrow();
  },
);
