import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type TObject } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { JsonObject } from '../security/config-secrets.ts';
import { auditedAs } from './audit.ts';
import { Drains } from './dependents.ts';
import type { Deps } from './deps.ts';
import type { Kind, Named } from './kind.ts';
import { mergePatch } from './merge-patch.ts';
import { checkPreconditions, etagOf, Preconditions, type Versioned } from './precondition.ts';
import { bodyProblems, problems, refusedBySchema } from './problem.ts';
import { Deleted, IdParams, NameParams } from './schemas.ts';
import { Outdated, WriteQuery, write } from './write.ts';

const eTag = { etag: { type: 'string', description: 'Changes with the definition; for `if-match`' } };
const eTagAndLocation = {
  ...eTag,
  location: { type: 'string', description: 'Where it is, when it was created' },
};

type WriteRequest = FastifyRequest<{ Querystring: { dry_run: boolean }; Headers: Preconditions }>;

const written = { querystring: WriteQuery, headers: Preconditions };
const byId = ({ params }: FastifyRequest) => ({ id: (params as { id: string }).id });
const byName = ({ params }: FastifyRequest) => ({ name: (params as { name: string }).name });

/** The routes of a kind, but for its list. */
export const resource =
  <Row extends Versioned, Body extends { name: string }>(
    deps: Deps,
    kind: Kind<Row, Body>,
  ): FastifyPluginAsync =>
  async (app) => {
    const save = saving(deps, kind);
    addReads(app, kind);
    addCreates(app, kind, save);
    addChanges(app, kind, save);
    addDelete(app, deps, kind);
  };

/** What a write wants: this body, in place of `current` where there is one. */
interface Wanted<Row, Body> {
  body: Body;
  current: Row | undefined;
  /** What was sent, if it was a patch. */
  patch?: JsonObject;
  /** Whether one that others create meanwhile is to be replaced. */
  orReplace?: boolean;
}
type Save<Row, Body> = (
  request: FastifyRequest,
  reply: FastifyReply,
  ask: () => Promise<Wanted<Row, Body>>,
) => Promise<object>;

/** Writes what `ask` finds to be wanted, and answers it. A dry run names no version: there is none. */
function saving<Row extends Versioned, Body extends { name: string }>(
  deps: Deps,
  kind: Kind<Row, Body>,
): Save<Row, Body> {
  return async (request, reply, ask) => {
    const { query, headers } = request as WriteRequest;
    let creates = false;
    const { row, drains, forWorker } = await write(deps.db, query.dry_run, async () => {
      const { body, current, patch, orReplace = false } = await ask();
      checkPreconditions(headers, current);
      if (current) auditedAs(request, { before: kind.toWire(current) });
      creates = current === undefined;
      const store = await kind.save(body, current, patch);
      return creates && orReplace ? (tx) => store(tx).catch(outdatedIfTaken) : store;
    });
    if (!query.dry_run) {
      if (forWorker) deps.nudge();
      if (creates) reply.header('location', `/api/v1/${kind.path}/${row.id}`);
      reply.header('etag', etagOf(row));
    }
    return { ...kind.toWire(row), drains };
  };
}

function outdatedIfTaken(error: unknown): never {
  throw error instanceof PenstockError && error.code === 'name_taken' ? new Outdated() : error;
}

function addReads<Row extends Versioned, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
): void {
  const { path, title, noun, Answer } = kind;
  const response = { 200: { ...Answer, headers: eTag }, ...problems(400, 404) };
  const read = async (named: Named, reply: FastifyReply) => {
    const row = await found(kind, named);
    reply.header('etag', etagOf(row));
    return kind.toWire(row);
  };
  app.get(
    `/${path}/:id`,
    {
      schema: {
        operationId: `get${title}`,
        summary: `Get a ${noun}`,
        tags: [path],
        params: IdParams,
        response,
      },
    },
    (request, reply) => read(byId(request), reply),
  );
  app.get(
    `/${path}/by-name/:name`,
    {
      schema: {
        operationId: `get${title}ByName`,
        summary: `Get a ${noun} by its name`,
        tags: [path],
        params: NameParams,
        response,
      },
    },
    (request, reply) => read(byName(request), reply),
  );
}

function addCreates<Row extends Versioned, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
  save: Save<Row, Body>,
): void {
  const { path, title, noun, Answer } = kind;
  app.post(
    `/${path}`,
    {
      schema: {
        operationId: `create${title}`,
        summary: kind.creates,
        tags: [path],
        querystring: WriteQuery,
        body: kind.Body,
        response: { 200: { ...Answer, headers: eTagAndLocation }, ...bodyProblems(409) },
      },
    },
    (request, reply) =>
      save(request, reply, async () => ({ body: request.body as Body, current: undefined })),
  );
  app.put(
    `/${path}/by-name/:name`,
    {
      schema: {
        operationId: `put${title}ByName`,
        summary: `Create or replace the ${noun} of a name`,
        description:
          'The same body twice changes nothing the second time. With `if-none-match: *` it only creates. The mask ' +
          'keeps a stored secret.',
        tags: [path],
        params: NameParams,
        ...written,
        body: kind.Body,
        response: { 200: { ...edited(kind), headers: eTagAndLocation }, ...bodyProblems(409, 412) },
      },
    },
    (request, reply) =>
      save(request, reply, async () => {
        const body = request.body as Body;
        refuseOtherName(body.name, byName(request).name);
        return { body, current: (await kind.find(byName(request))) ?? undefined, orReplace: true };
      }),
  );
}

function addChanges<Row extends Versioned, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
  save: Save<Row, Body>,
): void {
  const { path, title, noun } = kind;
  const common = {
    tags: [path],
    params: IdParams,
    ...written,
    response: { 200: { ...edited(kind), headers: eTag }, ...bodyProblems(404, 409, 412) },
  };
  app.put(
    `/${path}/:id`,
    {
      schema: {
        ...common,
        operationId: `replace${title}`,
        summary: `Replace a ${noun}`,
        description: 'The same body twice changes nothing the second time. The mask keeps a stored secret.',
        body: kind.Body,
      },
    },
    (request, reply) =>
      save(request, reply, async () => ({
        body: request.body as Body,
        current: await found(kind, byId(request)),
      })),
  );
  app.patch(
    `/${path}/:id`,
    {
      schema: {
        ...common,
        operationId: `patch${title}`,
        summary: kind.changes,
        description:
          'An RFC 7396 merge patch: null removes, objects are merged, everything else replaces. The mask keeps a ' +
          'stored secret.',
        consumes: ['application/json', 'application/merge-patch+json'],
        body: kind.Patch,
      },
    },
    (request, reply) =>
      save(request, reply, async () => {
        const current = await found(kind, byId(request));
        const patch = request.body as JsonObject;
        return { body: patched(request, kind, current, patch), current, patch };
      }),
  );
}

function addDelete<Row extends Versioned, Body extends { name: string }>(
  app: FastifyInstance,
  deps: Deps,
  kind: Kind<Row, Body>,
): void {
  const { path, title } = kind;
  app.delete(
    `/${path}/:id`,
    {
      schema: {
        operationId: `delete${title}`,
        summary: kind.deletes,
        tags: [path],
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
        auditedAs(request, { before: kind.toWire(row) });
        return kind.remove(row);
      });
      if (!query.dry_run) deps.nudge();
      return null;
    },
  );
}

/** The answer to an edit: the object, and who takes the change over. */
function edited({ Answer, path, title }: { Answer: TObject; path: string; title: string }): TObject {
  const { examples = [] } = Answer as { examples?: object[] };
  const drains = path === 'pipelines' ? [] : [{ id: 'pl_5TgR7bN1wC', name: 'overheating' }];
  return Type.Object(
    { ...Answer.properties, drains: Drains },
    { title: `Saved${title}`, examples: examples.map((example) => ({ ...example, drains })) },
  );
}

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
