import { isUtf8 } from 'node:buffer';
import { codecFor } from '../codec.ts';
import type { Codec, FormatOf, Row } from '../format.ts';
import type { ConnectionSchema } from '../schema/schema.ts';
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
export function codecsBetween(source: ConnectionSchema, target: ConnectionSchema): Changes {
  const sink = codecFor(target);
  const encode: EncodeResult = (_, { rows }, index) => sink.encode(rows[index] as Row);
  const codec = codecFor(source);
  const changes = changesBetween(source, target);
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
function changesBetween(source: ConnectionSchema, target: ConnectionSchema) {
  if (!hasChanges(source) || !hasChanges(target)) return undefined;
  const parts = new WeakMap<Row, Part>();
  const write = writer(target);
  const decodeAll = reader(source, (row, part) => {
    parts.set(row, part);
    return row;
  });
  const partOf = (input: Row | undefined): Part => (input && parts.get(input)) ?? 'created';
  return {
    source: { decodeAll },
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
function hasChanges(schema: ConnectionSchema): schema is Changing {
  const { format, framing } = schema;
  return format?.type === 'json' && format.debezium === true && !framing && format.compression !== 'gzip';
}

function reader({ fields = [], format }: Changing, marked: (row: Row, part: Part) => Row) {
  const outer = outerEnvelope(fields, format);
  const parse = parserFor(fields, format);
  const read = (state: 'before' | 'after') => objectReader(fields, `${outer.path}/${state}`, format);
  const [readBefore, readAfter] = [read('before'), read('after')];
  return (payload: Buffer): Row[] => {
    if (payload.length === 0 && format.skip_empty) return [];
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
    const after = readAfter(memberOf(change, 'after', outer.path));
    if (hasBefore) return [marked(readBefore(before), 'before'), marked(after, 'after')];
    return [marked(after, op === 'u' ? 'replaced' : 'created')];
  };
}

function writer({ fields = [], format }: Changing) {
  const { head, tail } = outerEnvelope(fields, format);
  const write = objectWriter(fields, '', format);
  const state = (row: Row | undefined) => (row ? write(row) : 'null');
  return (before: Row | undefined, after: Row | undefined, op: 'c' | 'u' | 'd'): Buffer =>
    Buffer.from(`${head}{"before":${state(before)},"after":${state(after)},"op":"${op}"}${tail}`);
}
