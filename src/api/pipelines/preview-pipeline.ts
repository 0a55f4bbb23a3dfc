import type { PenstockError } from '../../errors.ts';
import { graphOf } from '../../sql/graph.ts';
import type { InsertPlan, PreviewPlan } from '../../sql/plan.ts';
import type { PipelineRow } from './wire.ts';

interface PreviewFacts {
  id: string;
  jobId: string;
  query: string;
  plans: readonly PreviewPlan[];
  startedAt: bigint;
  endedAt: bigint | null;
  failure: PenstockError | undefined;
}

/** A preview as if it were a stored pipeline. */
export function previewRow(preview: PreviewFacts): PipelineRow {
  const { id, query, plans, startedAt, endedAt } = preview;
  const inserts = plans.map((plan, nth) => {
    const name = plans.length > 1 ? `preview ${nth + 1}` : 'preview';
    return {
      ...plan,
      sink: { name, connector: 'preview', schema: { fields: plan.columns } },
    } as unknown as InsertPlan;
  });
  const times = { createdAt: startedAt, updatedAt: endedAt ?? startedAt };
  return {
    id,
    name: `preview_${startedAt / 1000n}`,
    query,
    parallelism: 1,
    checkpointIntervalMicros: 10_000_000n,
    tags: '{}',
    graph: JSON.stringify(graphOf(inserts)),
    version: 1,
    labels: '{}',
    placement: '{}',
    ...times,
    job: { ...jobOf(preview), ...times },
  };
}

function jobOf({ id, jobId, plans, startedAt, endedAt, failure }: PreviewFacts) {
  const ended = endedAt !== null;
  return {
    id: jobId,
    pipelineId: id,
    stop: ended && !failure ? 'immediate' : 'none',
    restartRequests: 0,
    restartForce: false,
    editRequests: 0,
    state: failure ? 'Failed' : ended ? 'Finished' : 'Running',
    stateSince: endedAt ?? startedAt,
    failureCode: failure?.code ?? null,
    failureMessage: failure?.message ?? null,
    failureDomain: failure ? 'external' : null,
    restartsDone: 0,
    editsDone: 0,
    runId: 1,
    tasks: ended ? null : plans.length,
    startTime: startedAt,
    finishTime: endedAt,
    worker: null,
    epoch: 0,
    alive: new Map(),
    recoveries: 0,
    recoveringSince: null,
    deadLetters: 0,
    deadLetterBytes: 0n,
  };
}
