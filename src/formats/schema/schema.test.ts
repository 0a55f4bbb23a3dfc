import { describe, expect, test } from 'vitest';
import { PenstockError } from '../../errors.ts';
import { codecFor, expandSchema, type KnownMetadata, validateSchema } from '../codec.ts';
import type { ConnectionSchema, Field } from './schema.ts';
import { sqlType } from './sql-type.ts';

const json = { type: 'json' } as const;

function pathsOf(schema: ConnectionSchema, metadata?: KnownMetadata[]): string[] {
  return validateSchema(schema, metadata).map(({ path }) => path);
}

describe('validating a schema', () => {
  test('accepts a valid schema', () => {
    const fields: Field[] = [
      { name: 'a', type: 'struct', fields: [{ name: 'b', type: 'list', items: { type: 'json' } }] },
      { name: 'c', type: 'decimal128', precision: 5, scale: 5 },
    ];
    expect(validateSchema({ format: json, fields, primary_keys: ['c'] })).toEqual([]);
  });

  const wrong: [name: string, field: Field, path: string][] = [
    ['a decimal without precision', { name: 'a', type: 'decimal128', scale: 1 }, '/fields/0/precision'],
    ['a decimal without scale', { name: 'a', type: 'decimal128', precision: 1 }, '/fields/0/scale'],
    [
      'a scale above the precision',
      { name: 'a', type: 'decimal128', precision: 1, scale: 2 },
      '/fields/0/scale',
    ],
    ['a struct without fields', { name: 'a', type: 'struct' }, '/fields/0/fields'],
    ['a list without items', { name: 'a', type: 'list' }, '/fields/0/items'],
    ['a unit on a number', { name: 'a', type: 'int32', unit: 'second' }, '/fields/0/unit'],
    ['items on a string', { name: 'a', type: 'string', items: { type: 'json' } }, '/fields/0/items'],
    [
      'two members of one name in a list of structs',
      {
        name: 'a',
        type: 'list',
        items: {
          type: 'struct',
          fields: [
            { name: 'b', type: 'bool' },
            { name: 'b', type: 'json' },
          ],
        },
      },
      '/fields/0/items/fields/1/name',
    ],
    [
      'metadata inside a struct',
      { name: 'a', type: 'struct', fields: [{ name: 'b', type: 'bool', metadata_key: 'dup' }] },
      '/fields/0/fields/0/metadata_key',
    ],
  ];
  test.each(wrong)('refuses %s', (_name, field, path) => {
    expect(pathsOf({ format: json, fields: [field] })).toEqual([path]);
  });

  test('refuses nesting that is too deep', () => {
    let field: Field = { name: 'a', type: 'bool' };
    for (let depth = 0; depth < 40; depth += 1) field = { name: 'a', type: 'struct', fields: [field] };
    expect(pathsOf({ format: json, fields: [field] })).toHaveLength(1);
  });

  test('refuses a missing format, no fields, a repeated name and an unknown key', () => {
    expect(pathsOf({ fields: [{ name: 'a', type: 'bool' }] })).toEqual(['/format']);
    expect(pathsOf({ format: json })).toEqual(['/fields']);
    const twice: Field[] = [
      { name: 'a', type: 'bool' },
      { name: 'a', type: 'bool' },
    ];
    expect(pathsOf({ format: json, fields: twice })).toEqual(['/fields/1/name']);
    expect(pathsOf({ format: json, fields: [{ name: 'a', type: 'bool' }], primary_keys: ['b'] })).toEqual([
      '/primary_keys/0',
    ]);
  });

  test('requires the one field of raw_string and unstructured json, with any metadata', () => {
    const topic: Field = { name: 'topic', type: 'string', metadata_key: 'topic' };
    const value: Field = { name: 'value', type: 'string' };
    expect(pathsOf({ format: { type: 'raw_string' }, fields: [value, topic] })).toEqual([]);
    expect(pathsOf({ format: { type: 'raw_string' }, fields: [{ ...value, type: 'json' }] })).toEqual([
      '/fields',
    ]);
    expect(pathsOf({ format: { type: 'raw_string' }, fields: [value, { ...value, name: 'b' }] })).toEqual([
      '/fields',
    ]);
    expect(pathsOf({ format: { ...json, unstructured: true }, fields: [value] })).toEqual(['/fields']);
    expect(
      pathsOf({ format: { ...json, unstructured: true }, fields: [{ ...value, type: 'json' }] }),
    ).toEqual([]);
  });

  test('checks metadata keys if the connector offers some', () => {
    const schema = (metadata_key: string): ConnectionSchema => ({
      format: json,
      fields: [
        { name: 'a', type: 'bool' },
        { name: 'b', type: 'string', metadata_key },
      ],
    });
    const known: KnownMetadata[] = [
      { name: 'topic', type: 'string' },
      { name: 'qos', type: 'int32' },
    ];
    expect(validateSchema(schema('nope'))).toEqual([]);
    expect(validateSchema(schema('topic'), known)).toEqual([]);
    expect(validateSchema(schema('nope'), known)[0]?.message).toContain('it has topic, qos');
    expect(pathsOf(schema('qos'), known)).toEqual(['/fields/1/metadata_key']);
  });

  test('requires a list of the item type of the metadata', () => {
    const known: KnownMetadata[] = [{ name: 'levels', type: 'list', items: 'string' }];
    const schema = (type: 'string' | 'int64'): ConnectionSchema => ({
      format: json,
      fields: [
        { name: 'a', type: 'bool' },
        { name: 'b', type: 'list', items: { type }, metadata_key: 'levels' },
      ],
    });
    expect(pathsOf(schema('string'), known)).toEqual([]);
    expect(pathsOf(schema('int64'), known)).toEqual(['/fields/1/metadata_key']);
  });

  test('stops codecFor with the same errors', () => {
    expect(() => codecFor({ format: json })).toThrow(PenstockError);
    expect(() => codecFor({ format: json })).toThrow(expect.objectContaining({ code: 'invalid_schema' }));
  });
});

describe('the name of a type in SQL', () => {
  const names: [field: Parameters<typeof sqlType>[0], name: string][] = [
    [{ type: 'int32' }, 'INTEGER'],
    [{ type: 'uint32' }, 'INTEGER UNSIGNED'],
    [{ type: 'uint64' }, 'BIGINT UNSIGNED'],
    [{ type: 'bytes' }, 'BINARY'],
    [{ type: 'decimal128', precision: 10, scale: 2 }, 'DECIMAL(10, 2)'],
    [{ type: 'timestamp' }, 'TIMESTAMP(3)'],
    [{ type: 'timestamp', unit: 'nanosecond' }, 'TIMESTAMP(9)'],
    [{ type: 'list', items: { type: 'bool' } }, 'BOOLEAN[]'],
    [
      {
        type: 'struct',
        fields: [
          { name: 'a', type: 'int32' },
          { name: 'b', type: 'string' },
        ],
      },
      'STRUCT <a INTEGER, b TEXT>',
    ],
  ];
  test.each(names)('of %o is %s', (field, name) => {
    expect(sqlType(field)).toBe(name);
  });
});

describe('expanding a schema', () => {
  const fieldsFor = (definition: unknown): Field[] =>
    expandSchema({ format: json, definition: { type: 'json_schema', schema: JSON.stringify(definition) } })
      .fields ?? [];

  test('fills in optional parts, and changes nothing the second time', () => {
    const fields: Field[] = [{ name: 'a', type: 'list', items: { type: 'timestamp' } }];
    const expanded = expandSchema({ format: json, fields });
    expect(expanded.fields).toEqual([
      {
        name: 'a',
        type: 'list',
        items: {
          name: 'item',
          type: 'timestamp',
          unit: 'millisecond',
          required: false,
          sql_name: 'TIMESTAMP(3)',
        },
        required: false,
        sql_name: 'TIMESTAMP(3)[]',
      },
    ]);
    expect(expandSchema(expanded)).toEqual(expanded);
  });

  test('gives raw_string and unstructured json their one field', () => {
    expect(expandSchema({ format: { type: 'raw_string' } }).fields).toMatchObject([
      { name: 'value', type: 'string' },
    ]);
    const unstructured = { format: { ...json, unstructured: true } };
    expect(expandSchema(unstructured).fields).toMatchObject([{ name: 'value', type: 'json' }]);
    expect(validateSchema(expandSchema(unstructured))).toEqual([]);
  });

  test('derives fields from a JSON Schema', () => {
    const fields = fieldsFor({
      type: 'object',
      required: ['id', 'at', 'tags', 'maybe'],
      properties: {
        id: { type: 'integer' },
        small: { type: 'integer', format: 'int32' },
        at: { type: 'string', format: 'date-time' },
        load: { type: 'number' },
        on: { type: ['boolean', 'null'] },
        maybe: { type: ['string', 'null'] },
        tags: { type: 'array', items: { $ref: '#/$defs/tag' } },
        any: {},
        either: { type: ['string', 'integer'] },
        open: { type: 'object' },
      },
      $defs: { tag: { type: 'object', properties: { k: { type: 'string' } }, required: ['k'] } },
    });
    expect(
      fields.map(({ name, sql_name, required }) => `${name} ${sql_name}${required ? ' NOT NULL' : ''}`),
    ).toEqual([
      'id BIGINT NOT NULL',
      'small INTEGER',
      'at TIMESTAMP(9) NOT NULL',
      'load DOUBLE',
      'on BOOLEAN',
      'maybe TEXT',
      'tags STRUCT <k TEXT>[] NOT NULL',
      'any JSON',
      'either JSON',
      'open JSON',
    ]);
    expect(validateSchema({ format: json, fields })).toEqual([]);
  });

  test('keeps metadata columns beside a definition', () => {
    const definition = { type: 'json_schema', schema: '{"properties":{"a":{"type":"boolean"}}}' } as const;
    const topic: Field = { name: 't', type: 'string', metadata_key: 'topic' };
    const { fields = [] } = expandSchema({ format: json, definition, fields: [topic] });
    expect(fields.map(({ name }) => name)).toEqual(['a', 't']);
  });

  const multiplied = Object.fromEntries(
    Array.from({ length: 20 }, (_, index) => [
      `d${index}`,
      { properties: { a: { $ref: `#/$defs/d${index + 1}` }, b: { $ref: `#/$defs/d${index + 1}` } } },
    ]),
  );
  test.each([
    ['no object', [], 'describes an object'],
    ['no properties', { type: 'object' }, '# must describe an object'],
    ['a list at the top', { type: 'array', items: {} }, '# must describe an object'],
    ['an unknown type', { properties: { a: { type: 'text' } } }, '#/properties/a has the type "text"'],
    [
      'another document',
      { properties: { a: { $ref: 'other.json' } } },
      '#/properties/a refers to another document',
    ],
    ['a missing part', { properties: { a: { $ref: '#/$defs/b' } } }, 'which is not in the document'],
    [
      'a schema inside itself',
      { properties: { a: { $ref: '#' } } },
      '#/properties/a/properties/a refers to itself',
    ],
    [
      'too many fields',
      { properties: { a: { $ref: '#/$defs/d0' } }, $defs: { ...multiplied, d20: {} } },
      'exceeds the maximum',
    ],
  ])('refuses %s, and says where', (_name, definition, message) => {
    expect(() => fieldsFor(definition)).toThrow(message);
    expect(() => fieldsFor(definition)).toThrow(expect.objectContaining({ code: 'invalid_schema' }));
  });

  test('refuses a definition that is not JSON, and one for another format', () => {
    const definition = { type: 'json_schema', schema: '{' } as const;
    expect(() => expandSchema({ format: json, definition })).toThrow('not a JSON document');
    expect(() => expandSchema({ format: { type: 'raw_string' }, definition })).toThrow('takes no definition');
  });
});
