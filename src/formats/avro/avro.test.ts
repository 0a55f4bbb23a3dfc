import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../../test/support/arbitrary-rows.ts';
import { codecFor, validateSchema } from '../codec.ts';
import type { ConnectionSchema, Field } from '../schema/schema.ts';

const numRuns = process.env.PENSTOCK_SOAK ? 20_000 : 120;
const cases = arbitraryFields.chain((fields) => fc.tuple(fc.constant(fields), arbitraryRow(fields)));

const encodings = [{}, { raw_datums: true }, { single_object: true }] as const;

describe.each(encodings)('any row of any schema in Avro with %o', (options) => {
  const schemaOf = (fields: Field[]): ConnectionSchema => ({ format: { type: 'avro', ...options }, fields });

  test('is the same after writing and reading it', () => {
    fc.assert(
      fc.property(cases, ([fields, row]) => {
        fc.pre(validateSchema(schemaOf(fields)).length === 0);
        const codec = codecFor(schemaOf(fields));
        expect(codec.decode(codec.encode(row))).toEqual(row);
      }),
      { numRuns },
    );
  });

  test('is only ever refused with bad_data when bytes of it are changed', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { maxLength: 4 });
    fc.assert(
      fc.property(cases, damage, fc.nat({ max: 8 }), ([fields, row], changes, cut) => {
        fc.pre(validateSchema(schemaOf(fields)).length === 0);
        const codec = codecFor(schemaOf(fields));
        const payload = Buffer.from(codec.encode(row));
        fc.pre(payload.length > 0);
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
