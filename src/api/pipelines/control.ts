import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import { PenstockError } from '../../errors.ts';
import { isResting, type JobState } from '../../job.ts';
import { compileQuery } from '../../pipeline/compile.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems, problems } from '../problem.ts';
import { Deleted, IdParams, nowMicros } from '../schemas.ts';
import { checkParallelism } from './parallelism.ts';
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
          summary: 'Stop or start a pipeline, or change how many tasks it has',
          tags,
          params: IdParams,
          body: PipelinePatch,
          response: { 200: Pipeline, ...bodyProblems(404) },
        },
      },
      async ({ params: { id }, body }) => {
        const { job, query } = await findPipeline(db, id);
        const { stop, parallelism, checkpoint_interval_micros: interval } = body;
        if (parallelism !== undefined) checkParallelism(await compileQuery(query, catalog), parallelism);
        const updatedAt = nowMicros();
        // Starting a job that has failed, or has not come to rest yet, is asking for another run.
        const start = stop === 'none' && (job.state === 'Failed' || job.stop !== 'none');
        await db.pipeline.update({
          where: { id },
          data: {
            updatedAt,
            ...(interval === undefined ? {} : { checkpointIntervalMicros: BigInt(interval) }),
            ...(parallelism === undefined ? {} : { parallelism }),
            job: {
              update: {
                updatedAt,
                ...(stop === undefined ? {} : { stop }),
                ...(start ? { restartRequests: { increment: 1 }, restartForce: false } : {}),
                ...(parallelism === undefined ? {} : { editRequests: { increment: 1 } }),
              },
            },
          },
        });
        deps.nudge();
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
      async ({ params: { id }, body }) => {
        const { job } = await findPipeline(db, id);
        const again = { restartRequests: { increment: 1 }, restartForce: body.force ?? false };
        const data = { stop: 'none', ...again, updatedAt: nowMicros() };
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
        const { job } = await findPipeline(db, id);
        const running = new PenstockError('pipeline_running', `The pipeline is ${job.state}`, {
          hint: isResting(job.state as JobState)
            ? 'Its worker is still letting go of it; try again in a moment.'
            : 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
        });
        if (!isResting(job.state as JobState)) throw running;
        await db.$transaction(async (tx) => {
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
        });
        deps.nudge();
        return null;
      },
    );
  };
