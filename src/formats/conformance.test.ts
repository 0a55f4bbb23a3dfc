import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { arbitraryFields, arbitraryRow } from '../../test/support/arbitrary-rows.ts';
import { type CodecCase, codecCases } from '../../test/support/conformance-cases.ts';
import { PenstockError } from '../errors.ts';
import { codecFor, expandSchema } from './codec.ts';
import type { Row } from './format.ts';
import { formatTypes } from './registry.ts';
import type { ConnectionSchema, Field } from './schema/schema.ts';

/**
 * Rules for every format. A format takes part by being listed in `registry.ts`; `conformance-cases.ts` says with which
 * options, and what it cannot express. Columns that its `validate` refuses are left out by themselves.
 */

test('every format has a case', () => {
  expect([...new Set(codecCases.map(({ format }) => format.type))].sort()).toEqual([...formatTypes].sort());
});

test('tables with the same schema share a codec', () => {
  const schemaOf = (name: string): ConnectionSchema =>
    expandSchema({ format: { type: 'json' }, fields: [{ name, type: 'string' }] });
  const codec = codecFor(schemaOf('a'));
  expect(codecFor(schemaOf('a'))).toBe(codec);
  expect(codecFor(schemaOf('b'))).not.toBe(codec);
});

/** A schema of the case with arbitrary columns, or with the one that holds the whole message. */
function schemas(codecCase: CodecCase): fc.Arbitrary<ConnectionSchema> {
  const { format, framing, whole } = codecCase;
  const bare: ConnectionSchema = framing ? { format, framing } : { format };
  if (whole) return fc.constant(expandSchema(bare));
  if (codecCase.fields) return fc.constant(expandSchema({ ...bare, fields: codecCase.fields }));
  const fits = (field: Field): boolean => isValid(complete({ ...bare, fields: [field] }, codecCase));
  return arbitraryFields
    .map((fields) => ({ ...bare, fields: fields.filter(fits) }))
    .filter(({ fields }) => fields.length > 0)
    .map((schema) => complete(schema, codecCase))
    .filter(isValid);
}

function complete(schema: ConnectionSchema, { define }: CodecCase): ConnectionSchema {
  const definition = define?.(schema.fields ?? []);
  return definition ? { ...schema, definition } : schema;
}

function isValid(schema: ConnectionSchema): boolean {
  try {
    codecFor(schema);
    return true;
  } catch (error) {
    if (error instanceof PenstockError && error.code === 'invalid_schema') return false;
    throw error;
  }
}

/** Rows that the case can express, as they are after a round trip. */
function rows(schema: ConnectionSchema, { expressible, normal }: CodecCase): fc.Arbitrary<Row> {
  return arbitraryRow(schema.fields ?? [])
    .map((row) => normal?.(row, schema) ?? row)
    .filter((row) => expressible?.(row, schema) ?? true);
}

const metadata: Field = { name: ' topic', type: 'string', metadata_key: 'topic' };

describe.each(codecCases)('$name', (codecCase) => {
  const written = schemas(codecCase).chain((schema) =>
    fc.tuple(fc.constant(schema), fc.array(rows(schema, codecCase), { minLength: 1, maxLength: 3 })),
  );

  test('reads what it wrote', () => {
    fc.assert(
      fc.property(written, ([schema, [row]]) => {
        const codec = codecFor(schema);
        const payload = codec.encode(row as Row);
        expect(codec.decode(payload)).toEqual(row);
        expect(codec.decodeAll?.(payload) ?? [row]).toEqual([row]);
      }),
      { numRuns: 60 },
    );
  });

  test('writes no metadata columns, and reads them as null', () => {
    fc.assert(
      fc.property(written, ([schema, [row]]) => {
        const plain = codecFor(schema).encode(row as Row);
        const codec = codecFor({ ...schema, fields: [...(schema.fields ?? []), metadata] });
        expect(codec.encode({ ...row, ' topic': 'a/b' })).toEqual(plain);
        expect(codec.decode(plain)).toEqual({ ...row, ' topic': null });
      }),
      { numRuns: 30 },
    );
  });

  test.runIf(codecCase.framing)('reads several rows from one message, and goes on after a bad one', () => {
    fc.assert(
      fc.property(written, ([schema, several]) => {
        const codec = codecFor(schema);
        const payload = Buffer.concat(several.map((row) => codec.encode(row)));
        expect(codec.decodeAll?.(payload)).toEqual(several);
      }),
      { numRuns: 60 },
    );
  });

  test('refuses arbitrary bytes and damaged messages with bad_data alone', () => {
    const damaged = written.chain(([schema, [row]]) => {
      const payload = codecFor(schema).encode(row as Row);
      const edits = fc.array(fc.tuple(fc.nat(payload.length), fc.nat(255)), { maxLength: 3 });
      const cut = fc.tuple(edits, fc.nat(payload.length)).map(([changes, length]) => {
        const copy = Buffer.from(payload);
        for (const [at, byte] of changes) copy[at] = byte;
        return copy.subarray(0, length);
      });
      const noise = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
      return fc.tuple(fc.constant(schema), fc.oneof(cut, noise));
    });
    fc.assert(
      fc.property(damaged, ([schema, payload]) => {
        const codec = codecFor(schema);
        for (const read of [codec.decode, codec.decodeAll]) {
          try {
            read?.(payload);
          } catch (error) {
            expect(error).toMatchObject({ code: 'bad_data', errors: [{ path: expect.any(String) }] });
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  test('refuses values of the wrong type with bad_row alone', () => {
    const wrong = written.chain(([schema]) => {
      const names = (schema.fields ?? []).map(({ name }) => name);
      const value = fc.oneof(fc.constantFrom(null, true, 1.5, -1n, 2n ** 65n, 'x', '\ud800', 1e300, {}, []));
      return fc.tuple(
        fc.constant(schema),
        fc
          .tuple(...names.map(() => value))
          .map((values) => Object.fromEntries(names.map((name, index) => [name, values[index]]))),
      );
    });
    fc.assert(
      fc.property(wrong, ([schema, row]) => {
        try {
          codecFor(schema).encode(row as Row);
        } catch (error) {
          expect(error).toMatchObject({ code: 'bad_row' });
        }
      }),
      { numRuns: 120 },
    );
  });
});
