import { isDeepStrictEqual } from 'node:util';
import { keepMaskedInQuery } from '../../definitions/query-secrets.ts';
import type { StopMode } from '../../jobs/states.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import { compileQuery } from '../../sql/compile.ts';
import type { Tx } from '../../store/db.ts';
import { newId } from '../../store/id.ts';
import { isMeantToRun } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Kind, Saved } from '../kind.ts';
import { nowMicros } from '../schemas.ts';
import { Overlay } from '../staged-definitions.ts';
import { type Basis, expectOne, hold } from '../write.ts';
import { removal } from './control.ts';
import { checkParallelism } from './parallelism.ts';
import {
  findPipeline,
  Pipeline,
  PipelinePatch,
  PipelinePost,
  type PipelineRow,
  pipelineNamed,
  pipelineToBody,
  toWire,
} from './wire.ts';

const defaultCheckpointInterval = 10_000_000;

/** Creating, replacing, changing and deleting pipelines. What is wanted of their jobs is written down for the worker. */
export const pipelineKind = (deps: Deps): Kind<PipelineRow, PipelinePost> => ({
  path: 'pipelines',
  title: 'Pipeline',
  noun: 'pipeline',
  creates: 'Create a pipeline and start its job',
  changes: 'Stop, start or change a pipeline',
  deletes: 'Delete a pipeline that does not run, and what it left on its brokers',
  Answer: Pipeline,
  Body: PipelinePost,
  Patch: PipelinePatch,
  besides: ['stop'],
  find: (named) => pipelineNamed(deps.db, named),
  toBody: pipelineToBody,
  toWire,
  save: (body, current, patch) => (current ? replace(deps, body, current, patch) : create(deps, body)),
  remove: async (row) => removal(row),
});

/** What a query comes to, and which profiles and tables it was compiled with. */
interface Compiled {
  graph: string;
  basis: Basis;
  tables: { connectionTableId: string }[];
  profiles: { connectionProfileId: string }[];
}

async function compiled({ db, catalog }: Deps, query: string, parallelism: number): Promise<Compiled> {
  const overlay = new Overlay(db);
  const plan = await compileQuery(query, catalog.over(overlay));
  checkParallelism(plan, parallelism);
  return {
    graph: JSON.stringify(plan.graph),
    basis: overlay,
    tables: [...overlay.tables.keys()].map((connectionTableId) => ({ connectionTableId })),
    profiles: [...overlay.named].map((connectionProfileId) => ({ connectionProfileId })),
  };
}

/** All that is stored of a body but its query, whose secrets are sealed. */
const columnsOf = (body: PipelinePost) => ({
  name: body.name,
  parallelism: body.parallelism,
  checkpointIntervalMicros: BigInt(body.checkpoint_interval_micros ?? defaultCheckpointInterval),
  tags: JSON.stringify(body.tags ?? {}),
  labels: JSON.stringify(body.labels ?? {}),
  updatedAt: nowMicros(),
});

async function create(deps: Deps, body: PipelinePost) {
  const { graph, basis, tables, profiles } = await compiled(deps, body.query, body.parallelism);
  const columns = columnsOf(body);
  const now = columns.updatedAt;
  const id = newId('pl');
  const query = deps.catalog.sealQuery(id, body.query);
  const job = { create: { id: newId('job'), createdAt: now, updatedAt: now, stateSince: now } };
  const used = { tables: { create: tables }, profiles: { create: profiles } };
  return async (tx: Tx): Promise<Saved<PipelineRow>> => {
    await hold(tx, basis);
    await tx.pipeline.create({ data: { ...columns, id, query, graph, createdAt: now, ...used, job } });
    return { row: await findPipeline(tx, id), drains: [], forWorker: true };
  };
}

async function replace(
  deps: Deps,
  body: PipelinePost,
  current: PipelineRow,
  patch: JsonObject | undefined,
): Promise<(tx: Tx) => Promise<Saved<PipelineRow>>> {
  const { id, version, job } = current;
  const { catalog } = deps;
  const before = catalog.query(current);
  const query = keepMaskedInQuery(body.query, before);
  const runsOtherwise = query !== before || body.parallelism !== current.parallelism;
  const changed = runsOtherwise || isChanged(body, current);
  const stop = patch?.stop as StopMode | undefined;
  if (!changed && stop === undefined) return async () => ({ row: current, drains: [], forWorker: false });
  const result = runsOtherwise ? await compiled(deps, query, body.parallelism) : undefined;
  const sealed = query === before ? current.query : catalog.sealQuery(id, query);
  return async (tx) => {
    if (result) await hold(tx, result.basis);
    const now = nowMicros();
    const data = changed ? { ...columnsOf(body), query: sealed, version: version + 1 } : { version };
    expectOne(await tx.pipeline.updateMany({ where: { id, version }, data }));
    if (result) await useOthers(tx, id, result);
    if (result) await tx.job.update({ where: { id: job.id }, data: { editRequests: { increment: 1 } } });
    if (stop !== undefined)
      await tx.job.update({ where: { id: job.id }, data: { ...wanting(stop, job), updatedAt: now } });
    const row = await findPipeline(tx, id);
    const drains = result && isMeantToRun(row.job) ? [{ id, name: row.name }] : [];
    return { row, drains, forWorker: runsOtherwise || stop !== undefined };
  };
}

/** Whether anything differs that its job does not run by. */
function isChanged(body: PipelinePost, current: PipelineRow): boolean {
  const { name, checkpointIntervalMicros, tags, labels } = columnsOf(body);
  return (
    name !== current.name ||
    checkpointIntervalMicros !== current.checkpointIntervalMicros ||
    !isDeepStrictEqual(JSON.parse(tags), JSON.parse(current.tags)) ||
    !isDeepStrictEqual(JSON.parse(labels), JSON.parse(current.labels))
  );
}

async function useOthers(tx: Tx, pipelineId: string, { graph, tables, profiles }: Compiled): Promise<void> {
  const withPipeline = <T extends object>(used: T[]) => used.map((one) => ({ pipelineId, ...one }));
  await tx.pipelineTable.deleteMany({ where: { pipelineId } });
  await tx.pipelineTable.createMany({ data: withPipeline(tables) });
  await tx.pipelineProfile.deleteMany({ where: { pipelineId } });
  await tx.pipelineProfile.createMany({ data: withPipeline(profiles) });
  await tx.pipeline.update({ where: { id: pipelineId }, data: { graph } });
}

/** Starting a job that has failed, or has not come to rest yet, is asking for another run. */
function wanting(stop: StopMode, job: PipelineRow['job']) {
  const again = stop === 'none' && (job.state === 'Failed' || job.stop !== 'none');
  return again ? { stop, restartRequests: { increment: 1 }, restartForce: false } : { stop };
}
