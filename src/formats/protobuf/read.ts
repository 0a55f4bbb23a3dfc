import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import type { Row, Value } from '../format.ts';
import type { Field } from '../schema/schema.ts';
import { badData, pathOf } from '../values/bad.ts';
import { rowFromValues } from '../values/row-literal.ts';
import { defaultOf, wellKnownOf, wrappedOf } from './fields.ts';
import { jsonMapStep, jsonValueReader } from './read-json.ts';
import { durationReader, timestampReader, wrapperReader } from './well-known.ts';
import {
  enumReader,
  type MessageReader,
  messageStep,
  messageValue,
  type Place,
  placesOf,
  type ReadValue,
  readPayload,
  type Slots,
  type Step,
  scalarReader,
  slotsOf,
  valueStep,
  walker,
} from './wire.ts';

/** Compiles the reader of a message into the fields of a table. It throws `bad_data`. */
export function rowReader(type: protobuf.Type, fields: readonly Field[]): (payload: Uint8Array) => Row {
  const message = messageReader(type, fields, '');
  return (payload) => readPayload(message, payload);
}

function messageReader(type: protobuf.Type, fields: readonly Field[], path: string): MessageReader<Row> {
  const members = fields.map((field) => memberOf(type, field, path));
  const place = placesOf(members, null);
  const steps = new Map<number, Step>();
  const columns = fields.map((field, slot) => {
    const member = members[slot];
    if (!member) return { name: field.name };
    const at = pathOf(path, field.name);
    const { step, finish } = columnOf(member, place(member), field, at);
    steps.set(member.id, step);
    return { name: field.name, read: field.required ? orMissing(finish, at) : finish };
  });
  const make = rowFromValues(columns);
  return { begin: slotsOf(members, defaultOf), walk: walker(steps), finish: make };
}

/** Columns of metadata have no member; any other has to have one. */
function memberOf(type: protobuf.Type, field: Field, parent: string): protobuf.Field | undefined {
  if (typeof field.metadata_key === 'string') return undefined;
  const member = type.fieldsArray.find(({ name }) => name === field.name);
  if (member) return member;
  const message = `The message of the definition has no field ${pathOf(parent, field.name)}`;
  throw new PenstockError('invalid_schema', message, { errors: [{ path: '/fields', message }] });
}

/** A field of a table: how it gets into its slot, and how its value is made of that, where it is not that already. */
function columnOf(
  member: protobuf.Field,
  place: Place,
  field: Field,
  path: string,
): { step: Step; finish?: (found: unknown) => Value } {
  if (member.map) {
    const step = jsonMapStep(member, place.slot, new Map());
    return { step, finish: (map) => JSON.stringify(map) };
  }
  const { resolvedType } = member;
  const item = member.repeated ? field.items : field;
  if (item?.type !== 'struct' || !(resolvedType instanceof protobuf.Type)) {
    return { step: valueStep(member, place, typedReader(member, path, item?.type === 'json')) };
  }
  const message = messageReader(resolvedType, item.fields ?? [], member.repeated ? `${path}/*` : path);
  if (member.repeated) return { step: valueStep(member, place, messageValue(member, message)) };
  const finish = (slots: unknown) => (slots === null ? null : message.finish(slots as Slots));
  return { step: messageStep(member, place, message), finish };
}

function orMissing(finish: ((found: unknown) => Value) | undefined, path: string): (found: unknown) => Value {
  return (found) => {
    if (found === null) throw badData(path, 'is required but missing');
    return finish ? finish(found) : (found as Value);
  };
}

function typedReader(member: protobuf.Field, path: string, json: boolean): ReadValue {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return enumReader(resolvedType);
  if (!resolvedType) return scalarReader(member.type, path);
  if (json) {
    const read = jsonValueReader(member, new Map());
    return (reader, depth) => JSON.stringify(read(reader, depth));
  }
  const known = wellKnownOf(resolvedType);
  if (known === 'wrapper') {
    const inner = wrappedOf(resolvedType);
    return wrapperReader(member, resolvedType, typedReader(inner, path, false), defaultOf(inner));
  }
  return known === 'duration' ? durationReader(member, path) : timestampReader(member, path);
}
