import avsc, { type Type } from 'avsc';
import { PenstockError } from '../../errors.ts';

// avsc is a CommonJS module without named exports.
const { types } = avsc;

/**
 * An Avro schema as far as reading and writing needs it. A record may be recursive. A union has the names of its branches
 * if its JSON has to show them.
 */
export type AvroType =
  | { kind: 'null' | 'boolean' | 'float' | 'double' }
  | { kind: 'int' | 'long' | 'bytes' | 'string'; logical?: Logical }
  | { kind: 'fixed'; size: number; logical?: Logical }
  | { kind: 'enum'; symbols: readonly string[] }
  | { kind: 'record'; fields: AvroField[] }
  | { kind: 'array' | 'map'; items: AvroType }
  | { kind: 'union'; types: AvroType[]; names?: readonly string[] };

export interface AvroField {
  name: string;
  type: AvroType;
  aliases: readonly string[];
  /** The value in Avro's encoding. */
  default?: Buffer;
}

interface Logical {
  name: string;
  /** decimal only. */
  precision?: number;
  scale?: number;
}

export interface ParsedSchema {
  type: AvroType;
  /** Full name of the type. */
  name: string;
  /** CRC-64-AVRO of the parsing canonical form, as the single-object encoding writes it. */
  fingerprint: Buffer;
}

/** Keeps the attributes of a logical type; avsc does not read with it. */
class Noted extends types.LogicalType {
  readonly attributes: Record<string, unknown>;

  constructor(schema: ConstructorParameters<typeof types.LogicalType>[0], options?: unknown) {
    super(schema, options as never);
    this.attributes = schema as unknown as Record<string, unknown>;
  }
  protected override _fromValue(value: unknown) {
    return value;
  }
  protected override _toValue(value: unknown) {
    return value;
  }
}

const logicalNames = [
  'decimal',
  'uuid',
  'date',
  'timestamp-millis',
  'timestamp-micros',
  'timestamp-nanos',
  'local-timestamp-millis',
  'local-timestamp-micros',
  'local-timestamp-nanos',
  // Our own, in schemas derived from fields: a JSON text, which other readers treat as a string.
  'json',
] as const;
const logicalTypes = Object.fromEntries(logicalNames.map((name) => [name, Noted]));

/**
 * Parses the text of a schema with avsc. With `named`, unions of several types have names. `references` are the texts of named
 * types that it uses, each before those that need it. Throws `invalid_schema` at the path, with avsc's reason.
 */
export function parseAvroSchema(
  text: string,
  path: string,
  named = false,
  references: readonly string[] = [],
): ParsedSchema {
  try {
    const options = { logicalTypes, wrapUnions: true, registry: {} } as const;
    for (const each of references) avsc.Type.forSchema(JSON.parse(each), options);
    const parsed = avsc.Type.forSchema(JSON.parse(text), options);
    const canonical = JSON.stringify(parsed.schema());
    const fingerprint = crc64(Buffer.from(canonical));
    return { type: typeOf(parsed, { types: new Map(), named }), name: parsed.name ?? '', fingerprint };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `The definition is not an Avro schema: ${reason}`;
    throw new PenstockError('invalid_schema', message, { errors: [{ path, message }], cause: error });
  }
}

interface Known {
  types: Map<Type, AvroType>;
  named: boolean;
}

function typeOf(type: Type, known: Known): AvroType {
  const before = known.types.get(type);
  if (before) return before;
  if (type instanceof types.RecordType) {
    const record: AvroType = { kind: 'record', fields: [] };
    known.types.set(type, record);
    for (const field of type.fields) {
      const value = field.defaultValue();
      record.fields.push({
        name: field.name,
        type: typeOf(field.type, known),
        aliases: field.aliases,
        ...(value === undefined ? {} : { default: field.type.toBuffer(value) }),
      });
    }
    return record;
  }
  const plain = plainType(type, known);
  known.types.set(type, plain);
  return plain;
}

function plainType(type: Type, known: Known): AvroType {
  if (type instanceof Noted) return withLogical(typeOf(type.underlyingType, known), type.attributes);
  if (type instanceof types.ArrayType) return { kind: 'array', items: typeOf(type.itemsType, known) };
  if (type instanceof types.MapType) return { kind: 'map', items: typeOf(type.valuesType, known) };
  if (type instanceof types.WrappedUnionType) return unionOf(type.types, known);
  if (type instanceof types.EnumType) return { kind: 'enum', symbols: type.symbols };
  if (type instanceof types.FixedType) return { kind: 'fixed', size: type.size };
  return { kind: type.typeName as 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' };
}

/** A union of null and one other type needs no names. */
function unionOf(branches: readonly Type[], known: Known): AvroType {
  const union: AvroType = { kind: 'union', types: branches.map((branch) => typeOf(branch, known)) };
  const names = branches.map(({ branchName = '' }) => branchName);
  if (known.named && names.filter((name) => name !== 'null').length > 1) union.names = names;
  return union;
}

const homes: Readonly<Record<string, readonly string[]>> = {
  decimal: ['bytes', 'fixed'],
  uuid: ['string', 'fixed'],
  date: ['int'],
  json: ['string'],
};

/** A logical type that does not fit its underlying type is ignored, as the specification requires. */
function withLogical(type: AvroType, attributes: Record<string, unknown>): AvroType {
  const name = String(attributes.logicalType);
  if (!(homes[name] ?? ['long']).includes(type.kind)) return type;
  if (name === 'uuid' && type.kind === 'fixed' && type.size !== 16) return type;
  const logical: Logical = { name };
  if (name === 'decimal') {
    const { precision, scale = 0 } = attributes;
    const fits = Number.isInteger(precision) && Number.isInteger(scale) && (scale as number) >= 0;
    if (!fits || (precision as number) > 38 || (precision as number) < Math.max(1, scale as number))
      return type;
    logical.precision = precision as number;
    logical.scale = scale as number;
  }
  return { ...type, logical } as AvroType;
}

const empty = 0xc15d213aa4d7a795n;
const table = Array.from({ length: 256 }, (_, byte) => {
  let fingerprint = BigInt(byte);
  for (let bit = 0; bit < 8; bit += 1) fingerprint = (fingerprint >> 1n) ^ (fingerprint & 1n ? empty : 0n);
  return fingerprint;
});

/** CRC-64-AVRO, little-endian (Avro specification, "Schema Fingerprints"). */
function crc64(bytes: Buffer): Buffer {
  let fingerprint = empty;
  for (const byte of bytes)
    fingerprint = (fingerprint >> 8n) ^ (table[Number((fingerprint ^ BigInt(byte)) & 0xffn)] as bigint);
  const answer = Buffer.alloc(8);
  answer.writeBigUInt64LE(fingerprint);
  return answer;
}
