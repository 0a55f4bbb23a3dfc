import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { roles } from '../security/api-keys.ts';
import { nowMicros } from '../store/clock.ts';
import type { Db } from '../store/db.ts';
import { newTimedId } from '../store/id.ts';
import type { Deps } from './deps.ts';
import { problems } from './problem.ts';
import {
  Id,
  Micros,
  newestFirst,
  nullable,
  Page,
  PageQuery,
  pageSize,
  startAfter,
  toPage,
} from './schemas.ts';

/**
 * The audit log. Every call except GET is recorded before its response is sent; a streamed test when it ends. Calls
 * without a valid key, dry runs and unknown routes are not recorded.
 */

interface Audited {
  /** The id of the object, if neither the path nor the response has it. */
  object?: string;
  /** The object before and after the call, as the API shows it: with secrets masked. */
  before?: object;
  after?: object;
}

declare module 'fastify' {
  interface FastifyRequest {
    audited: Audited | null;
    /** The client address, kept because a reset socket no longer has it. */
    from: string;
  }
}

export function auditedAs(request: FastifyRequest, more: Audited): void {
  request.audited = { ...request.audited, ...more };
}

/** Number of records kept; older ones are deleted in steps of `slack`. */
const kept = 100_000;
const slack = 1_000;
/** Maximum size of an object in a record; a larger one is left out. */
const maxStateLength = 64 * 1024;

export function keepAudit(app: FastifyInstance, db: Db): void {
  app.decorateRequest('audited', null);
  app.decorateRequest('from', '');
  app.addHook('onRequest', async (request) => {
    // Undefined, contrary to its type, if the socket is closed.
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
  const dryRun = (query as { dry_run?: unknown } | undefined)?.dry_run === true;
  const answered = reply.statusCode !== 401 && reply.statusCode !== 503;
  return (
    !reading.includes(method) &&
    routeOptions.config.audited !== false &&
    caller !== null &&
    !dryRun &&
    answered &&
    routeOptions.schema !== undefined
  );
}

/** A missing record must not make a successful write look failed. */
function unrecorded(request: FastifyRequest, reply: FastifyReply, err: unknown): void {
  const { caller, method, url } = request;
  request.log.error(
    { err, actor: caller?.name, method, path: url.split('?')[0], status: reply.statusCode },
    'the audit record of this call could not be stored',
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
  const createdAt = nowMicros();
  return {
    id: newTimedId('aud', createdAt),
    createdAt,
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

const AuditRecord = Type.Object(
  {
    id: Type.String(),
    created_at: Micros,
    actor: Type.String({ description: 'Name of the key; `anybody` if no key is required' }),
    role: Type.Enum([...roles]),
    address: Type.String({ description: 'Client address' }),
    action: Type.String({ description: 'operationId of the call' }),
    object: nullable(Type.String({ description: 'Id of the object concerned' })),
    status: Type.Integer({ description: 'HTTP status of the response' }),
    code: nullable(Type.String({ description: 'Error code of the response' })),
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
    actor: Type.Optional(
      Type.String({ maxLength: 100, description: 'Only calls with the key of this name' }),
    ),
    object: Type.Optional(Id),
    action: Type.Optional(Type.String({ maxLength: 100, description: 'Only calls with this operationId' })),
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
          summary: 'List audit records, newest first; the newest 100,000 are kept',
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
          take: pageSize(query) + 1,
        });
        const { data, hasMore } = toPage(rows, pageSize(query));
        return { data: data.map(toWire), hasMore };
      },
    );
  };

type AuditRow = ReturnType<typeof recordOf>;

const parsed = (written: string | null): object | null =>
  written === null ? null : (JSON.parse(written) as object);

const toWire = ({ createdAt, requestId, before, after, role, ...rest }: AuditRow) => ({
  ...rest,
  role: role as (typeof roles)[number],
  created_at: Number(createdAt),
  before: parsed(before),
  after: parsed(after),
  request_id: requestId,
});
