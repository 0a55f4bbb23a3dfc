import { isDeepStrictEqual } from 'node:util';
import { asPenstockError, type PenstockError } from '../errors.ts';
import { codecFor } from '../formats/codec.ts';
import type { Row } from '../formats/format.ts';
import { type Change, changeWriter } from '../formats/json/changes.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { badRow, pathOf } from '../formats/values/bad.ts';
import type { Outgoing } from './running.ts';

/** Results of a query with state become messages of its sink. */

interface EncodedChanges {
  messages: Outgoing[];
  /** For each message the index of the change that it is made of. */
  origins: number[];
}

/**
 * Turns changes into messages. They must be the differences between two results, so that their order means nothing: deletions
 * come first. Calls `bad` for a change that cannot be written, and encodes the others.
 */
type ChangesEncoder = (
  changes: readonly Change[],
  bad: (index: number, error: PenstockError) => void,
) => EncodedChanges;

/** See `InlineConnection` of the planner. */
interface ChangesSink {
  schema: ConnectionSchema;
  takesRows?: boolean;
  deletesBy?: readonly string[];
}

/** Changes of a sink that `takesChanges`. A result that never changes, such as that of a window, goes to every sink. */
export function changesEncoder({ schema, takesRows, deletesBy }: ChangesSink): ChangesEncoder {
  const write = takesRows ? undefined : changeWriter(schema);
  if (write)
    return encoder((change, put) => {
      const row = change.after ?? change.before;
      if (row) put({ payload: write(change), row });
    });
  const payloadOf = takesRows ? rowChecker(schema) : codecFor(schema).encode;
  return encoder(({ before, after }, put) => {
    const gone =
      before && (!after || (deletesBy && !isSameKey(before, after, deletesBy))) ? before : undefined;
    if (gone && !deletesBy) throw new Error('The sink cannot delete rows');
    const payload = after && payloadOf(after);
    if (gone) put({ payload: noPayload, row: gone, deleted: true });
    if (after && payload) put({ payload, row: after });
  });
}

function encoder(encode: (change: Change, put: (message: Outgoing) => void) => void): ChangesEncoder {
  return (changes, bad) => {
    const made: { message: Outgoing; origin: number }[] = [];
    for (const [origin, change] of changes.entries()) {
      try {
        encode(change, (message) => made.push({ message, origin }));
      } catch (error) {
        const raised = asPenstockError(error);
        if (raised.code !== 'bad_row') throw raised;
        bad(origin, raised);
      }
    }
    // A row may get the key that another one had.
    const ordered = [
      ...made.filter(({ message }) => message.deleted),
      ...made.filter(({ message }) => !message.deleted),
    ];
    return {
      messages: ordered.map(({ message }) => message),
      origins: ordered.map(({ origin }) => origin),
    };
  };
}

const isSameKey = (one: Row, other: Row, key: readonly string[]): boolean =>
  key.every((name) => isDeepStrictEqual(one[name], other[name]));

/**
 * Returns what stands for the encoder of a sink that takes rows. It checks that the columns that need a value have one, and
 * throws `bad_row`.
 */
export function rowChecker({ fields = [] }: ConnectionSchema): (row: Row) => Buffer {
  const required = fields.filter((field) => field.required).map(({ name }) => name);
  return (row) => {
    const missing = required.find((name) => row[name] === null || row[name] === undefined);
    if (missing !== undefined) throw badRow(pathOf('', missing), 'is required but null');
    return noPayload;
  };
}

const noPayload = Buffer.alloc(0);
