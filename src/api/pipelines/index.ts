import { isUtf8 } from 'node:buffer';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { metadataCodec } from '../../connectors/metadata.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { openSchemas } from '../../connectors/schema-registry/schemas.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { compileQuery, diagnose } from '../../sql/compile.ts';
import { nowMicros } from '../../store/clock.ts';
import { removeDeadLetters } from '../../store/dead-letters.ts';
import { MessageEvents, withRaw } from '../connection-tables/message-event.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { resource } from '../resource.ts';
import {
  Collection,
  Deleted,
  IdParams,
  newestFirst,
  Page,
  PageQuery,
  pageSize,
  startAfter,
  strict,
  toPage,
} from '../schemas.ts';
import {
  DeadLetter,
  DeadLetterContent,
  DeadLetterGroup,
  DeadLetterParams,
  type DeadLetterRow,
  deadLetterFilters,
  deadLetterGroups,
  Filter,
  ReplayPost,
  toWire as toWireLetter,
  wanted,
} from './dead-letter-wire.ts';
import { pipelineKind } from './edit.ts';
import { pipelineEvents } from './events.ts';
import {
  findPipeline,
  Pipeline,
  type PipelineRow,
  QueryValidationResult,
  Restart,
  toWire,
  ValidateQueryPost,
} from './wire.ts';

export const pipelines =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];

    app.post(
      '/pipelines/:id/restart',
      {
        schema: {
          operationId: 'restartPipeline',
          summary: 'Restart a pipeline, or start it if it has stopped or failed',
          tags,
          params: IdParams,
          body: Restart,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id }, body }) => {
        const { job } = await findPipeline(db, id);
        const again = { restartRequests: { increment: 1 }, restartForce: body.force ?? false };
        const data = { stop: 'none', ...again, updatedAt: nowMicros() };
        await db.job.update({ where: { id: job.id }, data });
        deps.nudge();
        return toWire(await findPipeline(db, id));
      },
    );

    await app.register(deadLetters(deps));
    await app.register(pipelineEvents(deps));
    await app.register(resource(deps, pipelineKind(deps)));

    app.post(
      '/pipelines/validate_query',
      {
        config: { audited: false },
        schema: {
          operationId: 'validateQuery',
          summary: 'Check a query and return its graph',
          tags,
          body: ValidateQueryPost,
          response: { 200: QueryValidationResult, ...bodyProblems() },
        },
      },
      async ({ body }) => {
        const result = await diagnose(body.query, catalog);
        if ('plan' in result) return { graph: result.plan.graph, errors: [], warnings: result.plan.warnings };
        const withoutUdfs = {
          message: 'User-defined functions are not supported: the query is checked without them',
        };
        const errors = [...result.diagnostics, ...(body.udfs?.length ? [withoutUdfs] : [])];
        return { graph: null, errors, warnings: [] };
      },
    );
  };

/** Messages that a pipeline could not process: to inspect, replay and delete. */
const deadLetters =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db } = deps;
    const tags = ['pipelines'];
    const path = '/pipelines/:id/dead_letters';

    app.get(
      path,
      {
        schema: {
          operationId: 'listDeadLetters',
          summary: 'List the dead letters of a pipeline by page, newest first, without their content',
          tags,
          params: IdParams,
          querystring: Type.Object({ ...PageQuery.properties, ...deadLetterFilters }, strict),
          response: { 200: Page(DeadLetter), ...problems(400, 404) },
        },
      },
      async ({ params: { id }, query }) => {
        const jobId = (await findPipeline(db, id)).job.id;
        const after = await startAfter(query, (last) =>
          db.deadLetter.findFirst({ where: { id: last, jobId }, select: { id: true, createdAt: true } }),
        );
        const rows = await db.deadLetter.findMany({
          where: { AND: [{ jobId }, wanted(query), after] },
          orderBy: [...newestFirst],
          take: pageSize(query) + 1,
          omit: { payload: true, metadata: true },
        });
        const { data, hasMore } = toPage(rows, pageSize(query));
        return { data: data.map(toWireLetter), hasMore };
      },
    );

    app.get(
      `${path}/groups`,
      {
        schema: {
          operationId: 'listDeadLetterGroups',
          summary: 'List the dead letters of a pipeline by code and stage, newest first',
          tags,
          params: IdParams,
          querystring: Filter,
          response: { 200: Collection(DeadLetterGroup), ...problems(400, 404) },
        },
      },
      async ({ params: { id }, query }) => ({
        data: await deadLetterGroups(db, (await findPipeline(db, id)).job.id, query),
      }),
    );

    app.get(
      `${path}/:letter`,
      {
        // The content is data, not configuration.
        config: { role: 'operator' },
        schema: {
          operationId: 'getDeadLetter',
          summary: 'Get a dead letter with its content, and the result of decoding it now',
          tags,
          params: DeadLetterParams,
          response: { 200: DeadLetterContent, ...problems(400, 404) },
        },
      },
      async ({ params: { id, letter } }, reply) => {
        const pipeline = await findPipeline(db, id);
        const row = await db.deadLetter.findFirst({ where: { id: letter, jobId: pipeline.job.id } });
        if (!row) throw noLetter(letter, id);
        const payload = Buffer.from(row.payload);
        const text = isUtf8(payload) ? payload.toString() : null;
        const content = { ...toWireLetter(row), payload: { base64: payload.toString('base64'), text } };
        const attempt = await attempted(deps, pipeline, row);
        // Written by hand, because JSON.stringify cannot write 64-bit integers.
        const json = withRaw(content, { metadata: row.metadata, attempt: `[${attempt.join()}]` });
        return reply.type('application/json; charset=utf-8').send(json as never);
      },
    );

    app.post(
      `${path}/replay`,
      {
        schema: {
          operationId: 'replayDeadLetters',
          summary: 'Replay dead letters through the current pipeline, as soon as its job runs',
          tags,
          params: IdParams,
          body: ReplayPost,
          response: {
            200: Type.Object(
              { asked: Type.Integer({ description: 'Number of dead letters to replay' }) },
              { examples: [{ asked: 1 }] },
            ),
            ...bodyProblems(404),
          },
        },
      },
      async ({ params: { id }, body }) => {
        const { ids, all, ...filter } = body;
        if ((ids === undefined) === (all === undefined)) {
          const message = 'must have either ids or all';
          throw new PenstockError('invalid_request', `The body ${message}`, {
            errors: [{ path: '', message }],
          });
        }
        const jobId = (await findPipeline(db, id)).job.id;
        const some = ids ? { id: { in: ids } } : {};
        const { count } = await db.deadLetter.updateMany({
          where: { AND: [{ jobId, state: 'waiting' }, some, wanted(filter)] },
          data: { state: 'replaying' },
        });
        deps.nudge();
        return { asked: count };
      },
    );

    app.delete(
      `${path}/:letter`,
      {
        schema: {
          operationId: 'deleteDeadLetter',
          summary: 'Delete a dead letter',
          tags,
          params: DeadLetterParams,
          response: { 200: Deleted, ...bodyProblems(404) },
        },
      },
      async ({ params: { id, letter } }) => {
        const { job } = await findPipeline(db, id);
        const count = await db.$transaction((tx) => removeDeadLetters(tx, job.id, { id: letter }));
        if (count === 0) throw noLetter(letter, id);
        return null;
      },
    );

    app.delete(
      path,
      {
        schema: {
          operationId: 'deleteDeadLetters',
          summary: 'Delete the dead letters that match a filter',
          tags,
          params: IdParams,
          querystring: Filter,
          response: {
            200: Type.Object({ deleted: Type.Integer() }, { examples: [{ deleted: 12 }] }),
            ...bodyProblems(404),
          },
        },
      },
      async ({ params: { id }, query }) => {
        const { job } = await findPipeline(db, id);
        return { deleted: await db.$transaction((tx) => removeDeadLetters(tx, job.id, wanted(query))) };
      },
    );
  };

const noLetter = (letter: string, pipeline: string): PenstockError =>
  new PenstockError('not_found', `The pipeline ${pipeline} has no dead letter ${letter}`, {
    hint: 'It may have been replayed, or deleted to make room for newer ones.',
  });

/** How long a registry of schemas may take to respond. */
const attemptMs = 15_000;

async function attempted(
  { catalog }: Deps,
  pipeline: PipelineRow,
  letter: DeadLetterRow & { payload: Uint8Array; metadata: string },
): Promise<string[]> {
  try {
    const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
    const sources = inserts.flatMap(({ source, operatorIds, others = [] }) => [
      { source, operatorId: operatorIds.source },
      ...others,
    ]);
    const source =
      sources.find(({ operatorId }) => operatorId === letter.operatorId)?.source ??
      sources.find(({ source: { name } }) => name === letter.sourceTable)?.source;
    if (!source) throw new PenstockError('not_found', `Delete it: no query reads ${letter.sourceTable}`);
    const connector = connectorFor(source.connector);
    const metadata = metadataCodec(connector.metadata).decode(Buffer.from(letter.metadata));
    const message = { payload: Buffer.from(letter.payload), metadata };
    const receivedAt = Number(letter.receivedAt) / 1000;
    const schemas = openSchemas(catalog.usable(source), source.schema, AbortSignal.timeout(attemptMs));
    try {
      const events = new MessageEvents(connector, source.schema, { schemas });
      const watched = { ...message, receivedAt };
      await events.ready([watched]);
      return events.show(watched).map(({ json }) => json);
    } finally {
      await schemas?.close();
    }
  } catch (error) {
    const { code, message, passing } = asPenstockError(error);
    if (passing) throw error;
    return [JSON.stringify({ error: true, done: false, name: 'bad_message', message, code })];
  }
}
