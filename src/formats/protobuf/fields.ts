import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { Field, FieldTypeName, ListItem } from '../schema/schema.ts';
import { isRequired } from './definition.ts';

/** The column of each scalar type of Protobuf. */
export const scalarTypes: Readonly<Record<string, Exclude<FieldTypeName, 'json' | 'struct' | 'list'>>> = {
  int32: 'int32',
  sint32: 'int32',
  sfixed32: 'int32',
  uint32: 'uint32',
  fixed32: 'uint32',
  int64: 'int64',
  sint64: 'int64',
  sfixed64: 'int64',
  uint64: 'uint64',
  fixed64: 'uint64',
  float: 'float32',
  double: 'float64',
  bool: 'bool',
  string: 'string',
  bytes: 'bytes',
};

const known = {
  Timestamp: 'timestamp',
  Duration: 'duration',
  Struct: 'struct',
  Value: 'value',
  ListValue: 'list',
  Any: 'any',
  FieldMask: 'mask',
} as const;

/** The meaning of a message of google.protobuf that represents a value. */
export function wellKnownOf(type: protobuf.Type): (typeof known)[keyof typeof known] | 'wrapper' | undefined {
  const [, name = ''] = /^\.google\.protobuf\.(\w+)$/.exec(type.fullName) ?? [];
  if (Object.hasOwn(known, name)) return known[name as keyof typeof known];
  return /^(?:Double|Float|U?Int(?:32|64)|Bool|String|Bytes)Value$/.test(name) ? 'wrapper' : undefined;
}

/** The seconds of a Duration, with all its digits: it spans ten thousand years. */
const duration = { type: 'decimal128', precision: 21, scale: 9 } as const;

const maxFields = 2000;

/**
 * The fields of a message. Maps, google.protobuf.Struct, Any and their like, messages without fields and messages inside
 * themselves become json. Only what proto2 calls required is required; what has no presence is never null when read.
 */
export function fieldsFromMessage(type: protobuf.Type): Field[] {
  let budget = maxFields;

  const membersOf = (message: protobuf.Type, inside: readonly protobuf.Type[]): Field[] =>
    message.fieldsArray.map((field) => {
      budget -= 1;
      if (budget < 0) {
        const text = `The message has too many fields: ${maxFields} are allowed in all`;
        throw new PenstockError('invalid_schema', text, {
          errors: [{ path: '/definition/schema', message: text }],
        });
      }
      return {
        name: field.name,
        ...typeOf(field, [...inside, message]),
        required: isRequired(field),
      };
    });
  const typeOf = (field: protobuf.Field, inside: readonly protobuf.Type[]): ListItem => {
    if (field.map) return { type: 'json' };
    const single = singleOf(field, inside);
    return field.repeated ? { type: 'list', items: { ...single, name: 'item', required: true } } : single;
  };
  const singleOf = (field: protobuf.Field, inside: readonly protobuf.Type[]): ListItem => {
    const { resolvedType } = field;
    if (resolvedType instanceof protobuf.Enum) return { type: 'string' };
    if (!resolvedType) return { type: scalarTypes[field.type] ?? 'json' };
    const kind = wellKnownOf(resolvedType);
    if (kind === 'timestamp') return { type: 'timestamp', unit: 'nanosecond' };
    if (kind === 'duration') return duration;
    if (kind === 'wrapper') return singleOf(wrappedOf(resolvedType), inside);
    if (kind || inside.includes(resolvedType) || resolvedType.fieldsArray.length === 0)
      return { type: 'json' };
    return { type: 'struct', fields: membersOf(resolvedType, inside) };
  };
  return membersOf(type, []);
}

export function wrappedOf(type: protobuf.Type): protobuf.Field {
  return type.fields.value as protobuf.Field;
}
