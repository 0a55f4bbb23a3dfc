import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type TObject } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { JsonObject } from '../secrets.ts';
import type { Tx } from '../store/db.ts';
import { Drains } from './dependents.ts';
import type { Deps } from './deps.ts';
import { mergePatch } from './merge-patch.ts';
import { checkPreconditions, etagOf, Preconditions, type Versioned } from './precondition.ts';
import { bodyProblems, problems, refusedBySchema } from './problem.ts';
import { Deleted, IdParams, NameParams } from './schemas.ts';
import { WriteQuery, write } from './write.ts';

/** What was written, and the running pipelines that take it over. */
export interface Saved<Row> {
  row: Row;
  drains: Drains;
  /** Whether there may be something to do for a worker. */
  forWorker: boolean;
}

/** One way of naming an object. */
export type Named = { id: string } | { name: string };

/**
 * A kind of object that is created, read, replaced, changed and deleted by itself. What is the same for all kinds,
 * such as ETags and dry runs, is done here; checking and storing is theirs.
 */
export interface Kind<Row extends Versioned, Body extends { name: string }> {
  /** In the path, and the tag. */
  path: 'connection_profiles' | 'connection_tables' | 'pipelines';
  /** Part of the operation ids. */
  title: 'ConnectionProfile' | 'ConnectionTable' | 'Pipeline';
  noun: string;
  deletes: string;
  Answer: TObject;
  Body: TObject;
  Patch: TObject;
  /** Fields of a patch that are not part of the definition. */
  besides: readonly string[];
  find(named: Named): Promise<Row | null>;
  /** What would have to be sent in a PUT to change nothing. */
  toBody(row: Row): JsonObject;
  /** Checks a body that satisfies its schema; answers how to store it. `patch` is what was sent in a PATCH. */
  save(
    body: Body,
    current: Row | undefined,
    patch: JsonObject | undefined,
  ): Promise<(tx: Tx) => Promise<Saved<Row>>>;
  /** Checks that it may go; answers how to delete it. */
  remove(row: Row): Promise<(tx: Tx) => Promise<void>>;
  toWire(row: Row): object;
}

const eTag = { etag: { type: 'string', description: 'Changes with the definition; for `if-match`' } };
const eTagAndLocation = {
  ...eTag,
  location: { type: 'string', description: 'Where it is, when it was created' },
};

type WriteRequest = FastifyRequest<{ Querystring: { dry_run: boolean }; Headers: Preconditions }>;

/** The routes of a kind, but for its list. */
export const resource =
  <Row extends Versioned, Body extends { name: string }>(
    deps: Deps,
    kind: Kind<Row, Body>,
  ): FastifyPluginAsync =>
  async (app) => {
    const { path, title, noun, Answer } = kind;
    const route = `/${path}`;
    const tags = [path];
    const answered = { ...Answer, headers: eTag };
    const Edited = Type.Object({ ...Answer.properties, drains: Drains }, { examples: examplesOf(kind) });
    const written = { querystring: WriteQuery, headers: Preconditions };
    const byId = ({ params }: FastifyRequest) => ({ id: (params as { id: string }).id });
    const byName = ({ params }: FastifyRequest) => ({ name: (params as { name: string }).name });

    const read = async (named: Named, reply: FastifyReply) => {
      const row = await found(kind, named);
      reply.header('etag', etagOf(row));
      return kind.toWire(row);
    };
    app.get(
      `${route}/:id`,
      {
        schema: {
          operationId: `get${title}`,
          summary: `Get a ${noun}`,
          tags,
          params: IdParams,
          response: { 200: answered, ...problems(400, 404) },
        },
      },
      (request, reply) => read(byId(request), reply),
    );
    app.get(
      `${route}/by-name/:name`,
      {
        schema: {
          operationId: `get${title}ByName`,
          summary: `Get a ${noun} by its name`,
          tags,
          params: NameParams,
          response: { 200: answered, ...problems(400, 404) },
        },
      },
      (request, reply) => read(byName(request), reply),
    );

    app.post(
      route,
      {
        schema: {
          operationId: `create${title}`,
          summary: kind.path === 'pipelines' ? 'Create a pipeline and start its job' : `Create a ${noun}`,
          tags,
          querystring: WriteQuery,
          body: kind.Body,
          response: { 200: { ...Answer, headers: eTagAndLocation }, ...bodyProblems(409) },
        },
      },
      (request, reply) =>
        save(request as WriteRequest, reply, async () => ({
          body: request.body as Body,
          current: undefined,
        })),
    );
    app.put(
      `${route}/:id`,
      {
        schema: {
          operationId: `replace${title}`,
          summary: `Replace a ${noun}`,
          description: 'The same body twice changes nothing the second time. The mask keeps a stored secret.',
          tags,
          params: IdParams,
          ...written,
          body: kind.Body,
          response: { 200: { ...Edited, headers: eTag }, ...bodyProblems(404, 409, 412) },
        },
      },
      (request, reply) =>
        save(request as WriteRequest, reply, async () => ({
          body: request.body as Body,
          current: await found(kind, byId(request)),
        })),
    );
    app.put(
      `${route}/by-name/:name`,
      {
        schema: {
          operationId: `put${title}ByName`,
          summary: `Create or replace the ${noun} of a name`,
          description:
            'The same body twice changes nothing the second time. With `if-none-match: *` it only creates. The mask ' +
            'keeps a stored secret.',
          tags,
          params: NameParams,
          ...written,
          body: kind.Body,
          response: { 200: { ...Edited, headers: eTagAndLocation }, ...bodyProblems(409, 412) },
        },
      },
      (request, reply) =>
        save(request as WriteRequest, reply, async () => {
          const body = request.body as Body;
          refuseOtherName(body.name, byName(request).name);
          return { body, current: (await kind.find(byName(request))) ?? undefined };
        }),
    );
    app.patch(
      `${route}/:id`,
      {
        schema: {
          operationId: `patch${title}`,
          summary: kind.path === 'pipelines' ? 'Stop, start or change a pipeline' : `Change a ${noun}`,
          description:
            'An RFC 7396 merge patch: null removes, objects are merged, everything else replaces. The mask keeps a ' +
            'stored secret.',
          tags,
          consumes: ['application/json', 'application/merge-patch+json'],
          params: IdParams,
          ...written,
          body: kind.Patch,
          response: { 200: { ...Edited, headers: eTag }, ...bodyProblems(404, 409, 412) },
        },
      },
      (request, reply) =>
        save(request as WriteRequest, reply, async () => {
          const current = await found(kind, byId(request));
          const patch = request.body as JsonObject;
          return { body: patched(request, kind, current, patch), current, patch };
        }),
    );
    app.delete(
      `${route}/:id`,
      {
        schema: {
          operationId: `delete${title}`,
          summary: kind.deletes,
          tags,
          params: IdParams,
          ...written,
          response: { 200: Deleted, ...problems(400, 404, 409, 412) },
        },
      },
      async (request) => {
        const { query, headers } = request as WriteRequest;
        await write(deps.db, query.dry_run, async () => {
          const row = await found(kind, byId(request));
          checkPreconditions(headers, row);
          return kind.remove(row);
        });
        if (!query.dry_run) deps.nudge();
        return null;
      },
    );

    /** Writes what `ask` finds to be wanted, and answers it. A dry run names no version: there is none. */
    async function save(
      { query, headers }: WriteRequest,
      reply: FastifyReply,
      ask: () => Promise<{ body: Body; current: Row | undefined; patch?: JsonObject }>,
    ): Promise<object> {
      let creates = false;
      const { row, drains, forWorker } = await write(deps.db, query.dry_run, async () => {
        const { body, current, patch } = await ask();
        checkPreconditions(headers, current);
        creates = current === undefined;
        return kind.save(body, current, patch);
      });
      if (!query.dry_run) {
        if (forWorker) deps.nudge();
        if (creates) reply.header('location', `/api/v1/${path}/${row.id}`);
        reply.header('etag', etagOf(row));
      }
      return { ...kind.toWire(row), drains };
    }
  };

async function found<Row extends Versioned>(
  kind: Pick<Kind<Row, never>, 'find' | 'noun'>,
  named: Named,
): Promise<Row> {
  const row = await kind.find(named);
  if (row) return row;
  const what = 'id' in named ? named.id : `called ${JSON.stringify(named.name)}`;
  throw new PenstockError('not_found', `There is no ${kind.noun} ${what}`);
}

/** What a PUT would have to be sent instead of the patch, as valid as one. */
function patched<Row extends Versioned, Body extends { name: string }>(
  request: FastifyRequest,
  { Body, toBody, besides }: Kind<Row, Body>,
  row: Row,
  patch: JsonObject,
): Body {
  const definition = Object.fromEntries(Object.entries(patch).filter(([name]) => !besides.includes(name)));
  const body = mergePatch(toBody(row), definition);
  const validate = request.compileValidationSchema(Body, 'body');
  if (!validate(body)) throw refusedBySchema(validate.errors ?? [], 'patched object');
  return body as unknown as Body;
}

function refuseOtherName(sent: string, inPath: string): void {
  if (sent === inPath) return;
  const error = { path: '/name', message: `is not ${JSON.stringify(inPath)}, the name in the path` };
  throw new PenstockError('invalid_request', `/name ${error.message}`, {
    hint: 'To give it another name use PATCH or PUT with its id.',
    errors: [error],
  });
}

const examplesOf = ({ Answer, path }: { Answer: TObject; path: string }): object[] => {
  const { examples = [] } = Answer as { examples?: object[] };
  const pipeline = { id: 'pl_5TgR7bN1wC', name: 'overheating' };
  return examples.map((example) => ({ ...example, drains: path === 'pipelines' ? [] : [pipeline] }));
};
