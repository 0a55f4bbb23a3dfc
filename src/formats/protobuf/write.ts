import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../format.ts';
import { type Field, messageFields } from '../schema/schema.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { rowFromObject } from '../values/row.ts';
import { timestampToParts } from '../values/timestamp.ts';
import { checkOf, orNull, structOf, unscaledOf } from '../values/write.ts';
import { wellKnownOf, wrappedOf } from './fields.ts';
import {
  durationParts,
  type Encode,
  jsonMember,
  jsonMessage,
  jsonText,
  jsonValue,
  listOf,
  oneofCheck,
  parts,
  scalarOf,
} from './write-json.ts';

/** Compiles the writer of the rows of a table. A null is left out of the message. */
export function rowWriter(type: protobuf.Type, fields: readonly Field[]): (row: Row) => Buffer {
  return encoder(type, messageOf(type, messageFields(fields), ''));
}

/** Compiles the writer of a message from the text of a JSON object with its members. */
export function documentWriter(type: protobuf.Type, path: string): (text: Value) => Buffer {
  return encoder(type, jsonText(jsonMessage(type, path, new Map()), path));
}

function encoder(type: protobuf.Type, convert: Encode): (value: Value) => Buffer {
  return (value) => {
    const message = convert(value) as object;
    try {
      return type.encode(message).finish() as Buffer;
    } catch (error) {
      if (error instanceof PenstockError) throw error;
      throw badRow('', `is nested more than ${protobuf.util.recursionLimit} deep`);
    }
  };
}

function messageOf(type: protobuf.Type, fields: readonly Field[], path: string): Encode {
  const struct = structOf(path);
  const members = type.fieldsArray.flatMap((member) => {
    const field = fields.find(({ name }) => name === member.name);
    if (!field) return [];
    const at = pathOf(path, member.name);
    const write = orNull(columnOf(member, field, at), field.required, at);
    return [{ name: member.name, read: write as (value: unknown) => Value }];
  });
  const make = rowFromObject(members);
  const checkOneofs = oneofCheck(type, path);
  return (value) => {
    const row = struct(value as Value);
    checkOneofs?.(row);
    return make(row);
  };
}

function columnOf(member: protobuf.Field, field: Field, path: string): Encode {
  if (member.map) return jsonText(jsonMember(member, path, new Map()), path);
  if (!member.repeated) return itemOf(member, field.fields, field.type === 'json', path);
  const { items } = field;
  return listOf(member, path, itemOf(member, items?.fields, items?.type === 'json', `${path}/*`));
}

function itemOf(
  member: protobuf.Field,
  fields: readonly Field[] | undefined,
  json: boolean,
  path: string,
): Encode {
  const { resolvedType } = member;
  if (!(resolvedType instanceof protobuf.Type)) return scalarOf(member, path);
  if (json) return jsonText(jsonValue(member, path, new Map()), path);
  switch (wellKnownOf(resolvedType)) {
    case 'timestamp': {
      const time = checkOf('timestamp', path);
      return (value) => {
        const { seconds, nanoseconds } = timestampToParts(time(value as Value), 'nanosecond');
        return parts(seconds, nanoseconds);
      };
    }
    case 'duration': {
      const digits = unscaledOf(9, path);
      return (value) => durationParts(digits(value as Value));
    }
    case 'wrapper': {
      const convert = itemOf(wrappedOf(resolvedType), undefined, false, path);
      return (value) => ({ value: convert(value) });
    }
    default:
      return messageOf(resolvedType, fields ?? [], path);
  }
}
