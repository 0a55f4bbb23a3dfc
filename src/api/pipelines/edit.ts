import { isDeepStrictEqual } from 'node:util';
import { keepMaskedInQuery } from '../../definitions/query-secrets.ts';
import { PenstockError } from '../../errors.ts';
import { isResting, type StopMode } from '../../jobs/states.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import { compileQuery } from '../../sql/compile.ts';
import type { Diagnostic } from '../../sql/diagnostic.ts';
import type { Plan } from '../../sql/plan.ts';
import { nowMicros } from '../../store/clock.ts';
import type { Tx } from '../../store/db.ts';
import { newId, newTimedId } from '../../store/id.ts';
import { isMeantToRun } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import { refuseLosses, reviewStates } from '../job-states.ts';
import type { Change, Kind } from '../kind.ts';
import { brief } from '../labels.ts';
import { QueryDefinitions, type StagedDefinitions } from '../staged-definitions.ts';
import { refuseUdfs } from '../udfs.ts';
import { isAlive, jobStateOf, placementWarnings } from '../workers/alive.ts';
import { checkParallelism } from './parallelism.ts';
import {
  findPipeline,
  Pipeline,
  PipelinePatch,
  PipelinePost,
  type PipelineRow,
  pipelineNamed,
  pipelineToBody,
  SavedPipeline,
  toWire,
  withJobs,
} from './wire.ts';

const defaultCheckpointInterval = 10_000_000;

/** Pipelines. Writes only record what their jobs should do; the worker does it. */
export const pipelineKind = (deps: Deps): Kind<PipelineRow, PipelinePost> => ({
  path: 'pipelines',
  title: 'Pipeline',
  noun: 'pipeline',
  summaries: {
    create: 'Create a pipeline and start its job',
    change: 'Stop, start or change a pipeline',
    delete: 'Delete a stopped pipeline and its sessions on the brokers',
  },
  paged: true,
  Response: Pipeline,
  Saved: SavedPipeline,
  Body: PipelinePost,
  Patch: PipelinePatch,
  besides: ['stop'],
  find: (named) => pipelineNamed(deps.db, named),
  async rows(query) {
    const rows = await deps.db.pipeline.findMany({ ...query, include: { job: true } });
    return withJobs(deps.db, rows);
  },
  brief: (query) => deps.db.pipeline.findMany({ ...query, select: brief }),
  toBody: pipelineToBody,
  toOpenBody: (row) => ({ ...pipelineToBody(row), query: deps.catalog.query(row) }),
  toWire,
  toListed: toWire,
  save: (body, current, staged, patch) =>
    current ? replace(deps, body, current, staged, patch) : create(deps, body, staged),
  remove,
});

interface CompiledPipeline {
  plan: Plan;
  graph: string;
  warnings: Diagnostic[];
  definitions: QueryDefinitions;
  tables: { connectionTableId: string }[];
  profiles: { connectionProfileId: string }[];
}

async function compile(
  { catalog, db }: Deps,
  staged: StagedDefinitions,
  query: string,
  { parallelism, placement = {} }: PipelinePost,
): Promise<CompiledPipeline> {
  const definitions = new QueryDefinitions(staged);
  const plan = await compileQuery(query, catalog.over(definitions));
  checkParallelism(plan, parallelism);
  return {
    plan,
    graph: JSON.stringify(plan.graph),
    warnings: [...plan.warnings, ...(await placementWarnings(db, placement))],
    definitions,
    tables: [...definitions.tables.keys()].map((connectionTableId) => ({ connectionTableId })),
    profiles: [...definitions.named].map((connectionProfileId) => ({ connectionProfileId })),
  };
}

/** The columns of a body except its query, whose secrets are sealed. */
const columnsOf = (body: PipelinePost) => ({
  name: body.name,
  parallelism: body.parallelism,
  checkpointIntervalMicros: BigInt(body.checkpoint_interval_micros ?? defaultCheckpointInterval),
  tags: JSON.stringify(body.tags ?? {}),
  labels: JSON.stringify(body.labels ?? {}),
  placement: JSON.stringify(body.placement ?? {}),
  updatedAt: nowMicros(),
});

async function create(
  deps: Deps,
  body: PipelinePost,
  staged: StagedDefinitions,
): Promise<Change<PipelineRow>> {
  refuseUdfs(body.udfs);
  const { graph, warnings, definitions, tables, profiles } = await compile(deps, staged, body.query, body);
  const columns = columnsOf(body);
  const now = columns.updatedAt;
  const id = newTimedId('pl', now);
  const query = deps.catalog.sealQuery(id, body.query);
  const job = { create: { id: newId('job'), createdAt: now, updatedAt: now, stateSince: now } };
  const uses = { tables: { create: tables }, profiles: { create: profiles } };
  return {
    reads: definitions,
    written: id,
    forWorker: true,
    shown: { warnings },
    async store(tx) {
      await tx.pipeline.create({ data: { ...columns, id, query, graph, createdAt: now, ...uses, job } });
      return { row: await findPipeline(tx, id) };
    },
  };
}

async function replace(
  deps: Deps,
  body: PipelinePost,
  current: PipelineRow,
  staged: StagedDefinitions,
  patch: JsonObject | undefined,
): Promise<Change<PipelineRow>> {
  refuseUdfs(body.udfs);
  const { id, version, job } = current;
  const before = deps.catalog.query(current);
  const query = keepMaskedInQuery(body.query, before);
  const moves = !isDeepStrictEqual(body.placement ?? {}, JSON.parse(current.placement));
  const recompiles = query !== before || body.parallelism !== current.parallelism || moves;
  const changed = recompiles || isChanged(body, current);
  const stop = patch?.stop as StopMode | undefined;
  const own = { pipelines: new Map([[id, version]]) };
  if (!changed && stop === undefined)
    return { reads: own, forWorker: false, shown: { warnings: [] }, store: async () => ({ row: current }) };

  const compiled = recompiles ? await compile(deps, staged, query, body) : undefined;
  const states = compiled && (await reviewStates(deps.db, job.id, compiled.plan, current.name));
  if (states && !staged.discardState) refuseLosses(states.lost);
  const lost = states?.lost.map(({ message }) => ({ message: `It loses ${message}` })) ?? [];
  const sealed = query === before ? current.query : deps.catalog.sealQuery(id, query);
  return {
    reads: compiled
      ? { ...own, profiles: compiled.definitions.profiles, tables: compiled.definitions.tables }
      : own,
    ...(compiled && { written: id }),
    forWorker: recompiles || stop !== undefined,
    shown: { warnings: [...(compiled?.warnings ?? []), ...lost] },
    async store(tx) {
      await states?.store(tx);
      const data = { ...columnsOf(body), query: sealed, version: version + 1 };
      if (changed) await tx.pipeline.update({ where: { id }, data });
      const jobChanges = {
        ...(compiled && { editRequests: { increment: 1 } }),
        ...(stop !== undefined && { ...stopChanges(stop, job), updatedAt: nowMicros() }),
      };
      if (compiled) await storeCompiled(tx, id, compiled);
      if (compiled || stop !== undefined) await tx.job.update({ where: { id: job.id }, data: jobChanges });
      const row = await findPipeline(tx, id);
      return { row, affected: compiled && isMeantToRun(row.job) ? [{ id, name: row.name }] : [] };
    },
  };
}

/** Whether anything changes that does not concern the job. */
function isChanged(body: PipelinePost, current: PipelineRow): boolean {
  const { name, checkpointIntervalMicros, tags, labels } = columnsOf(body);
  return (
    name !== current.name ||
    checkpointIntervalMicros !== current.checkpointIntervalMicros ||
    !isDeepStrictEqual(JSON.parse(tags), JSON.parse(current.tags)) ||
    !isDeepStrictEqual(JSON.parse(labels), JSON.parse(current.labels))
  );
}

async function storeCompiled(
  tx: Tx,
  pipelineId: string,
  { graph, tables, profiles }: CompiledPipeline,
): Promise<void> {
  await tx.pipelineTable.deleteMany({ where: { pipelineId } });
  await tx.pipelineTable.createMany({ data: tables.map((one) => ({ pipelineId, ...one })) });
  await tx.pipelineProfile.deleteMany({ where: { pipelineId } });
  await tx.pipelineProfile.createMany({ data: profiles.map((one) => ({ pipelineId, ...one })) });
  await tx.pipeline.update({ where: { id: pipelineId }, data: { graph } });
}

/** Starting a job that has failed, or is still stopping, requests another run. */
function stopChanges(stop: StopMode, job: PipelineRow['job']) {
  const again = stop === 'none' && (job.state === 'Failed' || job.stop !== 'none');
  return again ? { stop, restartRequests: { increment: 1 }, restartForce: false } : { stop };
}

/**
 * Throws `pipeline_running`. The sessions of the pipeline stay behind, for a worker to remove, now or when one returns: a
 * job that no worker holds can be deleted all the same.
 */
function remove(row: PipelineRow): Change<PipelineRow> {
  const { id, version, job } = row;
  const state = jobStateOf(job);
  const resting = isResting(state);
  const running = new PenstockError('pipeline_running', `The pipeline is ${state}`, {
    hint: resting
      ? 'Its worker is still releasing it; try again in a moment.'
      : 'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed. Without a ' +
        'worker that is 10 seconds after the last one ended.',
  });
  if (!resting) throw running;
  return {
    reads: { pipelines: new Map([[id, version]]) },
    written: id,
    forWorker: true,
    async store(tx) {
      const now = nowMicros();
      // Locks the job. Fails if a worker has taken it in the meantime, or if it should run again.
      const dead = job.worker !== null && !(await isAlive(tx, job.worker)) ? [{ worker: job.worker }] : [];
      const { count } = await tx.job.updateMany({
        where: { id: job.id, state: job.state, stop: job.stop, OR: [{ worker: null }, ...dead] },
        data: { worker: null, epoch: { increment: 1 } },
      });
      if (count === 0) throw running;
      await tx.pipeline.delete({ where: { id } });
      await tx.sourceSession.updateMany({
        where: { jobId: job.id },
        data: { state: 'leftover', stateSince: now, attempts: 0, nextTry: now },
      });
      return { row };
    },
  };
}
