import { gzipSync } from 'node:zlib';
import protobufjs from 'protobufjs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { codecFor, expandSchema, inMessage, rowsOf, validateSchema } from './codec.ts';
import recorded from './fixtures/registry/registry.json' with { type: 'json' };
import type { RegisteredSchema, RegisteredSchemas } from './registered.ts';
import { formatOf } from './registry.ts';
import type { ConnectionSchema, Field, Format } from './schema/schema.ts';
import { badData } from './values/bad.ts';

/** Messages of Confluent's serializers, with what a registry has of them: see fixtures/registry. */

type Name = keyof typeof recorded.messages;
const message = (name: Name): Buffer => Buffer.from(recorded.messages[name], 'hex');

const stored = new Map(
  Object.entries(recorded.schemas).map(([id, found]): [number, RegisteredSchema] => {
    const { schema, references, schemaType = 'AVRO' } = found as typeof found & { schemaType?: string };
    const versions = recorded.versions as Record<string, { schema: string }>;
    const texts = references.map(({ name, subject, version }) => [
      name,
      versions[`subjects/${subject}/versions/${version}`]?.schema,
    ]);
    return [
      Number(id),
      { type: schemaType as RegisteredSchema['type'], schema, references: Object.fromEntries(texts) },
    ];
  }),
);

/** Schemas of which all are loaded at once. */
class Loaded implements RegisteredSchemas {
  readonly asked: number[][] = [];
  readonly more = new Map<number, RegisteredSchema>();
  isKnown = (id: number) => this.asked.flat().includes(id);
  get = (id: number) =>
    this.isKnown(id)
      ? (this.more.get(id) ?? stored.get(id) ?? badData('', `has an unknown id ${id}`))
      : undefined;
  load(ids: ReadonlySet<number>): Promise<void> | undefined {
    const left = [...ids].filter((id) => !this.isKnown(id));
    if (left.length === 0) return undefined;
    this.asked.push(left);
    return Promise.resolve();
  }
}

const registry = { confluent_schema_registry: true } as const;

async function read(
  format: Format,
  schema: Partial<ConnectionSchema>,
  payload: Buffer,
  schemas = new Loaded(),
) {
  const full = expandSchema({ format, ...schema });
  expect(validateSchema(full)).toEqual([]);
  const codec = codecFor(full, schemas);
  await codec.prepare?.([payload]);
  expect(codec.prepare?.([payload])).toBeUndefined();
  return rowsOf(codec, payload);
}

const avro: Format = { type: 'avro', ...registry };
const json: Format = { type: 'json', ...registry };
const protobuf = (message_name?: string): Format =>
  ({ type: 'protobuf', message_name, ...registry }) as Format;
const idOf = (name: Name) => message(name).readUInt32BE(1);

/** The definition that a table gets of the schema of a message. */
function definitionOf(name: Name, format: Format) {
  return formatOf(format)?.registry?.definitionOf(stored.get(idOf(name)) as RegisteredSchema);
}

const place: Field = { name: 'place', type: 'struct', fields: [{ name: 'hall', type: 'string' }] };

describe('messages with schemas in a registry', () => {
  test('of Avro are read with their own schema, which refers to others', async () => {
    const row = {
      device: 'oven-1',
      celsius: 218.5,
      place: { hall: 'B' },
      sent: 1_700_000_000_123n,
      price: '12.34',
    };
    expect(await read(avro, { definition: definitionOf('avro', avro) }, message('avro'))).toEqual([row]);
    const fields: Field[] = [
      place,
      { name: 'celsius', type: 'float32' },
      { name: 'missing', type: 'string' },
    ];
    expect(await read(avro, { fields }, message('avro'))).toEqual([
      { place: { hall: 'B' }, celsius: 218.5, missing: null },
    ]);
    const [whole] = await read({ ...avro, into_unstructured_json: true }, {}, message('avro'));
    expect(JSON.parse(String(whole?.value))).toMatchObject({ device: 'oven-1', price: 12.34 });
  });

  test('of Avro are resolved to the definition: defaults, aliases, wider types', async () => {
    const reader = {
      type: 'record',
      name: 'plant.Reading',
      fields: [
        { name: 'device', type: 'string', aliases: ['machine'] },
        { name: 'celsius', type: ['null', 'double'] },
        { name: 'count', type: 'long' },
        { name: 'unit', type: 'string', default: 'C' },
        { name: 'limits', type: { type: 'array', items: 'int' }, default: [1, 2] },
        {
          name: 'place',
          type: {
            type: 'record',
            name: 'Place',
            fields: [
              { name: 'hall', type: 'string' },
              { name: 'row', type: ['int', 'null'], default: 7 },
            ],
          },
        },
      ],
    };
    const definition = { type: 'avro_schema', schema: JSON.stringify(reader) } as const;
    expect(await read(avro, { definition }, message('avro_later'))).toEqual([
      { device: 'oven-2', celsius: 0.5, count: 7n, unit: 'C', limits: [1, 2], place: { hall: 'C', row: 7 } },
    ]);
    await expect(
      read(avro, { definition: definitionOf('avro', avro) }, message('avro_later')),
    ).rejects.toThrow(
      'The field /device is required but missing in the schema it was written with; its schema has the id 7',
    );
  });

  test('of JSON are read behind the header', async () => {
    const definition = definitionOf('json', json);
    expect(expandSchema({ format: json, definition }).fields).toMatchObject([
      { name: 'device', type: 'string', required: true },
      { name: 'celsius', type: 'float64', required: false },
    ]);
    expect(await read(json, { definition }, message('json'))).toEqual([{ device: 'oven-1', celsius: null }]);
    const gzip = gzipSync(message('json'));
    expect(await read({ ...json, compression: 'gzip' } as Format, { definition }, gzip)).toHaveLength(1);
    const lines = Buffer.concat([message('json'), Buffer.from('\n{"device":"b"}')]);
    expect(await read(json, { definition, framing: { method: 'newline' } }, lines)).toHaveLength(2);
  });

  test('of Protobuf are read by the numbers of the definition, which the registry has as a descriptor', async () => {
    const format = protobuf('plant.Reading');
    const row = {
      device: 'oven-1',
      celsius: 218.5,
      place: { hall: 'B' },
      sent: 1_700_000_000_000_000_000n,
      inner: { big: 2n ** 53n + 1n },
    };
    expect(await read(format, { definition: definitionOf('protobuf', format) }, message('protobuf'))).toEqual(
      [row],
    );
    const schema =
      'syntax = "proto3"; package plant; message Reading { string machine = 1; int32 more = 9; }';
    const definition = { type: 'protobuf_schema', schema } as const;
    expect(await read(format, { definition }, message('protobuf'))).toEqual([{ machine: 'oven-1', more: 0 }]);
    await expect(read(format, { definition }, message('protobuf_inner'))).rejects.toThrow(
      'is a plant.Reading.Inner; the table reads plant.Reading',
    );
  });

  test('of Protobuf are read without a definition: by name, or as documents', async () => {
    const fields: Field[] = [
      { name: 'celsius', type: 'float64' },
      { name: 'device', type: 'string' },
      { name: 'missing', type: 'int32' },
      { name: 'sent', type: 'timestamp', unit: 'microsecond' },
    ];
    expect(await read(protobuf(), { fields }, message('protobuf'))).toEqual([
      { celsius: 218.5, device: 'oven-1', missing: null, sent: 1_700_000_000_000_000n },
    ]);
    const wrong: Field[] = [{ name: 'celsius', type: 'string' }];
    await expect(read(protobuf(), { fields: wrong }, message('protobuf'))).rejects.toThrow(
      'is DOUBLE in the schema it was written with, not TEXT',
    );
    const whole = { ...protobuf(), into_unstructured_json: true } as Format;
    const [inner] = await read(whole, {}, message('protobuf_inner'));
    expect(inner?.value).toBe('{"big":9007199254740993}');
  });

  test('are bad data if their schema is unknown, of another type, or unreadable', async () => {
    const fields: Field[] = [{ name: 'device', type: 'string' }];
    await expect(read(json, { fields }, message('avro'))).rejects.toMatchObject({
      code: 'bad_data',
      message: 'The payload is AVRO, not json; its schema has the id 6 in the registry',
    });
    await expect(read(avro, { fields }, Buffer.from('0000000063ff', 'hex'))).rejects.toThrow('unknown id 99');
    await expect(read(avro, { fields }, Buffer.from('{}'))).rejects.toThrow("begin with Confluent's header");
    const schemas = new Loaded();
    schemas.more.set(1, { type: 'AVRO', schema: '{', references: {} });
    schemas.more.set(2, { type: 'PROTOBUF', schema: 'message', references: {} });
    await expect(read(avro, { fields }, Buffer.from('0000000001ff', 'hex'), schemas)).rejects.toThrow(
      'has an invalid Avro schema',
    );
    await expect(read(protobuf(), { fields }, Buffer.from('000000000200', 'hex'), schemas)).rejects.toThrow(
      'Protobuf schema that cannot be read',
    );
  });

  test('are bad data if their schema has too many fields, or an id that no registry can have', async () => {
    const schemas = new Loaded();
    const members = (type: string) =>
      Array.from({ length: 50 }, (_, index) => `${type} f${index} = ${index + 1};`).join(' ');
    const schema = `syntax = "proto3"; message Wide { ${members('Inner')} } message Inner { ${members('int32')} }`;
    schemas.more.set(1, { type: 'PROTOBUF', schema, references: {} });
    const fields: Field[] = [{ name: 'f0', type: 'int32' }];
    await expect(
      read(protobuf(), { fields }, Buffer.from('000000000100', 'hex'), schemas),
    ).rejects.toMatchObject({ code: 'bad_data', message: expect.stringContaining('too many fields') });
    await expect(read(avro, { fields }, Buffer.from('0080000000ff', 'hex'), schemas)).rejects.toMatchObject({
      code: 'bad_data',
      message: expect.stringContaining('has the schema id 2147483648'),
    });
    expect(schemas.asked.flat()).toEqual([1]);
  });

  test('of the wrong type take no parsing of the schema each', async () => {
    const schemas = new Loaded();
    const codec = codecFor(expandSchema({ format: protobuf('plant.Reading'), fields: [place] }), schemas);
    await codec.prepare?.([message('protobuf_inner')]);
    const decode = () => codec.decode(message('protobuf_inner'));
    expect(decode).toThrow('is a plant.Reading.Inner');
    const parse = vi.spyOn(protobufjs, 'parse');
    onTestFinished(() => void parse.mockRestore());
    expect(decode).toThrow('is a plant.Reading.Inner');
    expect(parse).not.toHaveBeenCalled();
  });

  test('are read if they are compressed behind a long header', async () => {
    const packed = gzipSync(message('json'));
    packed[3] = 8; // A file name follows the header.
    const name = Buffer.alloc(6000, 'x').fill(0, 5999);
    const payload = Buffer.concat([packed.subarray(0, 10), name, packed.subarray(10)]);
    const fields: Field[] = [{ name: 'device', type: 'string' }];
    expect(await read({ ...json, compression: 'gzip' } as Format, { fields }, payload)).toEqual([
      { device: 'oven-1' },
    ]);
  });

  test('have readers up to a number of characters', () => {
    const made: number[] = [];
    const row = (n: number) => ({ decode: () => ({ n }), encode: () => Buffer.alloc(0) });
    const lengths = [3, 3, 1].map((length) => length * 1024 * 1024);
    const schemas = {
      get: (id: number) => ({ type: 'AVRO', schema: 'x'.repeat(lengths[id] ?? 0), references: {} }) as const,
      load: () => undefined,
    };
    const reader = ({ schema }: RegisteredSchema) => {
      made.push(schema.length / (1024 * 1024));
      return row(0);
    };
    const codec = inMessage(row(0), avro, { schemas, reader });
    const decode = (id: number) => codec.decode(Buffer.from([0, 0, 0, 0, id]));
    for (const id of [0, 1, 2, 0, 1, 2]) decode(id);
    expect(made).toEqual([3, 3, 1]);
    lengths.push(3 * 1024 * 1024);
    for (const id of [3, 1, 0]) decode(id);
    expect(made).toEqual([3, 3, 1, 3, 3]);
  });

  test('of Avro take an alias only for what no column has as its name', async () => {
    const ofReader = (...names: object[]) => ({
      type: 'avro_schema' as const,
      schema: JSON.stringify({ type: 'record', name: 'R', fields: names }),
    });
    const schemas = new Loaded();
    const { schema } = ofReader({ name: 'a', type: 'string' });
    schemas.more.set(1, { type: 'AVRO', schema, references: {} });
    const payload = Buffer.from('00000000010278', 'hex');
    const aliased = { name: 'b', type: ['null', 'string'], aliases: ['a'], default: null };
    const exact = { name: 'a', type: ['null', 'string'] };
    for (const definition of [ofReader(exact, aliased), ofReader(aliased, exact)])
      expect(await read(avro, { definition }, payload, schemas)).toEqual([{ a: 'x', b: null }]);
    expect(await read(avro, { definition: ofReader(aliased) }, payload, schemas)).toEqual([{ b: 'x' }]);
  });

  test('are no bad data without a registry, or with a schema that is not loaded', () => {
    const schema = expandSchema({ format: json, fields: [{ name: 'device', type: 'string' }] });
    const code = (schemas?: RegisteredSchemas) => {
      try {
        return codecFor(schema, schemas).decode(message('json'));
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(code()).toBe('invalid_schema');
    expect(code(new Loaded())).toBe('schema_registry_unavailable');
  });
});

describe('the schema of a sink', () => {
  const written = (schema: ConnectionSchema) => {
    const { format, ...rest } = expandSchema(schema);
    return format && formatOf(format)?.registry?.written({ ...rest, format });
  };

  test('of JSON gives the same fields again', () => {
    const fields: Field[] = [
      { name: 'device', type: 'string', required: true },
      { name: 'n', type: 'uint64' },
      { name: 'x', type: 'float32' },
      { name: 'sent', type: 'timestamp', unit: 'nanosecond' },
      { name: 'any', type: 'json' },
      { name: 'list', type: 'list', items: { name: 'item', type: 'int32', required: true } },
      { name: 'place', type: 'struct', fields: [{ name: 'hall', type: 'string', required: true }] },
    ];
    const made = written({ format: json, fields });
    const definition = { type: 'json_schema', schema: made?.schema ?? '' } as const;
    expect(expandSchema({ format: json, definition }).fields).toEqual(
      expandSchema({ format: json, fields }).fields,
    );
    expect(made?.name).toBe('row');
  });

  test('of Avro and Protobuf has the name of its record, and what it imports', () => {
    expect(written({ format: avro, fields: [place] })).toMatchObject({ name: 'row', references: [] });
    const format = protobuf('plant.Reading');
    const made = written({ format, definition: definitionOf('protobuf', format) });
    expect(made).toMatchObject({
      name: 'plant.Reading',
      references: [{ name: 'place.proto', references: [] }],
    });
  });

  test('must be known', () => {
    expect(() => written({ format: protobuf(), fields: [place] })).toThrow('needs the definition');
    expect(() => written({ format: { ...json, unstructured: true } as Format })).toThrow('set schema_id');
  });
});
