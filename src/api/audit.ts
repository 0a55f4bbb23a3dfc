import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { roles } from '../security/api-keys.ts';
import type { Db } from '../store/db.ts';
import { newId } from '../store/id.ts';
import type { Deps } from './deps.ts';
import { problems } from './problem.ts';
import { Id, newestFirst, nowMicros, Page, PageQuery, startAfter, toPage } from './schemas.ts';

/**
 * Who did what. Every call that is not a GET leaves a record before it is answered; a test that is streamed leaves it
 * when it is over. Calls without a valid key, trial runs (`dry_run`) and calls of what there is not leave none.
 */

interface Audited {
  /** The id of what the call is about, where neither its path nor its answer says it. */
  object?: string;
  /** What was there before, and what is there now, as it would be answered: secrets masked. */
  before?: object;
  after?: object;
}

declare module 'fastify' {
  interface FastifyRequest {
    audited: Audited | null;
    /** Where it comes from, kept because a socket that was reset does not tell any more. */
    from: string;
  }
}

/** Says more about a call than its path and its answer do. */
export function auditedAs(request: FastifyRequest, more: Audited): void {
  request.audited = { ...request.audited, ...more };
}

/** Kept are the newest so many; what is older goes when there are some more than that. */
const kept = 100_000;
const slack = 1_000;
/** Longer states of an object are cut out of its record: they are answered elsewhere. */
const maxStateLength = 64 * 1024;

export function keepAudit(app: FastifyInstance, db: Db): void {
  app.decorateRequest('audited', null);
  app.decorateRequest('from', '');
  app.addHook('onRequest', async (request) => {
    // Undefined, whatever the types say, when the socket is gone by now.
    request.from = (request.ip as string | undefined) ?? 'unknown';
  });
  let sincePruned = slack;
  const record = async (request: FastifyRequest, reply: FastifyReply, answer?: string): Promise<void> => {
    await db.auditRecord.create({ data: recordOf(request, reply, answer) });
    sincePruned += 1;
    if (sincePruned < slack) return;
    sincePruned = 0;
    await prune(db);
  };
  app.addHook('onSend', async (request, reply, payload) => {
    const answer = typeof payload === 'string' ? payload : payload === null ? 'null' : undefined;
    if (answer === undefined || !isRecorded(request, reply)) return;
    await record(request, reply, answer).catch((err: unknown) => unrecorded(request, reply, err));
  });
  app.addHook('onResponse', async (request, reply) => {
    const streamed = String(reply.getHeader('content-type') ?? '').startsWith('text/event-stream');
    if (!streamed || !isRecorded(request, reply)) return;
    await record(request, reply).catch((err: unknown) => unrecorded(request, reply, err));
  });
}

const reading = ['GET', 'HEAD', 'OPTIONS'];

function isRecorded({ method, caller, query, routeOptions }: FastifyRequest, reply: FastifyReply): boolean {
  const trial = (query as { dry_run?: unknown } | undefined)?.dry_run === true;
  const answered = reply.statusCode !== 401 && reply.statusCode !== 503;
  return (
    !reading.includes(method) && caller !== null && !trial && answered && routeOptions.schema !== undefined
  );
}

/** The write is done: that its record is missing must not make it look as if it were not. */
function unrecorded(request: FastifyRequest, reply: FastifyReply, err: unknown): void {
  const { caller, method, url } = request;
  request.log.error(
    { err, actor: caller?.name, method, path: url.split('?')[0], status: reply.statusCode },
    'the audit record of this call could not be written',
  );
}

function recordOf(request: FastifyRequest, reply: FastifyReply, answer: string | undefined) {
  const { caller, audited, routeOptions, method } = request;
  const { operationId = `${method} ${routeOptions.url}` } = (routeOptions.schema ?? {}) as {
    operationId?: string;
  };
  const { id } = (request.params ?? {}) as { id?: string };
  const body = answer === undefined ? undefined : readAnswer(answer);
  const ok = reply.statusCode < 400;
  return {
    id: newId('aud'),
    createdAt: nowMicros(),
    actor: caller?.name ?? '',
    role: caller?.role ?? '',
    address: request.from,
    action: operationId,
    object: audited?.object ?? id ?? text(body?.id),
    status: reply.statusCode,
    code: ok ? null : text(body?.code),
    before: state(audited?.before),
    after: ok ? state(audited?.after ?? body) : null,
    requestId: request.id,
  };
}

const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);

function readAnswer(answer: string): Record<string, unknown> | undefined {
  if (answer.length > maxStateLength || !answer.startsWith('{')) return undefined;
  return JSON.parse(answer) as Record<string, unknown>;
}

function state(value: object | undefined): string | null {
  const written = value === undefined ? null : JSON.stringify(value);
  return written === null || written.length > maxStateLength ? null : written;
}

async function prune(db: Db): Promise<void> {
  const [oldest] = await db.auditRecord.findMany({ orderBy: [...newestFirst], skip: kept, take: 1 });
  if (oldest) await db.auditRecord.deleteMany({ where: { createdAt: { lte: oldest.createdAt } } });
}

const State = Type.Unsafe<object | null>({ type: ['object', 'null'], additionalProperties: true });
const orNull = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

const AuditRecord = Type.Object(
  {
    id: Type.String(),
    created_at: Type.Integer({ description: 'Unix microseconds' }),
    actor: Type.String({ description: 'The name of the key; `anybody` where none was needed' }),
    role: Type.Enum([...roles]),
    address: Type.String({ description: 'Where the call came from' }),
    action: Type.String({ description: 'The operationId of the call' }),
    object: orNull(Type.String({ description: 'The id of what it was about' })),
    status: Type.Integer({ description: 'The HTTP status it was answered with' }),
    code: orNull(Type.String({ description: 'The code of the problem it was answered with' })),
    before: State,
    after: State,
    request_id: Type.String(),
  },
  {
    title: 'AuditRecord',
    examples: [
      {
        id: 'aud_8sJ2kLq0Pw',
        created_at: 1_790_000_000_000_000,
        actor: 'terraform',
        role: 'operator',
        address: '127.0.0.1',
        action: 'createConnectionProfile',
        object: 'cp_3fK0x9QzLm',
        status: 200,
        code: null,
        before: null,
        after: { id: 'cp_3fK0x9QzLm', name: 'plant' },
        request_id: 'req-1',
      },
    ],
  },
);

const AuditQuery = Type.Object(
  {
    ...PageQuery.properties,
    actor: Type.Optional(Type.String({ maxLength: 100, description: 'Only what this key did' })),
    object: Type.Optional(Id),
    action: Type.Optional(Type.String({ maxLength: 100, description: 'Only this operationId' })),
    since: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Unix microseconds' }),
    ),
  },
  { additionalProperties: false },
);

export const audit =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.get(
      '/audit',
      {
        config: { role: 'admin' },
        schema: {
          operationId: 'listAuditRecords',
          summary: 'List who wrote or tested what, newest first; the newest 100,000 records are kept',
          tags: ['access'],
          querystring: AuditQuery,
          response: { 200: Page(AuditRecord), ...problems(400) },
        },
      },
      async ({ query }) => {
        const { actor, object, action, since } = query;
        const wanted = {
          ...(actor === undefined ? {} : { actor }),
          ...(object === undefined ? {} : { object }),
          ...(action === undefined ? {} : { action }),
          ...(since === undefined ? {} : { createdAt: { gte: BigInt(since) } }),
        };
        const after = await startAfter(query, (id) => db.auditRecord.findUnique({ where: { id } }));
        const rows = await db.auditRecord.findMany({
          where: { AND: [wanted, after] },
          orderBy: [...newestFirst],
          take: query.limit + 1,
        });
        const { data, hasMore } = toPage(rows, query.limit);
        return { data: data.map(toWire), hasMore };
      },
    );
  };

type Row = ReturnType<typeof recordOf>;

const parsed = (written: string | null): object | null =>
  written === null ? null : (JSON.parse(written) as object);

const toWire = ({ createdAt, requestId, before, after, role, ...rest }: Row) => ({
  ...rest,
  role: role as (typeof roles)[number],
  created_at: Number(createdAt),
  before: parsed(before),
  after: parsed(after),
  request_id: requestId,
});
