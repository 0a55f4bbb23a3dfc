import Type, { type Static, type TSchema } from 'typebox';
import { errorCatalog } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { stopModes } from '../jobs/states.ts';

/** Wire shapes that more than one resource uses. Names and nesting are Arroyo's unless the text says otherwise. */

export const strict = { additionalProperties: false } as const;

/** Now, in unix microseconds. */
export const nowMicros = (): bigint => BigInt(Date.now()) * 1000n;

/** Printable text without control characters, which also makes it safe to show in a log line or a terminal. */
export const Name = Type.String({
  minLength: 1,
  maxLength: 100,
  pattern: '^[^\\u0000-\\u001f\\u007f]*$',
  description: 'Unique among its kind',
});

/** An id of ours. Anything else names nothing, and is not asked of the database. */
const idPattern = '^[0-9A-Za-z_]{1,64}$';
export const Id = Type.String({ pattern: idPattern });

export const IdParams = Type.Object({ id: Id }, strict);
export const NameParams = Type.Object({ name: Name }, strict);

export const PageQuery = Type.Object(
  {
    starting_after: Type.Optional(
      Type.String({ pattern: idPattern, description: 'The id of the last object of the previous page' }),
    ),
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 10, description: 'Objects per page' }),
  },
  strict,
);
export type PageQuery = Static<typeof PageQuery>;

/** A page of a collection. */
export const Page = <T extends TSchema>(item: T) =>
  Type.Object({
    data: Type.Array(item),
    hasMore: Type.Boolean({ description: 'Whether there is another page' }),
  });

/** A whole collection. */
export const Collection = <T extends TSchema>(item: T) => Type.Object({ data: Type.Array(item) });

/** Cuts a result that was asked for with one object more than `limit`. */
export function toPage<T>(rows: T[], limit: number): { data: T[]; hasMore: boolean } {
  return { data: rows.slice(0, limit), hasMore: rows.length > limit };
}

/** Newest first; ids decide between objects of the same microsecond. */
export const newestFirst = [{ createdAt: 'desc' }, { id: 'desc' }] as const;

/** The part of a `where` that skips everything up to the object a page starts after; throws when there is none. */
export async function startAfter(
  { starting_after: id }: PageQuery,
  find: (id: string) => Promise<{ id: string; createdAt: bigint } | null>,
) {
  if (id === undefined) return {};
  const last = await find(id);
  if (!last) {
    const error = { path: '/starting_after', message: `names nothing: there is no ${id}` };
    throw new PenstockError('invalid_request', `starting_after ${error.message}`, {
      hint: 'Use the id of the last object of the previous page; if it was deleted, start from the first page.',
      errors: [error],
    });
  }
  return listedAfter(last);
}

/** The part of a `where` for everything that a list has after that row. */
export const listedAfter = ({ id, createdAt }: { id: string; createdAt: bigint }) => ({
  OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }],
});

/** The answer `null`, which says that it is done. */
export const nothing = (description: string) =>
  Type.Unsafe<null>({ description, content: { 'application/json': { schema: Type.Null(), example: null } } });

/** The answer to a DELETE. */
export const Deleted = nothing('Deleted');

/** The id of a connector. */
export const ConnectorId = Type.String({ maxLength: 64 });

/** The schema of a body that may be left out. */
export const optionalBody = <T extends TSchema>(body: T) =>
  Type.Unsafe<Static<T> | null | undefined>({ ...body, type: ['object', 'null'] });

/** A configuration object whose shape the connector's schema gives. */
export const ConnectorConfig = Type.Unsafe<Record<string, never>>({
  type: 'object',
  additionalProperties: true,
  description: "As the connector's schema says (GET /connectors/{id})",
});

export const StopMode = Type.Enum([...stopModes], {
  description: 'none: run. checkpoint, graceful: drain, then stop. immediate, force: stop at once',
});

const testExample = {
  error: false,
  done: true,
  message: 'Connected to mqtt://localhost:1883',
  name: 'summary',
  outcome: 'ok',
  durationMs: 14,
  code: null,
  hint: null,
  details: {},
};

/** One event of a connection test: Arroyo's `{error, done, message}`, and what the step found. */
export const TestMessage = Type.Object(
  {
    error: Type.Boolean({ description: 'Whether this step, or in the last event the test, failed' }),
    done: Type.Boolean({ description: 'Whether this is the last event' }),
    message: Type.String(),
    name: Type.String({ description: 'The step; `summary` in the last event' }),
    outcome: Type.Enum(['ok', 'warning', 'failed', 'skipped']),
    durationMs: Type.Number(),
    code: Type.Union([Type.Enum(Object.keys(errorCatalog)), Type.Null()]),
    hint: Type.Union([Type.String(), Type.Null()], { description: 'What to do about it' }),
    details: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'TestMessage', examples: [testExample] },
);

/** The answer of a test that was asked for as JSON: its last event, with every step. */
export const TestResult = Type.Object(
  { ...TestMessage.properties, steps: Type.Array(Type.Unsafe<object>({ $ref: 'TestMessage#' })) },
  { $id: 'TestResult', examples: [{ ...testExample, steps: [] }] },
);
