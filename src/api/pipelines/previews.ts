import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { PenstockError } from '../../errors.ts';
import { compilePreview } from '../../sql/compile.ts';
import { auditedAs } from '../audit.ts';
import type { Deps } from '../deps.ts';
import { JobParams, toWire as jobToWire, messageToWire } from '../jobs/index.ts';
import { Places } from '../live.ts';
import { bodyProblems, problems } from '../problem.ts';
import { nullable } from '../schemas.ts';
import { clientGone, streamEvents } from '../sse.ts';
import { Preview } from './preview.ts';
import { Pipeline, PreviewPost, toWire } from './wire.ts';

const places = new Places(8, 'previews');
/** Maximum number of previews in memory; an ended one stays for a minute. */
const maxKnown = 100;
const keptMs = 60_000;

/** One event of the output of a preview: Arroyo's, with the errors in messages. */
export const OutputData = Type.Object(
  {
    operator_id: Type.String(),
    subtask_idx: Type.Integer(),
    timestamps: Type.Array(Type.Integer(), {
      description: 'Unix microseconds: arrival of the message of each row',
    }),
    start_id: Type.Integer({ description: 'Index of the first row' }),
    batch: Type.String({ description: 'The rows as JSON' }),
    bad: Type.Optional(
      Type.Array(
        Type.Object({
          code: Type.String(),
          message: Type.String(),
          errors: Type.Array(Type.Object({ path: Type.String(), message: Type.String() })),
        }),
        { description: 'Messages and rows that could not be processed' },
      ),
    ),
    left_out: Type.Optional(
      Type.Integer({ description: 'Number of messages and rows not shown because there were too many' }),
    ),
    done: Type.Optional(Type.Boolean({ description: 'Whether this is the last event' })),
    error: Type.Optional(
      nullable(Type.Object({ code: Type.String(), message: Type.String() }), {
        description: 'In the last event: the reason of an early end',
      }),
    ),
  },
  {
    $id: 'OutputData',
    examples: [
      {
        operator_id: 'transform_preview_0_3b1f2c',
        subtask_idx: 0,
        timestamps: [1_790_000_000_000_000],
        start_id: 0,
        batch: '[{"device":"oven-1","celsius":218.5}]',
      },
    ],
  },
);

const outputResponse = Type.Unsafe<never>({
  description: 'Server-sent events, each an OutputData, until the preview ends',
  content: { 'text/event-stream': { schema: { $ref: 'OutputData#' } } },
});

export class Previews {
  readonly #catalog: Deps['catalog'];
  readonly #known = new Map<string, Preview>();

  constructor({ catalog }: Deps) {
    this.#catalog = catalog;
  }

  get(id: string): Preview | undefined {
    return this.#known.get(id);
  }

  /** Throws errors in the query, connection errors of its sources, and `too_many_requests`. */
  async start(query: string, gone: AbortSignal): Promise<Preview> {
    // Refuses a mask without a stored secret.
    this.#catalog.sealQuery('preview', query);
    const plans = await compilePreview(query, this.#catalog);
    const leave = places.take();
    const preview = new Preview(query, plans, this.#catalog);
    void preview.over.then(() => {
      leave();
      setTimeout(() => this.#known.delete(preview.id), keptMs).unref();
    });
    await preview.start(gone);
    this.#known.set(preview.id, preview);
    const oldest = [...this.#known.values()].find(({ ended }) => ended);
    if (this.#known.size > maxKnown && oldest) this.#known.delete(oldest.id);
    return preview;
  }

  async close(): Promise<void> {
    const all = [...this.#known.values()];
    for (const preview of all) preview.stop();
    await Promise.all(all.map(({ over }) => over));
  }

  delete(preview: Preview): void {
    preview.stop();
    this.#known.delete(preview.id);
  }
}

const pipelineOf = (preview: Preview) => ({ ...toWire(preview.row), preview: true });

/**
 * Serves previews on the routes of stored pipelines, because their ids look the same. Other operations reach those
 * routes, which do not find it.
 */
export function interceptPreviews(app: FastifyInstance, previews: Previews, base: string): void {
  const messages = (preview: Preview) =>
    preview.errors.map(({ at, error, operatorId }, nth) =>
      messageToWire({
        id: `jlm_${preview.jobId}_${nth}`,
        createdAt: at,
        operatorId,
        taskIndex: 0,
        level: 'warn',
        message: error.message,
        details: JSON.stringify({ hint: error.hint ?? null, errors: error.errors }),
        code: error.code,
      }),
    );
  const handlers: Record<string, (preview: Preview, request: FastifyRequest) => unknown> = {
    'GET /pipelines/:id': pipelineOf,
    'PATCH /pipelines/:id': (preview, { body }) => {
      if ((body as { stop?: string }).stop === 'none')
        throw new PenstockError('illegal_state', 'A preview cannot be restarted', {
          hint: 'Start another preview.',
        });
      preview.stop();
      return { ...pipelineOf(preview), affected_pipelines: [] };
    },
    'DELETE /pipelines/:id': (preview) => {
      previews.delete(preview);
      return null;
    },
    'GET /pipelines/:id/jobs': ({ row }) => ({ data: [jobToWire(row.job)] }),
    'GET /pipelines/:id/jobs/:job_id/errors': (preview) => ({ data: messages(preview), hasMore: false }),
    'GET /pipelines/:id/jobs/:job_id/operator_metric_groups': () => ({ data: [] }),
    'GET /pipelines/:id/jobs/:job_id/tasks': () => ({ data: [] }),
    'GET /pipelines/:id/jobs/:job_id/checkpoints': () => ({ data: [] }),
  };
  app.addHook('preHandler', async (request, reply) => {
    const preview = previews.get((request.params as { id?: string } | undefined)?.id ?? '');
    const path = request.routeOptions.url?.slice(base.length);
    const handle = preview && handlers[`${request.method} ${path}`];
    if (preview && handle) await reply.type('application/json').send(handle(preview, request));
  });
}

export const previewRoutes =
  (previews: Previews): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.addHook('preClose', () => previews.close());

    app.post(
      '/pipelines/preview',
      {
        schema: {
          operationId: 'previewPipeline',
          summary: 'Run a query on live messages for up to a minute, without its sinks',
          description:
            'Returns a pipeline that only this process knows. Read its rows at output: up to 100 per second and 10,000 in ' +
            'all. Like a tail, it takes nothing from pipelines. It ends after a minute, when it is stopped or deleted, ' +
            'or 10 seconds after its last reader left. Nothing is stored.',
          tags: ['pipelines'],
          body: PreviewPost,
          response: { 200: Pipeline, ...bodyProblems(429) },
        },
      },
      async (request, reply) => {
        const gone = clientGone(reply);
        const preview = await previews.start(request.body.query, gone);
        auditedAs(request, { object: preview.id });
        return pipelineOf(preview);
      },
    );

    app.get(
      '/pipelines/:id/jobs/:job_id/output',
      {
        exposeHeadRoute: false,
        config: { role: 'operator' },
        schema: {
          operationId: 'readPreviewOutput',
          summary: 'Stream the rows of a preview',
          description: 'The first reader also gets the rows from before it connected.',
          tags: ['pipelines'],
          params: JobParams,
          response: { 200: outputResponse, ...problems(400, 404, 429) },
        },
      },
      async (request, reply) => {
        const { id, job_id } = request.params;
        const preview = previews.get(id);
        if (preview?.jobId !== job_id)
          throw new PenstockError('not_found', `There is no preview ${id} with a job ${job_id}`, {
            hint: 'Only previews have output, and only in the process that started them.',
          });
        const gone = clientGone(reply);
        return streamEvents(request, reply, () => preview.output(gone));
      },
    );
  };
