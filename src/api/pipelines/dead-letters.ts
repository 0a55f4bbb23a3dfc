import { isUtf8 } from 'node:buffer';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { metadataCodec } from '../../connectors/metadata.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { asPenstockError, errorCatalog, PenstockError } from '../../errors.ts';
import { compileQuery } from '../../pipeline/compile.ts';
import { removeDeadLetters } from '../../store/dead-letters.ts';
import { MessageEvents, withRaw } from '../connection-tables/message-event.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import {
  Deleted,
  Id,
  IdParams,
  newestFirst,
  Page,
  PageQuery,
  startAfter,
  strict,
  toPage,
} from '../schemas.ts';
import { findPipeline, type PipelineRow } from './wire.ts';

const stages = ['decode', 'transform', 'encode', 'write'] as const;
const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const Code = Type.Enum(Object.keys(errorCatalog), { description: 'As in a problem' });
const Stage = Type.Enum([...stages], { description: 'Where it failed' });
const Micros = (description: string) =>
  Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description });

const DeadLetter = Type.Object(
  {
    id: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    received_at: Type.Integer({ description: 'Unix microseconds' }),
    source_table: Type.String({ description: 'The table it was read as' }),
    operator_id: Type.String(),
    task_index: Type.Integer(),
    bytes: Type.Integer({ description: 'Of the payload' }),
    stage: Stage,
    code: Code,
    message: Type.String({ description: 'What was wrong first' }),
    errors: Type.Array(
      Type.Object({
        stage: Stage,
        code: Code,
        row: nullable(Type.Integer({ description: 'Its number in the message, from 0' })),
        path: Type.String({ description: 'A JSON pointer' }),
        message: Type.String(),
      }),
      { description: 'The first 20' },
    ),
    failed_rows: nullable(
      Type.Array(Type.Integer(), {
        description:
          'The numbers, from 0, of its rows that failed: all others have got through. Null when the message cannot be read at all',
      }),
    ),
    row_count: nullable(Type.Integer({ description: 'How many rows the message has, where that is known' })),
    state: Type.Enum(['waiting', 'replaying'], { description: 'replaying: asked for, and not over' }),
    replays: Type.Integer({ description: 'How often it was replayed, and failed' }),
    replayed_at: nullable(Type.Integer({ description: 'Unix microseconds: the last time' })),
  },
  {
    title: 'DeadLetter',
    examples: [
      {
        id: 'dl_7Hq2mZ0xKc',
        created_at: 1_790_000_000_100_000,
        received_at: 1_790_000_000_000_000,
        source_table: 'readings',
        operator_id: 'source_readings',
        task_index: 0,
        bytes: 31,
        stage: 'decode',
        code: 'bad_data',
        message: 'The field /celsius must be a number',
        errors: [
          { stage: 'decode', code: 'bad_data', row: 0, path: '/celsius', message: 'must be a number' },
        ],
        failed_rows: null,
        row_count: null,
        state: 'waiting',
        replays: 0,
        replayed_at: null,
      },
    ],
  },
);

const AnyObject = Type.Record(Type.String(), Type.Unknown());

const DeadLetterContent = Type.Object(
  {
    ...DeadLetter.properties,
    payload: Type.Object({
      base64: Type.String(),
      text: nullable(Type.String({ description: 'When it is UTF-8' })),
    }),
    metadata: Type.Record(Type.String(), Type.Unknown(), {
      description: 'Every metadata column of the connector; numbers exact',
    }),
    attempt: Type.Array(AnyObject, {
      description:
        'What the table as it is now makes of it: an object for each row and for each error, as a tail shows them',
    }),
  },
  {
    title: 'DeadLetterContent',
    examples: [
      {
        ...(DeadLetter as unknown as { examples: object[] }).examples[0],
        payload: { base64: 'eyJkZXZpY2UiOiJhIiwiY2Vsc2l1cyI6IngifQ==', text: '{"device":"a","celsius":"x"}' },
        metadata: { topic: 'plant/a/readings', qos: 1 },
        attempt: [
          { error: true, done: false, name: 'bad_message', message: 'The field /celsius must be a number' },
        ],
      },
    ],
  },
);

const filters = {
  code: Type.Optional(Code),
  stage: Type.Optional(Stage),
  since: Type.Optional(Micros('Unix microseconds: stored at this time or later')),
  until: Type.Optional(Micros('Unix microseconds: stored before this time')),
};
const Filter = Type.Object(filters, strict);
type Filter = Static<typeof Filter>;

const ReplayPost = Type.Object(
  {
    ids: Type.Optional(Type.Array(Id, { minItems: 1, maxItems: 1000 })),
    all: Type.Optional(Type.Literal(true)),
    ...filters,
  },
  { ...strict, examples: [{ ids: ['dl_7Hq2mZ0xKc'] }, { all: true, code: 'bad_data' }] },
);

const LetterParams = Type.Object({ id: Id, letter: Id }, strict);

const wanted = ({ code, stage, since, until }: Filter) => ({
  ...(code === undefined ? {} : { code }),
  ...(stage === undefined ? {} : { stage }),
  createdAt: {
    ...(since === undefined ? {} : { gte: BigInt(since) }),
    ...(until === undefined ? {} : { lt: BigInt(until) }),
  },
});

/** Messages that a pipeline could not use: to look at, to replay and to delete. */
export const deadLetters =
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
          summary:
            'List the messages that a pipeline could not use by page, newest first, without what they hold',
          tags,
          params: IdParams,
          querystring: Type.Object({ ...PageQuery.properties, ...filters }, strict),
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
          take: query.limit + 1,
          omit: { payload: true, metadata: true },
        });
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.map(toWire), hasMore };
      },
    );

    app.get(
      `${path}/:letter`,
      {
        // What it holds is data, not configuration.
        config: { role: 'operator' },
        schema: {
          operationId: 'getDeadLetter',
          summary: 'Show one of them: its bytes, its metadata, and what its table makes of it now',
          tags,
          params: LetterParams,
          response: { 200: DeadLetterContent, ...problems(400, 404) },
        },
      },
      async ({ params: { id, letter } }, reply) => {
        const pipeline = await findPipeline(db, id);
        const row = await db.deadLetter.findFirst({ where: { id: letter, jobId: pipeline.job.id } });
        if (!row) throw noLetter(letter, id);
        const payload = Buffer.from(row.payload);
        const text = isUtf8(payload) ? payload.toString() : null;
        const content = { ...toWire(row), payload: { base64: payload.toString('base64'), text } };
        const attempt = await attempted(deps, pipeline, row);
        // JSON already, with numbers that JSON.stringify could not write.
        const json = withRaw(content, { metadata: row.metadata, attempt: `[${attempt.join()}]` });
        return reply.type('application/json; charset=utf-8').send(json as never);
      },
    );

    app.post(
      `${path}/replay`,
      {
        schema: {
          operationId: 'replayDeadLetters',
          summary:
            'Send some or all of them through the pipeline as it is now; they wait for that until its job runs',
          tags,
          params: IdParams,
          body: ReplayPost,
          response: {
            200: Type.Object(
              { asked: Type.Integer({ description: 'How many are to be replayed by this call' }) },
              { examples: [{ asked: 1 }] },
            ),
            ...bodyProblems(404),
          },
        },
      },
      async ({ params: { id }, body }) => {
        const { ids, all, ...filter } = body;
        if ((ids === undefined) === (all === undefined)) {
          const message = 'must hold either ids or all, and not both';
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
          summary: 'Delete one of them for good',
          tags,
          params: LetterParams,
          response: { 200: Deleted, ...problems(400, 404) },
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
          summary: 'Delete all of them that a filter leaves, for good',
          tags,
          params: IdParams,
          querystring: Filter,
          response: {
            200: Type.Object({ deleted: Type.Integer() }, { examples: [{ deleted: 12 }] }),
            ...problems(400, 404),
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
  new PenstockError('not_found', `There is no dead letter ${letter} of a pipeline ${pipeline}`, {
    hint: 'It may have been replayed, or deleted to make room for newer ones.',
  });

interface Row {
  id: string;
  createdAt: bigint;
  receivedAt: bigint;
  sourceTable: string;
  operatorId: string;
  taskIndex: number;
  bytes: number;
  stage: string;
  code: string;
  message: string;
  errors: string;
  failedRows: string | null;
  rowCount: number | null;
  state: string;
  replays: number;
  replayedAt: bigint | null;
}

const toWire = (row: Row): Static<typeof DeadLetter> => ({
  id: row.id,
  created_at: Number(row.createdAt),
  received_at: Number(row.receivedAt),
  source_table: row.sourceTable,
  operator_id: row.operatorId,
  task_index: row.taskIndex,
  bytes: row.bytes,
  stage: row.stage as (typeof stages)[number],
  code: row.code,
  message: row.message,
  errors: JSON.parse(row.errors),
  failed_rows: row.failedRows === null ? null : JSON.parse(row.failedRows),
  row_count: row.rowCount,
  state: row.state as 'waiting' | 'replaying',
  replays: row.replays,
  replayed_at: row.replayedAt === null ? null : Number(row.replayedAt),
});

/** What the source table as it is now makes of a letter, as JSON objects. */
async function attempted(
  { catalog }: Deps,
  pipeline: PipelineRow,
  letter: Row & { payload: Uint8Array; metadata: string },
): Promise<string[]> {
  try {
    const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
    const source =
      inserts.find(({ operatorIds }) => operatorIds.source === letter.operatorId)?.source ??
      inserts.find(({ source: { name } }) => name === letter.sourceTable)?.source;
    if (!source)
      throw new PenstockError('not_found', `The pipeline does not read ${letter.sourceTable} any more`);
    const connector = connectorFor(source.connector);
    const metadata = metadataCodec(connector.metadata).decode(Buffer.from(letter.metadata));
    const message = { payload: Buffer.from(letter.payload), metadata };
    const receivedAt = Number(letter.receivedAt) / 1000;
    return new MessageEvents(connector, source.schema)
      .show({ ...message, receivedAt })
      .map(({ json }) => json);
  } catch (error) {
    const { code, message, passing } = asPenstockError(error);
    if (passing) throw error;
    return [JSON.stringify({ error: true, done: false, name: 'bad_message', message, code })];
  }
}
