import type { FormatOf } from '../format.ts';
import type { Field } from '../schema/schema.ts';
import { badData } from '../values/bad.ts';
import { connectSchema, debeziumSchema } from './kafka-connect.ts';

/** What a row is wrapped in. */
interface Envelope {
  /** Where the row is in the document, as a JSON pointer. */
  path: string;
  /** Takes the row out of a parsed document; throws `bad_data`. */
  open(document: unknown): unknown;
  /** The text before and after the row. */
  head: string;
  tail: string;
}

/**
 * The envelope of a row: `{schema, payload}` of Kafka Connect with `include_schema`, in it `{before, after, op}` of
 * Debezium with `debezium`. The schema in a message is not read: the table's fields rule.
 */
export function envelopeOf(fields: readonly Field[], format: FormatOf<'json'>): Envelope {
  const bare: Envelope = { path: '', open: (document) => document, head: '', tail: '' };
  const outer = format.include_schema ? connect(fields, format) : bare;
  return format.debezium ? debezium(outer) : outer;
}

function connect(fields: readonly Field[], format: FormatOf<'json'>): Envelope {
  const row = connectSchema(fields, format);
  const schema = format.debezium ? debeziumSchema(row) : row;
  return {
    path: '/payload',
    open: (document) => memberOf(document, 'payload', ''),
    head: `{"schema":${JSON.stringify(schema)},"payload":`,
    tail: '}',
  };
}

/**
 * Reading takes the state after an insert (c), a snapshot (r) or an update (u). A delete, and what is no change of a
 * row, is bad data: a row says what is, so that it cannot say that something is gone. Writing makes every row an
 * insert, as Arroyo does.
 */
function debezium(outer: Envelope): Envelope {
  return {
    path: `${outer.path}/after`,
    open(document) {
      const change = outer.open(document);
      const op = memberOf(change, 'op', outer.path);
      if (op === 'c' || op === 'r' || op === 'u') return memberOf(change, 'after', outer.path);
      const problem = op === 'd' ? 'is a delete, which no row can express' : 'is not one of c, r, u and d';
      throw badData(`${outer.path}/op`, problem);
    },
    head: `${outer.head}{"before":null,"after":`,
    tail: `,"op":"c"}${outer.tail}`,
  };
}

function memberOf(value: unknown, name: string, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badData(path, 'is not an object');
  if (!Object.hasOwn(value, name)) throw badData(`${path}/${name}`, 'is required but missing');
  return (value as Record<string, unknown>)[name];
}
