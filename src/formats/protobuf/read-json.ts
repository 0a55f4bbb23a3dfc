import protobuf from 'protobufjs';
import type { Row, Value } from '../format.ts';
import { exactNumber } from '../json/json-value.ts';
import { setterOf } from '../values/own-property.ts';
import { formatTimestamp } from '../values/timestamp.ts';
import { defaultOf, wellKnownOf, wrappedOf } from './fields.ts';
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

/** Compiles the reader of any message into a JSON text: names as in the definition, the rest as in a json message. */
export function documentReader(type: protobuf.Type): (payload: Uint8Array) => string {
  const message = jsonMessageReader(type, new Map());
  return (payload) => JSON.stringify(readPayload(message, payload));
}

type KnownReaders = Map<protobuf.Type, MessageReader<Row>>;

/** The members of a message as JSON has them. One that is not there is left out, unless absence means the default. */
function jsonMessageReader(type: protobuf.Type, known: KnownReaders): MessageReader<Row> {
  const before = known.get(type);
  if (before) return before;
  // A message may hold itself, so its reader has to be there before those of its fields.
  let compiled: MessageReader<Row> | undefined;
  const late = () => compiled as MessageReader<Row>;
  const message: MessageReader<Row> = {
    begin: () => late().begin(),
    walk: (reader, end, depth, slots) => late().walk(reader, end, depth, slots),
    finish: (slots) => late().finish(slots),
  };
  known.set(type, message);
  const members = type.fieldsArray;
  const place = placesOf(members, undefined);
  const steps = new Map<number, Step>();
  const columns = members.map((member) => {
    const { step, finish } = memberOf(member, place(member), known);
    steps.set(member.id, step);
    return { set: setterOf(member.name), finish };
  });
  compiled = {
    begin: slotsOf(members, (member) => jsonOf(defaultOf(member)) ?? undefined),
    walk: walker(steps),
    finish(slots) {
      const row: Row = {};
      columns.forEach(({ set, finish }, slot) => {
        const found = slots[slot];
        if (found !== undefined) set(row, (finish ? finish(found as Slots) : found) as Value);
      });
      return row;
    },
  };
  return message;
}

function memberOf(
  member: protobuf.Field,
  place: Place,
  known: KnownReaders,
): { step: Step; finish?: (slots: Slots) => Row } {
  const { resolvedType } = member;
  if (member.map) return { step: jsonMapStep(member, place.slot, known) };
  if (member.repeated || !(resolvedType instanceof protobuf.Type) || wellKnownOf(resolvedType)) {
    return { step: valueStep(member, place, jsonValueReader(member, known)) };
  }
  const message = jsonMessageReader(resolvedType, known);
  return { step: messageStep(member, place, message), finish: message.finish };
}

function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return exactNumber(value);
  return Buffer.isBuffer(value) ? value.toString('base64') : value;
}

/** Compiles the reader of one value as JSON has it, which JSON.stringify can write. */
export function jsonValueReader(member: protobuf.Field, known: KnownReaders): ReadValue {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return enumReader(resolvedType);
  if (!resolvedType) {
    const read = scalarReader(member.type, '');
    return (reader, depth) => jsonOf(read(reader, depth));
  }
  return (
    wellKnownJson(member, resolvedType, known) ?? messageValue(member, jsonMessageReader(resolvedType, known))
  );
}

/** As the JSON mapping of Protobuf has them. */
function wellKnownJson(
  member: protobuf.Field,
  type: protobuf.Type,
  known: KnownReaders,
): ReadValue | undefined {
  const kind = wellKnownOf(type);
  if (!kind) return undefined;
  if (kind === 'timestamp') {
    const read = timestampReader(member, '');
    return (reader, depth) => formatTimestamp(read(reader, depth), 'nanosecond');
  }
  if (kind === 'duration') {
    const read = durationReader(member, '');
    return (reader, depth) => `${read(reader, depth)}s`;
  }
  if (kind === 'wrapper') {
    const inner = wrappedOf(type);
    return wrapperReader(member, type, jsonValueReader(inner, known), jsonOf(defaultOf(inner)));
  }
  const message = messageValue(member, jsonMessageReader(type, known));
  if (kind === 'struct') return (reader, depth) => message(reader, depth).fields;
  if (kind === 'list') return (reader, depth) => message(reader, depth).values;
  return (reader, depth) => {
    const [[name, value] = ['null', null]] = Object.entries(message(reader, depth));
    return name.startsWith('null') ? null : value;
  };
}

/** Adds to the object in the slot. An entry of a map is a message of a key and a value, either of which may be left out. */
export function jsonMapStep(member: protobuf.Field, slot: number, known: KnownReaders): Step {
  const { keyType } = member as unknown as protobuf.MapField;
  const key = new protobuf.Field('key', 1, keyType);
  const value = new protobuf.Field('value', 2, member.type);
  value.resolvedType = member.resolvedType;
  const place = placesOf([key, value], undefined);
  const readKey = scalarReader(keyType, '');
  const steps = new Map<number, Step>([
    [1, valueStep(key, place(key), (reader, depth) => String(readKey(reader, depth)))],
    [2, valueStep(value, place(value), jsonValueReader(value, known))],
  ]);
  const emptyKey = keyDefault(keyType);
  const entry = messageValue(value, {
    begin: () => [emptyKey, undefined],
    walk: walker(steps),
    finish: ([name, found]) => ({ name: name as string, found: (found ?? mapDefault(value)) as Value }),
  });
  return (reader, wire, depth, slots) => {
    if (wire !== 2) {
      reader.skipType(wire, depth, member.id);
      return;
    }
    const { name, found } = entry(reader, depth);
    setterOf(name)(slots[slot] as Row, found);
  };
}

function keyDefault(type: string): string {
  if (type === 'string') return '';
  return type === 'bool' ? 'false' : '0';
}

function mapDefault(value: protobuf.Field): unknown {
  const { resolvedType } = value;
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[0] ?? '0';
  if (resolvedType) return wellKnownOf(resolvedType) ? null : {};
  if (value.type === 'string' || value.type === 'bytes') return '';
  return value.type === 'bool' ? false : 0;
}
