import Type, { type Static, type TSchema, type TSchemaOptions } from 'typebox';
import { errorCatalog } from '../connectors/catalog.ts';
import { PenstockError } from '../errors.ts';
import { stopModes } from '../jobs/states.ts';
import { timeOfId } from '../store/id.ts';

/** Schemas that more than one resource uses. Names and nesting are Arroyo's. */

export const strict = { additionalProperties: false } as const;

export const nullable = <T extends TSchema>(schema: T, options: TSchemaOptions = {}) =>
  Type.Union([schema, Type.Null()], options);

export const Micros = Type.Integer({ description: 'Unix microseconds' });

/** Excludes control characters, so that logs and terminals can show names. */
export const Name = Type.String({
  minLength: 1,
  maxLength: 100,
  pattern: '^[^\\u0000-\\u001f\\u007f]*$',
  description: 'Unique among objects of its kind',
});

/** Anything else cannot be an id, and never reaches the database. */
const idPattern = '^[0-9A-Za-z_]{1,64}$';
export const Id = Type.String({ pattern: idPattern });

export const IdParams = Type.Object({ id: Id }, strict);
export const NameParams = Type.Object({ name: Name }, strict);

export type Named = { id: string } | { name: string };

/** Arroyo's console asks for 200. */
const maxPage = 200;

export const PageQuery = Type.Object(
  {
    starting_after: Type.Optional(
      Type.String({ pattern: idPattern, description: 'The id of the last object of the previous page' }),
    ),
    limit: Type.Integer({
      minimum: 1,
      default: 10,
      description: `Number of objects per page; more than ${maxPage} count as ${maxPage}`,
    }),
  },
  strict,
);
export type PageQuery = Static<typeof PageQuery>;

export const pageSize = ({ limit }: Pick<PageQuery, 'limit'>): number => Math.min(limit, maxPage);

export const Page = <T extends TSchema>(item: T) =>
  Type.Object({
    data: Type.Array(item),
    hasMore: Type.Boolean({ description: 'Whether there is another page' }),
  });

export const Collection = <T extends TSchema>(item: T) => Type.Object({ data: Type.Array(item) });

/** Makes a page of a result that has up to one object more than `limit`. */
export function toPage<T>(rows: T[], limit: number): { data: T[]; hasMore: boolean } {
  return { data: rows.slice(0, limit), hasMore: rows.length > limit };
}

/** Newest first; ids decide between objects of the same microsecond. */
export const newestFirst = [{ createdAt: 'desc' }, { id: 'desc' }] as const;

/**
 * The condition for the objects of a page that starts after another one, which may be deleted since. Throws if there can
 * never have been one.
 */
export async function startAfter(
  { starting_after: id }: PageQuery,
  find: (id: string) => Promise<{ id: string; createdAt: bigint } | null>,
) {
  if (id === undefined) return {};
  const last = await find(id);
  if (last) return listedAfter(last);
  const createdAt = timeOfId(id);
  if (createdAt !== undefined) return listedAfter({ id, createdAt });
  const error = { path: '/starting_after', message: `is not the id of an object in this list: ${id}` };
  throw new PenstockError('invalid_request', `starting_after ${error.message}`, {
    hint: 'Use the id of the last object of the previous page.',
    errors: [error],
  });
}

export const listedAfter = ({ id, createdAt }: { id: string; createdAt: bigint }) => ({
  OR: [{ createdAt: { lt: createdAt } }, { createdAt, id: { lt: id } }],
});

/** The response `null`, which confirms success. */
export const nothing = (description: string) =>
  Type.Unsafe<null>({ description, content: { 'application/json': { schema: Type.Null(), example: null } } });

export const Deleted = nothing('Deleted');

export const ConnectorId = Type.String({ maxLength: 64 });

export const optionalBody = <T extends TSchema>(body: T) =>
  Type.Unsafe<Static<T> | null | undefined>({ ...body, type: ['object', 'null'] });

export const ConnectorConfig = Type.Unsafe<Record<string, never>>({
  type: 'object',
  additionalProperties: true,
  description: 'Defined by the schema of the connector (GET /connectors/{id})',
});

export const StopMode = Type.Enum([...stopModes], {
  description:
    'none: run. checkpoint: drain, then stop; open windows are kept. graceful: drain, close all open windows, then stop. ' +
    'immediate, force: stop at once; open windows are kept as of the last checkpoint',
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

/** One event of a connection test: Arroyo's `{error, done, message}` and the findings of a step. */
export const TestMessage = Type.Object(
  {
    error: Type.Boolean({
      description: 'Whether this step failed; in the last event, whether the test failed',
    }),
    done: Type.Boolean({ description: 'Whether this is the last event' }),
    message: Type.String(),
    name: Type.String({ description: 'The step; `summary` in the last event' }),
    outcome: Type.Enum(['ok', 'warning', 'failed', 'skipped']),
    durationMs: Type.Number(),
    code: nullable(Type.Enum(Object.keys(errorCatalog))),
    hint: nullable(Type.String(), { description: 'What to do about it' }),
    details: Type.Record(Type.String(), Type.Unknown()),
  },
  { $id: 'TestMessage', examples: [testExample] },
);

/** A test as one JSON object: the last event, with all steps. */
export const TestResult = Type.Object(
  { ...TestMessage.properties, steps: Type.Array(Type.Unsafe<object>({ $ref: 'TestMessage#' })) },
  { $id: 'TestResult', examples: [{ ...testExample, steps: [] }] },
);
