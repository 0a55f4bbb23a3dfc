import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { PenstockError } from '../../errors.ts';
import { isResting } from '../../jobs/states.ts';
import { compilePreview, compileQuery, isPreviewSink } from '../../sql/compile.ts';
import type { PreviewPlan } from '../../sql/plan.ts';
import { auditedAs } from '../audit.ts';
import type { Deps } from '../deps.ts';
import { JobParams, toWire as jobToWire } from '../jobs/index.ts';
import { messageToWire } from '../jobs/messages.ts';
import { Slots } from '../live.ts';
import { bodyProblems, problems } from '../problem.ts';
import { IdParams } from '../schemas.ts';
import { clientGone, streamEvents } from '../sse.ts';
import { jobStateOf } from '../workers/alive.ts';
import { outputMs, Preview } from './preview.ts';
import { outputResponse } from './preview-wire.ts';
import { Pipeline, type PipelineRow, PreviewPost, pipelineNamed, toWire } from './wire.ts';

const places = new Slots(8, 'previews');
/** Maximum number of previews in memory; an ended one stays for a minute. */
const maxKnown = 100;
const keptMs = 60_000;

export class Previews {
  readonly #deps: Deps;
  readonly #known = new Map<string, Preview>();
  readonly #outputs = new Set<Preview>();

  constructor(deps: Deps) {
    this.#deps = deps;
  }

  get(id: string): Preview | undefined {
    return this.#known.get(id);
  }

  /** Throws errors in the query, connection errors of its sources and sinks, and `too_many_requests`. */
  async start(query: string, enableSinks: boolean, gone: AbortSignal): Promise<Preview> {
    const { catalog } = this.#deps;
    // Refuses a mask without a stored secret.
    catalog.sealQuery('preview', query);
    const plans = enableSinks ? await insertsOf(query, catalog, true) : await compilePreview(query, catalog);
    const preview = await this.#begin(new Preview(query, plans, this.#deps), gone);
    void preview.over.then(() => setTimeout(() => this.#known.delete(preview.id), keptMs).unref());
    this.#known.set(preview.id, preview);
    const oldest = [...this.#known.values()].find(({ ended }) => ended);
    if (this.#known.size > maxKnown && oldest) this.#known.delete(oldest.id);
    return preview;
  }

  /** Shows the rows of a running pipeline: its query runs once more, on messages as they arrive. */
  async follow(pipeline: PipelineRow, gone: AbortSignal): Promise<Preview> {
    const query = this.#deps.catalog.query(pipeline);
    const plans = await insertsOf(query, this.#deps.catalog, false);
    const output = await this.#begin(new Preview(query, plans, this.#deps, outputMs), gone);
    this.#outputs.add(output);
    if (gone.aborted) output.stop();
    gone.addEventListener('abort', () => output.stop(), { once: true });
    void output.over.then(() => this.#outputs.delete(output));
    return output;
  }

  async #begin(preview: Preview, gone: AbortSignal): Promise<Preview> {
    const leave = places.take();
    void preview.over.then(leave);
    await preview.start(gone);
    return preview;
  }

  async close(): Promise<void> {
    const all = [...this.#known.values(), ...this.#outputs];
    for (const preview of all) preview.stop();
    await Promise.all(all.map(({ over }) => over));
  }

  delete(preview: Preview): void {
    preview.stop();
    this.#known.delete(preview.id);
  }
}

/** The INSERTs of a query, to be shown with the columns that they write. */
async function insertsOf(query: string, catalog: Deps['catalog'], write: boolean): Promise<PreviewPlan[]> {
  const { inserts } = await compileQuery(query, catalog);
  return inserts.map(({ sink, ...insert }) => {
    const plan = { ...insert, columns: sink.schema.fields ?? [] };
    return write && !isPreviewSink(sink) ? { ...plan, sink } : plan;
  });
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
      return { ...pipelineOf(preview), affected_pipelines: [], warnings: [] };
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

async function runningPipeline({ db }: Deps, id: string, jobId: string): Promise<PipelineRow> {
  const pipeline = await pipelineNamed(db, { id });
  if (pipeline?.job.id !== jobId)
    throw new PenstockError('not_found', `There is no pipeline ${id} with a job ${jobId}`, {
      hint: 'A preview is known to the process that started it only, and for a minute after its end.',
    });
  const state = jobStateOf(pipeline.job);
  if (isResting(state))
    throw new PenstockError('illegal_state', `The pipeline is ${state}, so that it has no output`, {
      hint: 'Start it first.',
    });
  return pipeline;
}

export const previewRoutes =
  (previews: Previews, deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.addHook('preClose', () => previews.close());

    app.post(
      '/pipelines/preview',
      {
        schema: {
          operationId: 'previewPipeline',
          summary: 'Run a query on live messages for up to a minute',
          description:
            'Returns a pipeline that only this process knows. Read its rows at output: up to 100 per second and 10,000 in ' +
            'all. Like a tail, it takes nothing from pipelines. It ends after a minute, when it is stopped or deleted, ' +
            'or 10 seconds after its last reader left. Nothing is stored. With enable_sinks, the rows that it shows are ' +
            'also written to the sinks of its INSERTs.',
          tags: ['pipelines'],
          body: PreviewPost,
          response: { 200: Pipeline, ...bodyProblems(429) },
        },
      },
      async (request, reply) => {
        const gone = clientGone(reply);
        const { query, enable_sinks = false } = request.body;
        const preview = await previews.start(query, enable_sinks, gone);
        auditedAs(request, { object: preview.id });
        return pipelineOf(preview);
      },
    );

    app.post(
      '/pipelines/preview/:id/close_windows',
      {
        schema: {
          operationId: 'closePreviewWindows',
          summary: 'Close the open windows of a preview now',
          description:
            'The output shows what was in them, marked as partial. Further rows of the same windows become another result.',
          tags: ['pipelines'],
          params: IdParams,
          response: { 200: Pipeline, ...bodyProblems(404, 409) },
        },
      },
      async ({ params }) => {
        const preview = previews.get(params.id);
        if (!preview)
          throw new PenstockError('not_found', `There is no preview ${params.id}`, {
            hint: 'A preview is known to the process that started it only, and for a minute after its end.',
          });
        if (preview.ended) throw new PenstockError('illegal_state', 'The preview has ended');
        if (!(await preview.closeWindows()))
          throw new PenstockError('illegal_state', 'The query of the preview has no windows');
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
          summary: 'Stream the rows of a preview or of a running pipeline',
          description:
            'The first reader of a preview also gets the rows from before it connected. For a stored pipeline, the query ' +
            'runs once more beside its job, on messages as they arrive, for up to an hour: up to 100 rows per second, ' +
            'which take nothing from the pipeline.',
          tags: ['pipelines'],
          params: JobParams,
          response: { 200: outputResponse, ...problems(400, 404, 409, 429) },
        },
      },
      async (request, reply) => {
        const { id, job_id } = request.params;
        const gone = clientGone(reply);
        const known = previews.get(id);
        if (known?.jobId === job_id) return streamEvents(request, reply, () => known.output(gone));
        const output = await previews.follow(await runningPipeline(deps, id, job_id), gone);
        return streamEvents(request, reply, () => output.output(gone));
      },
    );
  };
