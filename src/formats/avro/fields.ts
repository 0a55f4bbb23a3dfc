import { PenstockError } from '../../errors.ts';
import { type Field, type ListItem, messageFields } from '../schema/schema.ts';
import type { TimestampUnit } from '../schema/sql-type.ts';
import type { AvroType } from './schema.ts';

const timestampUnits: Readonly<Record<string, TimestampUnit>> = {
  date: 'second',
  'timestamp-millis': 'millisecond',
  'timestamp-micros': 'microsecond',
  'timestamp-nanos': 'nanosecond',
  'local-timestamp-millis': 'millisecond',
  'local-timestamp-micros': 'microsecond',
  'local-timestamp-nanos': 'nanosecond',
};

/** The unit of a type that is a time. A date counts days, and is read as midnight. */
export function timeUnitOf(type: AvroType): TimestampUnit | undefined {
  return 'logical' in type && type.logical ? timestampUnits[type.logical.name] : undefined;
}

const maxFields = 2000;

/**
 * Derives the fields of a record. Maps, unions of several types and recursive records become json; null in a union makes
 * a field optional. Throws `invalid_schema` at the path if the schema is not a record.
 */
export function fieldsFromAvro(type: AvroType, path: string): Field[] {
  const refuse = (message: string) =>
    new PenstockError('invalid_schema', message, { errors: [{ path, message }] });
  if (type.kind !== 'record')
    throw refuse('The Avro schema must be a record, whose fields become the columns');
  let budget = maxFields;

  const membersOf = (record: AvroType & { kind: 'record' }, inside: readonly AvroType[]): Field[] =>
    record.fields.map((field) => {
      budget -= 1;
      if (budget < 0) throw refuse(`The Avro schema exceeds the maximum of ${maxFields} fields`);
      return { name: field.name, ...itemOf(field.type, [...inside, record]) };
    });
  const itemOf = (member: AvroType, inside: readonly AvroType[]): ListItem => {
    const { type: plain, nullable } = withoutNull(member);
    return { ...typeOf(plain, inside), required: !nullable };
  };
  const typeOf = (plain: AvroType, inside: readonly AvroType[]): ListItem => {
    if (inside.includes(plain)) return { type: 'json' };
    if (plain.kind === 'array')
      return { type: 'list', items: { name: 'item', ...itemOf(plain.items, [...inside, plain]) } };
    if (plain.kind !== 'record') return leafOf(plain);
    return plain.fields.length > 0 ? { type: 'struct', fields: membersOf(plain, inside) } : { type: 'json' };
  };
  return membersOf(type, []);
}

/** The other type of a union with null, and whether null is allowed. */
export function withoutNull(type: AvroType): { type: AvroType; nullable: boolean } {
  if (type.kind === 'null') return { type, nullable: true };
  if (type.kind !== 'union') return { type, nullable: false };
  const others = type.types.filter((branch) => branch.kind !== 'null');
  const [only] = others;
  const nullable = others.length < type.types.length;
  return { type: others.length === 1 && only ? only : type, nullable };
}

export function leafOf(type: AvroType): ListItem {
  const unit = timeUnitOf(type);
  if (unit) return { type: 'timestamp', unit };
  if ('logical' in type && type.logical?.name === 'decimal') {
    const { precision = 38, scale = 0 } = type.logical;
    return { type: 'decimal128', precision, scale };
  }
  switch (type.kind) {
    case 'boolean':
      return { type: 'bool' };
    case 'int':
      return { type: 'int32' };
    case 'long':
      return { type: 'int64' };
    case 'float':
      return { type: 'float32' };
    case 'double':
      return { type: 'float64' };
    case 'bytes':
      return { type: 'bytes' };
    case 'fixed':
      return { type: type.logical ? 'string' : 'bytes' };
    case 'string':
      return { type: isJsonText(type) ? 'json' : 'string' };
    case 'enum':
      return { type: 'string' };
    default:
      return { type: 'json' };
  }
}

/** Whether the type is Penstock's own for a JSON text. */
export const isJsonText = (type: AvroType): boolean =>
  type.kind === 'string' && type.logical?.name === 'json';

export function avroName(name: string): string {
  const plain = name.replaceAll(/[^A-Za-z0-9_]/g, '_');
  return /^\d/.test(plain) ? `_${plain}` : plain;
}

/** Derives the text of a schema from fields. Records are named after their place. */
export function avroSchemaOf(fields: readonly Field[]): string {
  return JSON.stringify(recordOf(fields, 'row'));
}

function recordOf(fields: readonly Field[], name: string): object {
  return {
    type: 'record',
    name,
    fields: messageFields(fields).map((field) => ({
      name: avroName(field.name),
      ...optional(field, `${name}_${avroName(field.name)}`),
    })),
  };
}

function optional(field: ListItem, name: string): object {
  const type = schemaOf(field, name);
  return field.required === true ? { type } : { type: ['null', type], default: null };
}

const timestampNames = {
  second: 'timestamp-millis',
  millisecond: 'timestamp-millis',
  microsecond: 'timestamp-micros',
  nanosecond: 'timestamp-nanos',
} as const;

function schemaOf(field: ListItem, name: string): unknown {
  switch (field.type) {
    case 'int32':
      return 'int';
    case 'int64':
    case 'uint32':
      return 'long';
    // A long has only half of its range.
    case 'uint64':
      return { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 0 };
    case 'float32':
      return 'float';
    case 'float64':
      return 'double';
    case 'decimal128': {
      const { precision = 38, scale = 0 } = field;
      return { type: 'bytes', logicalType: 'decimal', precision, scale };
    }
    case 'bool':
      return 'boolean';
    case 'string':
    case 'bytes':
      return field.type;
    case 'timestamp':
      return { type: 'long', logicalType: timestampNames[field.unit ?? 'millisecond'] };
    case 'json':
      return { type: 'string', logicalType: 'json' };
    case 'struct':
      return recordOf(field.fields ?? [], name);
    case 'list': {
      const items = field.items ?? { type: 'string' };
      return { type: 'array', items: (optional(items, `${name}_item`) as { type: unknown }).type };
    }
  }
}
