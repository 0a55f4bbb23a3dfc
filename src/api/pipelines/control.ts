import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { StoredCatalog } from '../../catalog.ts';
import { PenstockError } from '../../errors.ts';
import { isResting, type JobState } from '../../job.ts';
import { diagnose } from '../../pipeline/compile.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { Deleted, IdParams, newId, nowMicros } from '../schemas.ts';
import { findPipeline, Pipeline, PipelinePatch, Restart, toWire } from './wire.ts';

/** Stopping, starting, restarting and deleting: what is wanted is written down, the worker brings it about. */
export const control =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const { db, catalog } = deps;
    const tags = ['pipelines'];

    app.patch(
      '/pipelines/:id',
      {
        schema: {
          operationId: 'patchPipeline',
          summary: 'Stop or start a pipeline',
          tags,
          params: IdParams,
          body: PipelinePatch,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id }, body }) => {
        const { job } = await findPipeline(db, id);
        const updatedAt = nowMicros();
        if (body.checkpoint_interval_micros !== undefined) {
          const checkpointIntervalMicros = BigInt(body.checkpoint_interval_micros);
          await db.pipeline.update({ where: { id }, data: { checkpointIntervalMicros, updatedAt } });
        }
        if (body.stop !== undefined) {
          // Starting a job that has failed, or has not come to rest yet, is asking for another run.
          const start = body.stop === 'none' && (job.state === 'Failed' || job.stop !== 'none');
          const again = start ? { restartRequests: { increment: 1 } } : {};
          await db.job.update({ where: { id: job.id }, data: { stop: body.stop, updatedAt, ...again } });
          deps.nudge();
        }
        return toWire(await findPipeline(db, id));
      },
    );

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

    app.delete(
      '/pipelines/:id',
      {
        schema: {
          operationId: 'deletePipeline',
          summary: 'Delete a pipeline that does not run, and what it left on its brokers',
          tags,
          params: IdParams,
          response: { 200: Deleted, ...problems(400, 404, 409) },
        },
      },
      async ({ params: { id } }) => {
        const { job, parallelism, ...stored } = await findPipeline(db, id);
        const running = new PenstockError('pipeline_running', `The pipeline is ${job.state}`, {
          hint: isResting(job.state as JobState)
            ? 'Its worker is still letting go of it; try again in a moment.'
            : 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
        });
        if (!isResting(job.state as JobState)) throw running;
        const leftovers = await leftoversOf(catalog, catalog.query(stored), job.id, parallelism);
        await db.$transaction(async (tx) => {
          // Only as long as no worker has taken it in the meantime.
          const { count } = await tx.pipeline.deleteMany({
            where: { id, job: { worker: null, state: job.state } },
          });
          if (count === 0) throw running;
          if (job.runId > 0) await tx.leftover.createMany({ data: leftovers });
        });
        deps.nudge();
        return null;
      },
    );
  };

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
