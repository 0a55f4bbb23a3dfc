import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../../errors.ts';
import type { Db } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { problems } from '../problem.ts';
import {
  Collection,
  Micros,
  newestFirst,
  nullable,
  Page,
  PageQuery,
  pageSize,
  startAfter,
  strict,
  toPage,
} from '../schemas.ts';
import { Domain, findJob, JobParams } from './index.ts';

/** The history of a job: errors, warnings and changes of state. */

const JobLogMessage = Type.Object(
  {
    id: Type.String(),
    created_at: Micros,
    operator_id: nullable(Type.String()),
    task_index: nullable(Type.Integer()),
    level: Type.Enum(['info', 'warn', 'error']),
    message: Type.String(),
    details: Type.String({
      description: 'JSON: the hint and the fields concerned; for a state change the states and the cause',
    }),
    error_domain: nullable(Domain),
    code: nullable(Type.String()),
  },
  {
    title: 'JobLogMessage',
    examples: [
      {
        id: 'jlm_mfz3k1c0a7b2',
        created_at: 1_790_000_000_000_000,
        operator_id: null,
        task_index: null,
        level: 'warn',
        message: 'The broker closed the connection',
        details: '{"hint":null,"errors":[]}',
        error_domain: null,
        code: 'connection_lost',
      },
    ],
  },
);

const ErrorGroup = Type.Object(
  {
    code: nullable(Type.String()),
    level: Type.Enum(['warn', 'error']),
    count: Type.Integer({ description: 'Number of messages in the stored history' }),
    first_at: Micros,
    last_at: Micros,
    message: Type.String({ description: 'The latest message' }),
  },
  {
    title: 'JobErrorGroup',
    examples: [
      {
        code: 'connection_lost',
        level: 'warn',
        count: 12,
        first_at: 1_790_000_000_000_000,
        last_at: 1_790_000_060_000_000,
        message: 'The broker closed the connection',
      },
    ],
  },
);

type MessageRow = Omit<NonNullable<Awaited<ReturnType<Db['jobMessage']['findFirst']>>>, 'jobId'>;

export const messageToWire = (row: MessageRow): Static<typeof JobLogMessage> => ({
  id: row.id,
  created_at: Number(row.createdAt),
  operator_id: row.operatorId,
  task_index: row.taskIndex,
  level: row.level as 'info' | 'warn' | 'error',
  message: row.message,
  details: row.details,
  error_domain: null,
  code: row.code,
});

/** Groups messages, which are given newest first. A job keeps about a thousand, so one query reads them all. */
function errorGroups(
  rows: readonly Pick<MessageRow, 'code' | 'level' | 'createdAt' | 'message'>[],
): Static<typeof ErrorGroup>[] {
  const groups = Map.groupBy(rows, ({ code, level }) => JSON.stringify([code, level]));
  return [...groups.values()].map((same) => {
    const [latest, first] = [same[0], same.at(-1)] as [(typeof rows)[number], (typeof rows)[number]];
    return {
      code: latest.code,
      level: latest.level as 'warn' | 'error',
      count: same.length,
      first_at: Number(first.createdAt),
      last_at: Number(latest.createdAt),
      message: latest.message,
    };
  });
}

const MessagesQuery = Type.Object(
  {
    ...PageQuery.properties,
    level: Type.Enum(['info', 'warn', 'error'], {
      default: 'warn',
      description: 'Lowest level to list. info includes changes of state',
    }),
    highest_level: Type.Enum(['info', 'warn', 'error'], {
      default: 'error',
      description: 'Highest level to list. With level=info, info lists only changes of state',
    }),
  },
  strict,
);
const levels = ['info', 'warn', 'error'];

function belowLevel(level: string): PenstockError {
  const error = { path: '/highest_level', message: `is below level, which is ${level}` };
  return new PenstockError('invalid_request', `The query is not valid: highest_level ${error.message}`, {
    errors: [error],
  });
}

export const jobMessages =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const tags = ['jobs'];

    app.get(
      '/pipelines/:id/jobs/:job_id/errors',
      {
        schema: {
          operationId: 'listJobErrors',
          summary: 'List the errors, warnings and state changes of a job by page, newest first',
          tags,
          params: JobParams,
          querystring: MessagesQuery,
          response: { 200: Page(JobLogMessage), ...problems(400, 404) },
        },
      },
      async ({ params, query }) => {
        const { id: jobId } = await findJob(db, params);
        const after = await startAfter(query, (id) => db.jobMessage.findFirst({ where: { id, jobId } }));
        const wanted = levels.slice(levels.indexOf(query.level), levels.indexOf(query.highest_level) + 1);
        if (wanted.length === 0) throw belowLevel(query.level);
        const rows = await db.jobMessage.findMany({
          where: { jobId, level: { in: wanted }, ...after },
          orderBy: [...newestFirst],
          take: pageSize(query) + 1,
        });
        const { data, hasMore } = toPage(rows, pageSize(query));
        return { data: data.map(messageToWire), hasMore };
      },
    );

    app.get(
      '/pipelines/:id/jobs/:job_id/error_groups',
      {
        schema: {
          operationId: 'listJobErrorGroups',
          summary: 'List the errors and warnings of a job by code and level, newest first',
          description: 'Counts what the stored history has, which is about the newest thousand messages.',
          tags,
          params: JobParams,
          response: { 200: Collection(ErrorGroup), ...problems(400, 404) },
        },
      },
      async ({ params }) => {
        const { id: jobId } = await findJob(db, params);
        const rows = await db.jobMessage.findMany({
          where: { jobId, level: { in: ['warn', 'error'] } },
          orderBy: [...newestFirst],
          select: { code: true, level: true, createdAt: true, message: true },
        });
        return { data: errorGroups(rows) };
      },
    );
  };
