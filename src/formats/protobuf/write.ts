import protobuf from 'protobufjs';
import type { Value } from '../format.ts';
import type { Field } from '../schema/schema.ts';
import { badRow, pathOf } from '../values/bad.ts';
import { columnsTo } from '../values/row-literal.ts';
import { timestampToParts } from '../values/timestamp.ts';
import { structOf, timestampOf } from '../values/write-value.ts';
import { wellKnownOf, wrappedOf } from './fields.ts';
import { durationWriter, oneofCheck, scalarWriter, tagged, type Write, writeParts } from './put.ts';
import { jsonMember, jsonTextWriter, jsonValue } from './write-json.ts';

/** Compiles the writer of the rows of a table. A null is left out of the message. */
export function rowWriter(type: protobuf.Type, fields: readonly Field[]): Write {
  const kept = fields.filter((field) => typeof field.metadata_key !== 'string');
  return messageWriter(type, kept, '');
}

function messageWriter(type: protobuf.Type, fields: readonly Field[], path: string): Write {
  const struct = structOf(path);
  const steps = type.fieldsArray.flatMap((member) => {
    const field = fields.find(({ name }) => name === member.name);
    if (!field) return [];
    const at = pathOf(path, member.name);
    return [{ name: member.name, write: orAbsent(typedMember(member, field, at), field.required, at) }];
  });
  const writeColumns = columnsTo(steps);
  const checkOneofs = oneofCheck(type, path);
  return (value, writer) => {
    const row = struct(value as Value);
    checkOneofs?.(row);
    writeColumns(row, writer);
  };
}

/** What is null is left out. */
function orAbsent(write: Write, required: boolean | undefined, path: string): Write {
  return (value, writer) => {
    if (value !== null && value !== undefined) write(value, writer);
    else if (required) throw badRow(path, 'is required but null');
  };
}

function typedMember(member: protobuf.Field, field: Field, path: string): Write {
  if (member.map) return jsonTextWriter(jsonMember(member, path, new Map()), path);
  const item = member.repeated ? field.items : field;
  const at = member.repeated ? `${path}/*` : path;
  return tagged(member, path, typedValue(member, item?.fields, item?.type === 'json', at));
}

/** The writer of one value of a field, without its tag. */
function typedValue(
  member: protobuf.Field,
  fields: readonly Field[] | undefined,
  json: boolean,
  path: string,
): Write {
  const { resolvedType } = member;
  if (!(resolvedType instanceof protobuf.Type)) return scalarWriter(member, path);
  if (json) return jsonTextWriter(jsonValue(member, path, new Map()), path);
  const known = wellKnownOf(resolvedType);
  if (known === 'timestamp') {
    const time = timestampOf(path);
    return (value, writer) => {
      const { seconds, nanoseconds } = timestampToParts(time(value as Value), 'nanosecond');
      writeParts(seconds, nanoseconds, writer);
    };
  }
  if (known === 'duration') return durationWriter(path);
  if (known === 'wrapper') {
    const inner = wrappedOf(resolvedType);
    return tagged(inner, path, typedValue(inner, undefined, false, path));
  }
  return messageWriter(resolvedType, fields ?? [], path);
}
