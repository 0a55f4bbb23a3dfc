import type { ConnectorDefinition } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import type { Endpoint, TaskSpec } from '../runtime/task-spec.ts';
import { compileQuery } from '../sql/compile.ts';
import type { WorkerDeps } from './deps.ts';

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
    const source = parallelism > 1 ? sharedBy(jobId, alone, parallelism) : alone;
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
function sharedBy(jobId: string, source: Endpoint, tasks: number): Endpoint {
  const { connector, config, operatorId } = source;
  if (!connector.shared) throw cannotShare(connector);
  return { ...source, config: connector.shared(config, `${jobId}_${operatorId}`, tasks) };
}

const cannotShare = ({ name }: ConnectorDefinition): PenstockError =>
  new PenstockError('cannot_share', `A source of ${name} cannot be read by several tasks`, {
    hint: 'Set the parallelism of the pipeline to 1.',
  });
