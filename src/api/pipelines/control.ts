import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PenstockError } from '../../errors.ts';
import { isResting, type JobState } from '../../jobs/states.ts';
import type { Tx } from '../../store/db.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems } from '../problem.ts';
import { IdParams, nowMicros } from '../schemas.ts';
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
      async ({ params: { id }, body }) => {
        const { job } = await findPipeline(db, id);
        const again = { restartRequests: { increment: 1 }, restartForce: body.force ?? false };
        const data = { stop: 'none', ...again, updatedAt: nowMicros() };
        await db.job.update({ where: { id: job.id }, data });
        deps.nudge();
        return toWire(await findPipeline(db, id));
      },
    );
  };

/** Checks that a pipeline may go; answers how to delete it. Its sessions stay behind for a worker to remove. */
export function removal({ id, version, job }: PipelineRow) {
  const running = new PenstockError('pipeline_running', `The pipeline is ${job.state}`, {
    hint: isResting(job.state as JobState)
      ? 'Its worker is still letting go of it; try again in a moment.'
      : 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
  });
  if (!isResting(job.state as JobState)) throw running;
  return async (tx: Tx): Promise<void> => {
    expectOne(await tx.pipeline.updateMany({ where: { id, version }, data: { version } }));
    // Only as long as no worker has taken it in the meantime.
    const { count } = await tx.pipeline.deleteMany({
      where: { id, job: { worker: null, state: job.state } },
    });
    if (count === 0) throw running;
    const now = nowMicros();
    await tx.sourceSession.updateMany({
      where: { jobId: job.id },
      data: { state: 'leftover', stateSince: now, attempts: 0, nextTry: now },
    });
  };
}
