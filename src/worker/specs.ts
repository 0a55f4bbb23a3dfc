import { isDeepStrictEqual } from 'node:util';
import type { Usable } from '../catalog.ts';
import type { ConnectorDefinition, Identity } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import { compileQuery } from '../pipeline/compile.ts';
import type { InsertPlan } from '../pipeline/plan.ts';
import type { WorkerDeps } from './deps.ts';

/** One side of a task: a connector with a configuration it can use, secrets opened and variables replaced. */
export interface Endpoint extends Usable {
  operatorId: string;
}

/** What one task does: plain data beside the connectors, so that two can be compared. */
export interface TaskSpec {
  jobId: string;
  taskIndex: number;
  insert: InsertPlan;
  source: Endpoint;
  sink: Endpoint;
}

/**
 * What a job is to run, as its pipeline and all it uses are stored now. Throws what is wrong with them; what is passing
 * is the database's.
 */
export async function compileJob({ db, catalog }: WorkerDeps, jobId: string): Promise<TaskSpec[]> {
  const { pipeline } = await db.job.findUniqueOrThrow({
    where: { id: jobId },
    include: { pipeline: true },
  });
  const { parallelism } = pipeline;
  const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
  return inserts.flatMap((insert) => {
    const sink = { ...catalog.usable(insert.sink), operatorId: insert.operatorIds.sink };
    const alone = { ...catalog.usable(insert.source), operatorId: insert.operatorIds.source };
    const source = parallelism > 1 ? sharedBy(jobId, alone) : alone;
    return Array.from({ length: parallelism }, (_, taskIndex) => ({
      jobId,
      taskIndex,
      insert,
      source,
      sink,
    }));
  });
}

/** The source as several tasks read it. Their group is the job's own, the same after every restart. */
function sharedBy(jobId: string, source: Endpoint): Endpoint {
  const { connector, config, operatorId } = source;
  if (!connector.shared) throw cannotShare(connector);
  return { ...source, config: connector.shared(config, `${jobId}_${operatorId}`) };
}

const cannotShare = ({ name }: ConnectorDefinition): PenstockError =>
  new PenstockError('cannot_share', `A source of ${name} cannot be read by several tasks`, {
    hint: 'Set the parallelism of the pipeline to 1.',
  });

/** Who a task is towards its source. */
export const sourceIdentity = ({ jobId, taskIndex, source }: TaskSpec): Identity => ({
  jobId,
  operatorId: source.operatorId,
  taskIndex,
});

/** The place of a task in its job: a task of another spec there takes over from it. */
export const placeOf = ({ insert: { operatorIds }, taskIndex }: TaskSpec): string =>
  `${operatorIds.source} ${operatorIds.sink} ${taskIndex}`;

/** Whether two tasks do the same, so that one need not make room for the other. */
export const sameWork = (one: TaskSpec, other: TaskSpec): boolean =>
  isDeepStrictEqual(workOf(one), workOf(other));

export const sameJob = (some: readonly TaskSpec[], others: readonly TaskSpec[]): boolean =>
  some.length === others.length &&
  some.every((spec) => others.some((other) => placeOf(other) === placeOf(spec) && sameWork(other, spec)));

const workOf = ({ insert, source, sink }: TaskSpec) => [
  insert,
  ...[source, sink].map(({ connector, profile, config }) => ({ connector: connector.id, profile, config })),
];
