import { createHash } from 'node:crypto';
import type { StoredCatalog } from '../definitions/catalog.ts';
import { PenstockError } from '../errors.ts';
import { parseExactly } from '../formats/json/text.ts';
import type { TaskPlace } from '../jobs/stats.ts';
import { placeOf, sameWork, type TaskEnd, type TaskSpec, windowOf } from '../runtime/task-spec.ts';
import { compileQuery } from '../sql/compile.ts';
import { nodesOf } from '../sql/graph.ts';
import type { InsertPlan } from '../sql/plan.ts';
import type { WorkerDeps } from './deps.ts';

/** The work of a task as its row holds it: sealed, with variables and certificates left for the worker that runs it. */
export interface TaskWork {
  insert: InsertPlan;
  /** Number of tasks that share the INSERT. */
  parallelism: number;
  /** The source of each INSERT of the job. */
  sources: { operatorId: string; table: string }[];
}

export interface PlannedTask {
  id: string;
  spec: TaskSpec;
  work: TaskWork;
  place: TaskPlace;
  /** JSON: the labels that its worker must have. */
  placement: string;
}

/** Whether the one need not replace the other. */
export const sameTask = (one: PlannedTask, other: PlannedTask): boolean =>
  one.placement === other.placement && sameWork(one.spec, other.spec);

export const sameTasks = (some: readonly PlannedTask[], others: readonly PlannedTask[]): boolean =>
  some.length === others.length &&
  some.every((one) => others.some((other) => other.id === one.id && sameTask(one, other)));

const idOf = (spec: TaskSpec): string =>
  `tsk_${createHash('sha256')
    .update(`${spec.jobId} ${placeOf(spec)}`)
    .digest('hex')
    .slice(0, 20)}`;

/** Compiles the tasks of a job from the stored definitions. The only passing error is `database_unavailable`. */
export async function compileJob({ db, catalog }: WorkerDeps, jobId: string): Promise<PlannedTask[]> {
  const { pipeline } = await db.job.findUniqueOrThrow({ where: { id: jobId }, include: { pipeline: true } });
  const { parallelism, placement } = pipeline;
  const { inserts } = await compileQuery(catalog.query(pipeline), catalog);
  const nodes = nodesOf(inserts);
  const sources = inserts.flatMap(({ operatorIds, source, others = [] }) =>
    [{ operatorId: operatorIds.source, source }, ...others].map((one) => ({
      operatorId: one.operatorId,
      table: one.source.name,
    })),
  );
  return inserts.flatMap((insert, at) => {
    const tasks = insert.select.kind === 'stateful' ? 1 : parallelism;
    const work = { insert, parallelism: tasks, sources };
    const node = nodes[at] as (typeof nodes)[number];
    const { source, transform, sink } = insert.operatorIds;
    const ends = endsOf(catalog, work);
    return Array.from({ length: tasks }, (_, taskIndex) => {
      const spec = specFrom(jobId, work, ends, taskIndex);
      const place = {
        index: taskIndex,
        source: { id: source, node: node.source },
        others: (insert.others ?? []).map(({ operatorId }, nth) => ({
          id: operatorId,
          node: node.others[nth] as number,
        })),
        transform: node.transform === null ? null : { id: transform, node: node.transform },
        sink: { id: sink, node: node.sink },
        window: windowOf(spec),
      };
      return { id: idOf(spec), spec, work, place, placement };
    });
  });
}

export const readWork = (text: string): TaskWork => parseExactly(text) as TaskWork;

/** Returns what a task does on this machine. Throws if a variable or a certificate is missing here. */
export const specOf = (catalog: StoredCatalog, jobId: string, work: TaskWork, taskIndex: number): TaskSpec =>
  specFrom(jobId, work, endsOf(catalog, work), taskIndex);

type TaskEnds = Pick<TaskSpec, 'source' | 'others' | 'sink'>;

function endsOf(catalog: StoredCatalog, { insert }: TaskWork): TaskEnds {
  return {
    source: { ...catalog.usable(insert.source), operatorId: insert.operatorIds.source },
    others: (insert.others ?? []).map(({ source, operatorId }) => ({
      ...catalog.usable(source),
      operatorId,
    })),
    sink: { ...catalog.usable(insert.sink), operatorId: insert.operatorIds.sink },
  };
}

function specFrom(
  jobId: string,
  { insert, parallelism }: TaskWork,
  { source, others, sink }: TaskEnds,
  taskIndex: number,
): TaskSpec {
  return {
    jobId,
    taskIndex,
    insert,
    source: parallelism > 1 ? sharedBy(source, taskIndex, parallelism) : source,
    others,
    sink,
  };
}

/** The source as one of several tasks reads it. */
function sharedBy(source: TaskEnd, taskIndex: number, tasks: number): TaskEnd {
  const { connector, config } = source;
  if (!connector.shared)
    throw new PenstockError('cannot_share', `Several tasks cannot share a source of ${connector.name}`, {
      hint: 'Set the parallelism of the pipeline to 1.',
    });
  return { ...source, config: connector.shared(config, taskIndex, tasks) };
}
