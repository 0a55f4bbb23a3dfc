import protobuf from 'protobufjs';
import { PenstockError } from '../../errors.ts';
import { badData, pathOf } from '../bad.ts';
import { formatDecimal } from '../decimal.ts';
import type { Row, Value } from '../format.ts';
import { exactNumber } from '../json-value.ts';
import { getterOf, type SetProperty, setterOf } from '../own-property.ts';
import { columnSetter, emptyRow } from '../row-literal.ts';
import type { Field } from '../schema.ts';
import { textOf } from '../text-check.ts';
import { formatTimestamp, timestampFromParts } from '../timestamp.ts';
import { isImplicit, wellKnownOf, wrappedOf } from './fields.ts';

type Reader = protobuf.Reader;

/** Reads the fields of a message up to `end` into the row. */
type ReadMessage = (reader: Reader, end: number, depth: number, row: Row) => void;
interface MessageReader {
  /** A row for it, with what absent fields are. */
  create(): Row;
  read: ReadMessage;
}
/** Reads one value; a message begins with its length or is a group that ends with its own tag. */
type ReadValue = (reader: Reader, depth: number) => unknown;
type Step = (reader: Reader, wire: number, depth: number, row: Row) => void;

/** As deep as protobuf's own libraries read. */
const maxNesting = 100;

const malformed = () => badData('', 'is not a Protobuf message of its type');

/**
 * Compiles the reader of a message into the fields of a table: closures over protobufjs's Reader, since its own decoder
 * makes objects of its classes and Longs. Throws `bad_data`; the end of the payload is that of the message.
 */
export function rowReader(type: protobuf.Type, fields: readonly Field[]): (payload: Uint8Array) => Row {
  const { create, read } = messageReader(type, fields, '');
  return (payload) => {
    const row = create();
    readAll(read, payload, row);
    return row;
  };
}

/** Compiles the reader of any message into a JSON text: names as in the definition, the rest as in a json message. */
export function documentReader(type: protobuf.Type): (payload: Uint8Array) => string {
  const read = jsonMessageReader(type, new Map());
  return (payload) => {
    const document: Row = {};
    readAll(read, payload, document);
    return JSON.stringify(document);
  };
}

/** The errors of protobufjs say where in the bytes, which nobody can use. */
function readAll(read: ReadMessage, payload: Uint8Array, row: Row): void {
  const reader = protobuf.Reader.create(payload);
  try {
    read(reader, payload.length, 0, row);
  } catch (error) {
    throw error instanceof PenstockError ? error : malformed();
  }
}

function messageReader(type: protobuf.Type, fields: readonly Field[], path: string): MessageReader {
  const steps = new Map<number, Step>();
  const begin: { name: string; make: () => Value }[] = [];
  const end: ((row: Row) => void)[] = [];
  for (const field of fields) {
    const set = setterOf(field.name);
    const at = pathOf(path, field.name);
    const isMetadata = typeof field.metadata_key === 'string';
    const member = isMetadata ? undefined : memberOf(type, field.name);
    if (!isMetadata && !member) throw notInMessage(at);
    const empty = member ? emptyOf(member) : null;
    begin.push({ name: field.name, make: typeof empty === 'function' ? empty : () => empty });
    if (!member) continue;
    steps.set(
      member.id,
      clearing(member, typedStep(member, field, at), (clear) => (row) => clear(row, null)),
    );
    const get = getterOf(field.name);
    if (member.map) end.push((row) => set(row, JSON.stringify(get(row))));
    if (!field.required) continue;
    end.push((row) => {
      if (get(row) === null) throw badData(at, 'is required but missing');
    });
  }
  const walk = walker(steps);
  if (end.length === 0) return { create: emptyRow(begin), read: walk };
  const read: ReadMessage = (reader, to, depth, row) => {
    walk(reader, to, depth, row);
    for (const check of end) check(row);
  };
  return { create: emptyRow(begin), read };
}

function notInMessage(path: string): PenstockError {
  const message = `The message of the definition has no field ${path}`;
  return new PenstockError('invalid_schema', message, { errors: [{ path: '/fields', message }] });
}

/** Of the members of a oneof the last that comes counts. */
function clearing(
  member: protobuf.Field,
  step: Step,
  clearer: (set: SetProperty, name: string) => (row: Row) => void,
): Step {
  const others = (member.partOf?.oneof ?? []).filter((name) => name !== member.name);
  if (others.length === 0) return step;
  const clears = others.map((name) => clearer(columnSetter(name), name));
  return (reader, wire, depth, row) => {
    step(reader, wire, depth, row);
    for (const clear of clears) clear(row);
  };
}

function memberOf(type: protobuf.Type, name: string): protobuf.Field | undefined {
  return type.fieldsArray.find((field) => field.name === name);
}

/** Reads field after field until the end, or, of a group, until the tag that ends it. */
function walker(steps: ReadonlyMap<number, Step>): ReadMessage {
  // Most numbers are small: an array beats the map.
  const near: (Step | undefined)[] = [];
  for (let number = 0; number < 256; number += 1) near.push(steps.get(number));
  const far = new Map([...steps].filter(([number]) => number >= near.length));
  return (reader, to, depth, row) => {
    if (depth > maxNesting) throw badData('', `is nested more than ${maxNesting} deep`);
    while (reader.pos < to) {
      const tag = reader.tag();
      const wire = tag & 7;
      if (wire === 4) {
        if (to !== Number.POSITIVE_INFINITY) throw malformed();
        return;
      }
      if (tag < 8) throw malformed();
      const number = tag >>> 3;
      const step = number < near.length ? near[number] : far.get(number);
      if (step) step(reader, wire, depth, row);
      else reader.skipType(wire, depth, tag >>> 3);
    }
    if (reader.pos !== to) throw malformed();
  };
}

function typedStep(member: protobuf.Field, field: Field, path: string): Step {
  if (member.map) return mapStep(member as unknown as protobuf.MapField, new Map());
  const { resolvedType } = member;
  const item = member.repeated ? field.items : field;
  const isStruct = item?.type === 'struct' && resolvedType instanceof protobuf.Type;
  if (isStruct && !member.repeated) return structStep(member, field, path);
  const read = isStruct
    ? rowOf(member, messageReader(resolvedType, item.fields ?? [], `${path}/*`))
    : typedReader(member, path, item?.type === 'json');
  return valueStep(member, read);
}

/** A struct that comes twice is one whose second half adds to the first, as the specification has it. */
function structStep(member: protobuf.Field, field: Field, path: string): Step {
  const set = columnSetter(field.name);
  const get = getterOf(field.name);
  const { create, read } = messageReader(member.resolvedType as protobuf.Type, field.fields ?? [], path);
  const nested = nestedReader(member, read);
  return (reader, wire, depth, row) => {
    if (wire !== wireOf(member)) reader.skipType(wire, depth, member.id);
    else {
      const before = get(row) as Row | null;
      const found = create();
      nested(reader, depth, found);
      set(row, before ? merged(before, found) : found);
    }
  };
}

function merged(before: Row, found: Row): Row {
  for (const name of Object.keys(before)) {
    const older = getterOf(name)(before) as Value;
    const newer = getterOf(name)(found) as Value;
    if (Array.isArray(older) && Array.isArray(newer)) setterOf(name)(found, [...older, ...newer]);
    else if (newer === null) setterOf(name)(found, older);
  }
  return found;
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
  if (known === 'wrapper')
    return wrapperReader(member, resolvedType, typedReader(wrappedOf(resolvedType), path, false));
  return known === 'duration' ? durationReader(member, path) : timestampReader(member, path);
}

/** Adds a value to its row, or to the list there. Numbers of a list come one by one or packed. */
function valueStep(member: protobuf.Field, read: ReadValue): Step {
  const set = columnSetter(member.name);
  const get = getterOf(member.name);
  const wire = wireOf(member);
  if (!member.repeated) {
    return (reader, found, depth, row) => {
      if (found === wire) set(row, read(reader, depth) as Value);
      else reader.skipType(found, depth, member.id);
    };
  }
  return (reader, found, depth, row) => {
    const list = get(row) as unknown[];
    if (found === wire) list.push(read(reader, depth));
    else if (found === 2 && wire !== 3) {
      const to = lengthEnd(reader);
      while (reader.pos < to) list.push(read(reader, depth));
      if (reader.pos !== to) throw malformed();
    } else reader.skipType(found, depth, member.id);
  };
}

const wires: Readonly<Record<string, number>> = {
  fixed64: 1,
  sfixed64: 1,
  double: 1,
  string: 2,
  bytes: 2,
  fixed32: 5,
  sfixed32: 5,
  float: 5,
};

/** The wire type that a single value of the field has. */
export function wireOf({ resolvedType, delimited, type }: protobuf.Field): number {
  if (resolvedType instanceof protobuf.Type) return delimited ? 3 : 2;
  return resolvedType ? 0 : (wires[type] ?? 0);
}

function lengthEnd(reader: Reader): number {
  const length = reader.uint32();
  if (length > reader.len - reader.pos) throw malformed();
  return reader.pos + length;
}

function nestedReader(
  member: protobuf.Field,
  read: ReadMessage,
): (reader: Reader, depth: number, row: Row) => void {
  if (member.delimited) return (reader, depth, row) => read(reader, Number.POSITIVE_INFINITY, depth + 1, row);
  return (reader, depth, row) => read(reader, lengthEnd(reader), depth + 1, row);
}

function newMessage(member: protobuf.Field, read: ReadMessage): ReadValue {
  return rowOf(member, { create: () => ({}), read });
}

function rowOf(member: protobuf.Field, { create, read }: MessageReader): ReadValue {
  const nested = nestedReader(member, read);
  return (reader, depth) => {
    const row = create();
    nested(reader, depth, row);
    return row;
  };
}

/** What a field holds when the message does not have it: a list is made anew for each. */
function emptyOf(member: protobuf.Field): Value | (() => Value) {
  if (member.map) return () => ({});
  if (member.repeated) return () => [];
  if (!isImplicit(member)) return null;
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return resolvedType.valuesById[0] ?? '0';
  switch (member.type) {
    case 'string':
      return '';
    case 'bytes':
      return Buffer.alloc(0);
    case 'bool':
      return false;
    default:
      return member.type.endsWith('64') ? 0n : 0;
  }
}

function scalarReader(type: string, path: string): ReadValue {
  switch (type) {
    case 'string':
      return (reader) => {
        const to = lengthEnd(reader);
        const text = textOf(reader.buf as Buffer, reader.pos, to);
        if (text === undefined) throw badData(path, 'is not UTF-8 text');
        reader.pos = to;
        return text;
      };
    case 'bytes':
      return (reader) => reader.bytes();
    case 'int64':
    case 'sint64':
    case 'sfixed64':
      return (reader) => signed(reader[type]());
    case 'uint64':
    case 'fixed64':
      return (reader) => unsigned(reader[type]());
    default: {
      const method = type as
        | 'int32'
        | 'uint32'
        | 'sint32'
        | 'fixed32'
        | 'sfixed32'
        | 'float'
        | 'double'
        | 'bool';
      return (reader) => reader[method]();
    }
  }
}

type Long = ReturnType<Reader['int64']>;

/** Up to 2^53 through a double, which is much faster. */
function signed({ high, low }: Long): bigint {
  if (high > -0x20_0000 && high < 0x20_0000) return BigInt(high * 2 ** 32 + (low >>> 0));
  return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function unsigned({ high, low }: Long): bigint {
  if (high >>> 0 < 0x20_0000) return BigInt((high >>> 0) * 2 ** 32 + (low >>> 0));
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** A number that the definition does not name stays a number. */
function enumReader({ valuesById }: protobuf.Enum): ReadValue {
  return (reader) => {
    const number = reader.int32();
    return Object.hasOwn(valuesById, number) ? valuesById[number] : String(number);
  };
}

function wrapperReader(member: protobuf.Field, type: protobuf.Type, read: ReadValue): ReadValue {
  const inner = wrappedOf(type);
  const empty = emptyOf(inner) as Value;
  const message = newMessage(member, walker(new Map([[inner.id, valueStep(inner, read)]])));
  return (reader, depth) => (message(reader, depth) as Row).value ?? empty;
}

/** The seconds and nanoseconds of a Timestamp or Duration. */
function partsReader(
  member: protobuf.Field,
): (reader: Reader, depth: number) => { seconds: bigint; nanos: bigint } {
  const steps = new Map<number, Step>([
    [
      1,
      (reader, wire, depth, row) => {
        if (wire === 0) row.seconds = signed(reader.int64());
        else reader.skipType(wire, depth, 1);
      },
    ],
    [
      2,
      (reader, wire, depth, row) => {
        if (wire === 0) row.nanos = reader.int32();
        else reader.skipType(wire, depth, 2);
      },
    ],
  ]);
  const message = newMessage(member, walker(steps));
  return (reader, depth) => {
    const { seconds = 0n, nanos = 0 } = message(reader, depth) as { seconds?: bigint; nanos?: number };
    return { seconds, nanos: BigInt(nanos) };
  };
}

function timestampReader(member: protobuf.Field, path: string): (reader: Reader, depth: number) => bigint {
  const parts = partsReader(member);
  return (reader, depth) => {
    const { seconds, nanos } = parts(reader, depth);
    const time = timestampFromParts(seconds, nanos, 'nanosecond');
    if (time === undefined) throw badData(path, 'is a time that does not fit 64 bits of nanoseconds');
    return time;
  };
}

function durationReader(member: protobuf.Field, path: string): (reader: Reader, depth: number) => string {
  const parts = partsReader(member);
  return (reader, depth) => {
    const { seconds, nanos } = parts(reader, depth);
    if (seconds > 10n ** 12n - 1n || seconds < -(10n ** 12n - 1n))
      throw badData(path, 'is too long a duration');
    return formatDecimal(seconds * 1_000_000_000n + nanos, 9);
  };
}

type KnownReaders = Map<protobuf.Type, ReadMessage>;

/** The members of a message as JSON has them. One that is not there is left out, unless absence means the default. */
function jsonMessageReader(type: protobuf.Type, known: KnownReaders): ReadMessage {
  const before = known.get(type);
  if (before) return before;
  // A message may hold itself, so its reader has to be there before those of its fields.
  let compiled: ReadMessage = () => {};
  known.set(type, (reader, to, depth, row) => compiled(reader, to, depth, row));
  const begin: ((row: Row) => void)[] = [];
  const steps = new Map<number, Step>();
  for (const member of type.fieldsArray) {
    const set = setterOf(member.name);
    const empty = emptyOf(member);
    if (typeof empty === 'function') begin.push((row) => set(row, empty()));
    else if (empty !== null) begin.push((row) => set(row, jsonOf(empty) as Value));
    const step = member.map
      ? mapStep(member as unknown as protobuf.MapField, known)
      : valueStep(member, jsonValueReader(member, known));
    steps.set(
      member.id,
      clearing(member, step, (_set, name) => (row) => delete row[name]),
    );
  }
  const walk = walker(steps);
  compiled = (reader, to, depth, row) => {
    for (const set of begin) set(row);
    walk(reader, to, depth, row);
  };
  return compiled;
}

function jsonOf(value: unknown): unknown {
  if (typeof value === 'bigint') return exactNumber(value);
  return Buffer.isBuffer(value) ? value.toString('base64') : value;
}

function jsonValueReader(member: protobuf.Field, known: KnownReaders): ReadValue {
  const { resolvedType } = member;
  if (resolvedType instanceof protobuf.Enum) return enumReader(resolvedType);
  if (!resolvedType) {
    const read = scalarReader(member.type, '');
    return (reader, depth) => jsonOf(read(reader, depth));
  }
  return (
    wellKnownJson(member, resolvedType, known) ?? newMessage(member, jsonMessageReader(resolvedType, known))
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
    const read = wrapperReader(member, type, jsonValueReader(wrappedOf(type), known));
    return (reader, depth) => jsonOf(read(reader, depth));
  }
  const message = newMessage(member, jsonMessageReader(type, known));
  if (kind === 'struct') return (reader, depth) => (message(reader, depth) as Row).fields;
  if (kind === 'list') return (reader, depth) => (message(reader, depth) as Row).values;
  return (reader, depth) => {
    const [[name, value] = ['null', null]] = Object.entries(message(reader, depth) as Row);
    return name.startsWith('null') ? null : value;
  };
}

/** An entry of a map is a message of a key and a value, either of which may be left out. */
function mapStep(member: protobuf.MapField, known: KnownReaders): Step {
  const get = getterOf(member.name);
  const key = new protobuf.Field('key', 1, member.keyType);
  const value = new protobuf.Field('value', 2, member.type);
  value.resolvedType = member.resolvedType;
  const readKey = scalarReader(member.keyType, '');
  const steps = new Map<number, Step>([
    [1, valueStep(key, (reader, depth) => String(readKey(reader, depth)))],
    [2, valueStep(value, jsonValueReader(value, known))],
  ]);
  const entry = newMessage(value, walker(steps));
  const emptyKey = keyDefault(member.keyType);
  return (reader, wire, depth, row) => {
    if (wire !== 2) {
      reader.skipType(wire, depth, member.id);
      return;
    }
    const found = entry(reader, depth) as Row;
    const name = typeof found.key === 'string' ? found.key : emptyKey;
    setterOf(name)(get(row) as Row, (found.value ?? mapDefault(value)) as Value);
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
