import { isUtf8 } from 'node:buffer';
import { codecFor, inMessage } from '../codec.ts';
import type { Codec, FormatOf, Row, Value } from '../format.ts';
import { byLines } from '../framing.ts';
import type { RegisteredSchemas } from '../registered.ts';
import type { ConnectionSchema, Field } from '../schema/schema.ts';
import { badData } from '../values/bad.ts';
import { objectReader } from './decode.ts';
import { objectWriter } from './encode.ts';
import { memberOf, outerEnvelope, parseDocument, parserFor } from './json.ts';

/**
 * Changes in Debezium's envelope that pass from a table in this format to another. An update has two rows, the states
 * before and after it, each of which is transformed. What is left of them makes an update, a delete or an insert.
 */
interface Changes {
  source: Codec;
  encode: EncodeResult;
}

/**
 * Writes one of the rows that were made of some inputs. Undefined if it needs no message: the state before an update whose
 * state after it follows or is bad.
 */
export type EncodeResult = (inputs: readonly Row[], results: Results, index: number) => Buffer | undefined;

/** The codec of a source, and the writer of its sink. */
export function codecsBetween(
  source: ConnectionSchema,
  target: ConnectionSchema,
  schemas?: RegisteredSchemas,
): Changes {
  const sink = codecFor(target);
  const encode: EncodeResult = (_, { rows }, index) => sink.encode(rows[index] as Row);
  const codec = codecFor(source, schemas);
  const changes = changesBetween(source, target, schemas);
  return changes ? { ...changes, source: { ...codec, ...changes.source } } : { source: codec, encode };
}

interface Results {
  rows: readonly Row[];
  /** The index of the input of each row. */
  origin: readonly number[];
  bad: readonly { index: number }[];
}

/** `before` and `after` belong to one update; the others stand alone. */
type Part = 'created' | 'deleted' | 'before' | 'after' | 'replaced';

/** Undefined if one of the tables has no changes. */
function changesBetween(
  source: ConnectionSchema,
  target: ConnectionSchema,
  schemas: RegisteredSchemas | undefined,
) {
  if (!hasChanges(source) || !hasChanges(target)) return undefined;
  const write = writer(target);
  const { codec, partOf } = reader(source, source.fields ?? [], schemas);
  return {
    source: codec,
    encode(inputs: readonly Row[], { rows, origin, bad }: Results, index: number) {
      const from = origin[index] as number;
      const [previous, row] = [rows[index - 1], rows[index] as Row];
      switch (partOf(inputs[from])) {
        case 'before':
          if (origin[index + 1] !== from + 1 && !bad.some((one) => one.index === from + 1)) break;
          return undefined;
        case 'after':
          if (origin[index - 1] === from - 1) return write(previous, row, 'u');
          return write(undefined, row, bad.some((one) => one.index === from - 1) ? 'u' : 'c');
        case 'replaced':
          return write(undefined, row, 'u');
        case 'created':
          return write(undefined, row, 'c');
      }
      return write(row, undefined, 'd');
    },
  };
}

type Changing = ConnectionSchema & { format: FormatOf<'json'> };

/** Lines and compression are left to codecs of single rows. */
const hasChanges = (schema: ConnectionSchema): schema is Changing =>
  isDebezium(schema) && !schema.framing && schema.format.compression !== 'gzip';

function isDebezium(schema: ConnectionSchema): schema is Changing {
  const { format } = schema;
  return format?.type === 'json' && format.debezium === true;
}

/** The effect of a row that a source in Debezium's envelope yields on the rows that there are. */
export type ChangeEffect = 'insert' | 'retract' | 'replace';

export interface ChangeReader {
  codec: Codec;
  /** Asks for a row that the codec returned. `replace` retracts the row with the same key, if there is one, and inserts. */
  effectOf(row: Row): ChangeEffect;
  /** If there are any, rows are retracted by these columns: the others need not be in the state before a change. */
  key: readonly string[];
}

/**
 * Reads the changes of a source for what keeps its rows. An update yields the state before as a row to retract, then the state
 * after it. Undefined for another format, and for lines, whose codec reads one row of each.
 */
export function changeReader(
  schema: ConnectionSchema,
  schemas?: RegisteredSchemas,
): ChangeReader | undefined {
  if (!isDebezium(schema) || schema.framing) return undefined;
  const key = schema.primary_keys ?? [];
  const isLoose = ({ name }: Field) => key.length > 0 && !key.includes(name);
  const before = (schema.fields ?? []).map((field) =>
    isLoose(field) ? { ...field, required: false } : field,
  );
  const { codec, partOf } = reader(schema, before, schemas, key.length > 0);
  return {
    codec: { ...codecFor(schema, schemas), ...codec },
    effectOf: (row) => effects[partOf(row)],
    key,
  };
}

const effects: Readonly<Record<Part, ChangeEffect>> = {
  created: 'insert',
  after: 'insert',
  before: 'retract',
  deleted: 'retract',
  replaced: 'replace',
};

/** A reader of changes. `replaces`: an update may lack the state before it. */
function reader(
  schema: Changing,
  fieldsBefore: readonly Field[],
  schemas: RegisteredSchemas | undefined,
  replaces = true,
) {
  const { fields = [], format } = schema;
  const parts = new WeakMap<Row, Part>();
  const marked = (row: Row, part: Part): Row => {
    parts.set(row, part);
    return row;
  };
  const outer = outerEnvelope(fields, format);
  const parse = parserFor(fields, format);
  const readBefore = objectReader(fieldsBefore, `${outer.path}/before`, format);
  const readAfter = objectReader(fields, `${outer.path}/after`, format);
  const decodeAll = (payload: Buffer): Row[] => {
    if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
    const change = outer.open(parseDocument(payload.toString(), parse));
    const op = memberOf(change, 'op', outer.path);
    const before = op === 'u' || op === 'd' ? (change as Record<string, unknown>).before : undefined;
    const hasBefore = before !== null && before !== undefined;
    if (op === 'd') {
      if (!hasBefore) throw badData(`${outer.path}/before`, 'is required in a delete but missing');
      return [marked(readBefore(before), 'deleted')];
    }
    if (op !== 'c' && op !== 'r' && op !== 'u')
      throw badData(`${outer.path}/op`, 'is not one of c, r, u and d');
    if (op === 'u' && !hasBefore && !replaces)
      throw badData(`${outer.path}/before`, 'is required in an update of a table without PRIMARY KEY');
    const after = readAfter(memberOf(change, 'after', outer.path));
    if (hasBefore) return [marked(readBefore(before), 'before'), marked(after, 'after')];
    return [marked(after, op === 'u' ? 'replaced' : 'created')];
  };
  const own: Codec = { ...codecFor(schema), decodeAll };
  const { decodeAll: decode } = inMessage(own, format, schemas && { schemas });
  return {
    codec: { decodeAll: decode as NonNullable<Codec['decodeAll']> },
    partOf: (row: Row | undefined): Part => (row && parts.get(row)) ?? 'created',
  };
}

function writer(schema: Changing) {
  const { fields = [], format, framing } = schema;
  const { head, tail } = outerEnvelope(fields, format);
  const write = objectWriter(fields, '', format);
  const state = (row: Value | undefined) => (row ? write(row) : 'null');
  const encode = ({ before, after, op }: Row): Buffer => {
    const text = `${head}{"before":${state(before)},"after":${state(after)},"op":"${op}"}${tail}`;
    // Between the values of a json column a space means the same.
    return Buffer.from(framing ? text.replaceAll(/[\n\r]/g, ' ') : text);
  };
  const { decode } = codecFor(schema);
  const codec = inMessage(framing ? byLines({ decode, encode }, framing, false) : { decode, encode }, format);
  return (before: Row | undefined, after: Row | undefined, op: 'c' | 'u' | 'd'): Buffer =>
    codec.encode({ before: before ?? null, after: after ?? null, op });
}

/** The state of a row before and after a change, at least one of them. */
export interface Change {
  before?: Row;
  after?: Row;
}

/** Returns the writer of changes in Debezium's envelope. Undefined if the sink has another format. */
export function changeWriter(schema: ConnectionSchema): ((change: Change) => Buffer) | undefined {
  if (!isDebezium(schema)) return undefined;
  const write = writer(schema);
  return ({ before, after }) => write(before, after, before ? (after ? 'u' : 'd') : 'c');
}

/** Whether a sink can take updates: as changes in Debezium's envelope, or as rows that replace and delete others. */
export const takesChanges = (sink: { schema: ConnectionSchema; deletesBy?: readonly string[] }): boolean =>
  sink.deletesBy !== undefined || isDebezium(sink.schema);
