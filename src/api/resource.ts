import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type Static, type TObject } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { JsonObject } from '../security/config-secrets.ts';
import { auditedAs } from './audit.ts';
import { AffectedPipelines } from './dependents.ts';
import type { Deps } from './deps.ts';
import { type Kind, type ObjectRow, refuseOtherName, writeObjects } from './kind.ts';
import { readSelection, SelectionPageQuery, SelectionQuery, selectRows } from './labels.ts';
import { mergePatch } from './merge-patch.ts';
import { checkPreconditions, etagOf, isKnown, locationOf, Preconditions } from './precondition.ts';
import { bodyProblems, problems, refusedBySchema } from './problem.ts';
import {
  Collection,
  Deleted,
  IdParams,
  type Named,
  NameParams,
  Page,
  type PageQuery,
  pageSize,
  startAfter,
  toPage,
} from './schemas.ts';
import { DeleteQuery, optionsOf, WriteQuery } from './write.ts';

const eTag = {
  etag: {
    type: 'string',
    description:
      'Changes with what is shown; for `if-none-match`. With `if-match`, only the definition counts',
  },
};
const unchanged = Type.Unsafe({
  type: 'null',
  description: 'The object is still the one with an ETag of `if-none-match`',
});
const eTagAndLocation = {
  ...eTag,
  location: { type: 'string', description: 'Relative path of the object, if it was created' },
};

type WriteRequest = FastifyRequest<{ Querystring: Static<typeof WriteQuery>; Headers: Preconditions }>;

const conditional = { querystring: WriteQuery, headers: Preconditions };
const byId = ({ params }: FastifyRequest) => ({ id: (params as { id: string }).id });
const byName = ({ params }: FastifyRequest) => ({ name: (params as { name: string }).name });

const operation = (kind: { path: string }, operationId: string, summary: string, schema: object) => ({
  schema: { operationId, summary, tags: [kind.path], ...schema },
});

export const resource =
  <Row extends ObjectRow, Body extends { name: string }>(
    deps: Deps,
    kind: Kind<Row, Body>,
  ): FastifyPluginAsync =>
  async (app) => {
    const save = saving(deps, kind);
    addReads(app, kind);
    addCreates(app, kind, save);
    addChanges(app, kind, save);
    addDelete(app, deps, kind);
    addList(app, kind);
  };

/** The write that a request asks for: this body, which replaces `current` if there is one. */
interface Wanted<Row, Body> {
  body: Body;
  current: Row | undefined;
  patch?: JsonObject;
}
type Save<Row, Body> = (
  request: FastifyRequest,
  reply: FastifyReply,
  ask: () => Promise<Wanted<Row, Body>>,
  options?: { byName: boolean },
) => Promise<object>;

/** Writes what `ask` finds, and returns the response. That of a dry run has no ETag, as nothing has that version. */
function saving<Row extends ObjectRow, Body extends { name: string }>(
  deps: Deps,
  kind: Kind<Row, Body>,
): Save<Row, Body> {
  return async (request, reply, ask, { byName: replaces } = { byName: false }) => {
    const { query, headers } = request as WriteRequest;
    const options = { ...optionsOf(query), byName: replaces };
    const { row, affected, creates, more } = await writeObjects(deps, options, async (staged) => {
      const { body, current, patch } = await ask();
      checkPreconditions(headers, current);
      if (current) auditedAs(request, { before: kind.toWire(current) });
      const change = await kind.save(body, current, staged, patch);
      const about = { creates: current === undefined, more: change.shown };
      return { changes: [change], finish: ([row], affected) => ({ row: row as Row, affected, ...about }) };
    });
    const shown = kind.toWire(row);
    if (!query.dry_run) {
      if (creates) reply.header('location', locationOf(request, `/api/v1/${kind.path}/${row.id}`));
      reply.header('etag', etagOf(row, shown));
    }
    return { ...shown, ...more, affected_pipelines: affected };
  };
}

function addReads<Row extends ObjectRow, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
): void {
  const { path, title, noun, Response } = kind;
  const common = {
    headers: Type.Pick(Preconditions, ['if-none-match']),
    response: { 200: { ...Response, headers: eTag }, 304: unchanged, ...problems(404) },
  };
  const read = async (named: Named, { headers }: FastifyRequest, reply: FastifyReply) => {
    const row = await found(kind, named);
    const shown = kind.toWire(row);
    const etag = etagOf(row, shown);
    reply.header('etag', etag);
    if (!isKnown(headers['if-none-match'], etag)) return shown;
    return reply.code(304).send();
  };
  app.get(
    `/${path}/:id`,
    operation(kind, `get${title}`, `Get a ${noun}`, { params: IdParams, ...common }),
    (request, reply) => read(byId(request), request, reply),
  );
  app.get(
    `/${path}/by-name/:name`,
    operation(kind, `get${title}ByName`, `Get a ${noun} by name`, {
      params: NameParams,
      ...common,
    }),
    (request, reply) => read(byName(request), request, reply),
  );
}

function addCreates<Row extends ObjectRow, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
  save: Save<Row, Body>,
): void {
  const { path, title, noun, Response, Saved = Response } = kind;
  app.post(
    `/${path}`,
    operation(kind, `create${title}`, kind.summaries.create, {
      ...conditional,
      body: kind.Body,
      response: { 200: { ...Saved, headers: eTagAndLocation }, ...bodyProblems(409, 412) },
    }),
    (request, reply) =>
      save(request, reply, async () => ({ body: request.body as Body, current: undefined })),
  );
  app.put(
    `/${path}/by-name/:name`,
    operation(kind, `put${title}ByName`, `Create or replace the ${noun} with a name`, {
      description:
        'Idempotent: sending the same body again changes nothing. With `if-none-match: *` it only creates. The mask ' +
        'keeps a stored secret.',
      params: NameParams,
      ...conditional,
      body: kind.Body,
      response: { 200: { ...saved(kind), headers: eTagAndLocation }, ...bodyProblems(409, 412) },
    }),
    (request, reply) => {
      const ask = async () => {
        const body = request.body as Body;
        refuseOtherName(body.name, byName(request).name);
        return { body, current: (await kind.find(byName(request))) ?? undefined };
      };
      return save(request, reply, ask, { byName: true });
    },
  );
}

function addChanges<Row extends ObjectRow, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
  save: Save<Row, Body>,
): void {
  const { path, title, noun } = kind;
  const common = {
    params: IdParams,
    ...conditional,
    response: { 200: { ...saved(kind), headers: eTag }, ...bodyProblems(404, 409, 412) },
  };
  app.put(
    `/${path}/:id`,
    operation(kind, `replace${title}`, `Replace a ${noun}`, {
      ...common,
      description: 'Idempotent: sending the same body again changes nothing. The mask keeps a stored secret.',
      body: kind.Body,
    }),
    (request, reply) =>
      save(request, reply, async () => ({
        body: request.body as Body,
        current: await found(kind, byId(request)),
      })),
  );
  app.patch(
    `/${path}/:id`,
    operation(kind, `patch${title}`, kind.summaries.change, {
      ...common,
      description:
        'An RFC 7396 merge patch: null removes, objects are merged, everything else replaces. The mask keeps a ' +
        'stored secret.',
      consumes: ['application/json', 'application/merge-patch+json'],
      body: kind.Patch,
    }),
    (request, reply) =>
      save(request, reply, async () => {
        const current = await found(kind, byId(request));
        const patch = request.body as JsonObject;
        return { body: patched(request, kind, current, patch), current, patch };
      }),
  );
}

function addDelete<Row extends ObjectRow, Body extends { name: string }>(
  app: FastifyInstance,
  deps: Deps,
  kind: Kind<Row, Body>,
): void {
  const { path, title } = kind;
  app.delete(
    `/${path}/:id`,
    operation(kind, `delete${title}`, kind.summaries.delete, {
      params: IdParams,
      ...conditional,
      querystring: DeleteQuery,
      response: { 200: Deleted, ...bodyProblems(404, 409, 412) },
    }),
    (request) => {
      const { query, headers } = request as WriteRequest;
      return writeObjects(deps, { dryRun: query.dry_run }, async () => {
        const row = await found(kind, byId(request));
        checkPreconditions(headers, row);
        auditedAs(request, { before: kind.toWire(row) });
        return { changes: [kind.remove(row)], finish: () => null };
      });
    },
  );
}

function addList<Row extends ObjectRow, Body extends { name: string }>(
  app: FastifyInstance,
  kind: Kind<Row, Body>,
): void {
  const { path, title, noun, paged, listDescription, Response, find, toListed } = kind;
  app.get(
    `/${path}`,
    operation(kind, `list${title}s`, `List ${noun}s${paged ? ' by page' : ''}, newest first`, {
      ...(listDescription && { description: listDescription }),
      querystring: paged ? SelectionPageQuery : SelectionQuery,
      response: { 200: (paged ? Page : Collection)(Response), ...problems(400) },
    }),
    async (request) => {
      const query = request.query as PageQuery & Static<typeof SelectionQuery>;
      const after = await startAfter(query, (id) => find({ id }));
      const limit = pageSize(query);
      const selected = await selectRows(readSelection(query), after, paged ? limit + 1 : undefined, kind);
      if (!paged) return { data: selected.map(toListed) };
      const { data, hasMore } = toPage(selected, limit);
      return { data: data.map(toListed), hasMore };
    },
  );
}

function saved(kind: Pick<Kind<never, never>, 'Response' | 'Saved' | 'path' | 'title'>): TObject {
  const { Response, Saved = Response, path, title } = kind;
  const { examples = [] } = Saved as { examples?: object[] };
  const affected_pipelines = path === 'pipelines' ? [] : [{ id: 'pl_5TgR7bN1wC', name: 'overheating' }];
  return Type.Object(
    { ...Saved.properties, affected_pipelines: AffectedPipelines },
    { title: `Saved${title}`, examples: examples.map((example) => ({ ...example, affected_pipelines })) },
  );
}

async function found<Row extends ObjectRow>(
  kind: Pick<Kind<Row, never>, 'find' | 'noun'>,
  named: Named,
): Promise<Row> {
  const row = await kind.find(named);
  if (row) return row;
  const what = 'id' in named ? named.id : `called ${JSON.stringify(named.name)}`;
  throw new PenstockError('not_found', `There is no ${kind.noun} ${what}`);
}

/** The body of the PUT that does the same as a patch; it satisfies the same schema. */
function patched<Row extends ObjectRow, Body extends { name: string }>(
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
