import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { StoredCatalog } from '../../catalog.ts';
import { PenstockError } from '../../errors.ts';
import { isResting, type JobState } from '../../job.ts';
import { diagnose } from '../../pipeline/compile.ts';
import type { Tx } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems } from '../problem.ts';
import { IdParams, newId, nowMicros } from '../schemas.ts';
import { expectOne } from '../write.ts';
import { findPipeline, Pipeline, type PipelineRow, Restart, toWire } from './wire.ts';

/** Starting anew, and deleting: what is wanted is written down, the worker brings it about. */
export const control =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db } = deps;
    const tags = ['pipelines'];

    app.post(
      '/pipelines/:id/restart',
      {
        schema: {
          operationId: 'restartPipeline',
          summary: 'Restart a pipeline, or start it when it has stopped or failed',
          tags,
          params: IdParams,
          body: Restart,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id } }) => {
        const { job } = await findPipeline(db, id);
        const data = { stop: 'none', restartRequests: { increment: 1 }, updatedAt: nowMicros() };
        await db.job.update({ where: { id: job.id }, data });
        deps.nudge();
        return toWire(await findPipeline(db, id));
      },
    );
  };

/** Checks that a pipeline may go; answers how to delete it. */
export async function removal({ catalog }: Deps, row: PipelineRow) {
  const { id, version, job, parallelism } = row;
  const running = new PenstockError('pipeline_running', `The pipeline is ${job.state}`, {
    hint: isResting(job.state as JobState)
      ? 'Its worker is still letting go of it; try again in a moment.'
      : 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
  });
  if (!isResting(job.state as JobState)) throw running;
  const leftovers = await leftoversOf(catalog, catalog.query(row), job.id, parallelism);
  return async (tx: Tx): Promise<void> => {
    expectOne(await tx.pipeline.updateMany({ where: { id, version }, data: { version } }));
    // Only as long as no worker has taken it in the meantime.
    const { count } = await tx.pipeline.deleteMany({
      where: { id, job: { worker: null, state: job.state } },
    });
    if (count === 0) throw running;
    if (job.runId > 0) await tx.leftover.createMany({ data: leftovers });
  };
}

/** The broker sessions that a job may have left: one for each of its sources and tasks. */
async function leftoversOf(catalog: StoredCatalog, query: string, jobId: string, parallelism: number) {
  const result = await diagnose(query, catalog);
  // A query that does not compile any more cannot tell where its sessions are; they expire by themselves.
  if (!('plan' in result)) return [];
  const now = nowMicros();
  return result.plan.inserts.flatMap(({ source, operatorIds }) =>
    Array.from({ length: parallelism }, (_, taskIndex) => {
      const id = newId('lo');
      const sealed = catalog.sealLeftover(id, source);
      return {
        id,
        ...sealed,
        jobId,
        operatorId: operatorIds.source,
        taskIndex,
        createdAt: now,
        nextTry: now,
      };
    }),
  );
}
