import { isDeepStrictEqual } from 'node:util';
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import { checkTableConfig, checkTableSchema } from '../definitions/config-checks.ts';
import { type FieldError, PenstockError } from '../errors.ts';
import { expandSchema } from '../formats/codec.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { jobStates } from '../jobs/states.ts';
import { diagnose } from '../sql/compile.ts';
import type { Plan } from '../sql/plan.ts';
import type { Db, Tx } from '../store/db.ts';
import { findProfile } from './connection-profiles/wire.ts';
import { findTable } from './connection-tables/wire.ts';
import type { Deps } from './deps.ts';
import { refuseLosses, reviewStates, type StateReview } from './job-states.ts';
import { parallelismProblem } from './pipelines/parallelism.ts';
import { problems } from './problem.ts';
import { IdParams } from './schemas.ts';
import { QueryDefinitions, StagedDefinitions } from './staged-definitions.ts';
import { jobStateOf, withWorkers } from './workers/alive.ts';
import { Outdated } from './write.ts';

export const AffectedPipelines = Type.Array(Type.Object({ id: Type.String(), name: Type.String() }), {
  description: 'Running pipelines that adopt the change; each first drains its messages in flight',
});
export type AffectedPipelines = Static<typeof AffectedPipelines>;

type PipelineFilter = NonNullable<NonNullable<Parameters<Db['pipeline']['findMany']>[0]>['where']>;

const namingProfile = (id: string): PipelineFilter => ({
  profiles: { some: { connectionProfileId: id } },
});
const readingProfile = (id: string): PipelineFilter => ({
  tables: { some: { connectionTable: { connectionProfileId: id } } },
});
const usingTable = (id: string): PipelineFilter => ({ tables: { some: { connectionTableId: id } } });

const pipelinesOf = (db: Db | Tx, where: PipelineFilter) =>
  db.pipeline.findMany({ where, include: { job: true }, orderBy: { id: 'asc' } });
type Dependent = Awaited<ReturnType<typeof pipelinesOf>>[number];

const Named = { id: Type.String(), name: Type.String() };
const Dependents = Type.Object(
  {
    connection_tables: Type.Array(Type.Object(Named), {
      description: 'Tables of the profile, by name. Empty for a table',
    }),
    pipelines: Type.Array(Type.Object({ ...Named, state: Type.Enum([...jobStates]) }), {
      description: 'Pipelines whose queries name it or one of its tables, by name',
    }),
  },
  {
    title: 'Dependents',
    examples: [
      {
        connection_tables: [{ id: 'ct_8Qm2Vh4TzX', name: 'readings' }],
        pipelines: [{ id: 'pl_5TgR7bN1wC', name: 'overheating', state: 'Running' }],
      },
    ],
  },
);

/** Lists what uses a profile or a table. */
export const dependents =
  ({ db }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    const ofProfile = (id: string) => ({ OR: [namingProfile(id), readingProfile(id)] });
    const response = { 200: Dependents, ...problems(400, 404) };
    app.get(
      '/connection_profiles/:id/dependents',
      {
        schema: {
          operationId: 'listConnectionProfileDependents',
          summary: 'List the tables and pipelines that use a connection profile',
          description: 'Includes the pipelines that only use its tables.',
          tags: ['connection_profiles'],
          params: IdParams,
          response,
        },
      },
      async ({ params: { id } }) => {
        await findProfile(db, id);
        const select = { id: true, name: true } as const;
        const tables = await db.connectionTable.findMany({ where: { connectionProfileId: id }, select });
        return { connection_tables: tables.sort(byName), pipelines: await listPipelines(db, ofProfile(id)) };
      },
    );
    app.get(
      '/connection_tables/:id/dependents',
      {
        schema: {
          operationId: 'listConnectionTableDependents',
          summary: 'List the pipelines that use a connection table',
          tags: ['connection_tables'],
          params: IdParams,
          response,
        },
      },
      async ({ params: { id } }) => {
        await findTable(db, id);
        return { connection_tables: [], pipelines: await listPipelines(db, usingTable(id)) };
      },
    );
  };

async function listPipelines(db: Db, where: PipelineFilter): Promise<Static<typeof Dependents>['pipelines']> {
  const rows = await db.pipeline.findMany({ where, select: { id: true, name: true, job: true } });
  const named = rows.flatMap(({ job, ...pipeline }) => (job ? [{ ...job, pipeline }] : []));
  const shown = await withWorkers(db, named);
  return shown.map((job) => ({ ...job.pipeline, state: jobStateOf(job) })).sort(byName);
}

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

/** A set of staged changes that is valid for everything that depends on it. */
interface Approval {
  affected: AffectedPipelines;
  /** Notifies the jobs. Call in the transaction, once the changed rows are locked and before they change. Throws `Outdated`. */
  announce(tx: Tx): Promise<void>;
}

/**
 * Checks every table and pipeline that depends on a staged change, except the ones in `written`, which the same write
 * checks or deletes itself. A pipeline that was already invalid does not count: an update of Penstock may have broken
 * it. Throws `dependents_broken`, which names the tables and pipelines that would become invalid.
 */
export async function approve(
  deps: Deps,
  staged: StagedDefinitions,
  written: readonly string[],
): Promise<Approval> {
  const profiles = changedIn(staged.profiles);
  const tables = changedIn(staged.tables);
  if (profiles.length + tables.length === 0) return { affected: [], announce: async () => undefined };

  const others = (filters: PipelineFilter[]): PipelineFilter => ({
    id: { notIn: [...written] },
    OR: filters,
  });
  // A query means the same whatever the profiles of its stored tables are: only the tables have to fit those.
  const toCompile = [...profiles.map(namingProfile), ...tables.map(usingTable)];
  const affected = others([...toCompile, ...profiles.map(readingProfile)]);
  const tablesOf = {
    connectionProfileId: { in: profiles },
    id: { notIn: [...written, ...staged.tables.keys()] },
  };

  const dependentTables = await deps.db.connectionTable.findMany({ where: tablesOf });
  const pipelines = await pipelinesOf(deps.db, affected);
  const broken: FieldError[] = dependentTables.flatMap((table) => tableProblem(deps, staged, table));
  const graphs = new Map<string, string>();
  const reviews: StateReview[] = [];
  for (const pipeline of await pipelinesOf(deps.db, others(toCompile))) {
    const result = await recompile(deps, pipeline, staged);
    if (typeof result === 'string') {
      const before = await recompile(deps, pipeline, new StagedDefinitions(deps.db));
      if (typeof before !== 'string')
        broken.push({ path: '', message: `pipeline ${pipeline.name}: ${result}` });
      continue;
    }
    if (!isDeepStrictEqual(JSON.parse(pipeline.graph), result.graph))
      graphs.set(pipeline.id, JSON.stringify(result.graph));
    if (pipeline.job) reviews.push(await reviewStates(deps.db, pipeline.job.id, result, pipeline.name));
  }
  if (broken.length > 0) throw dependentsBroken(broken);
  if (!staged.discardState) refuseLosses(reviews.flatMap(({ lost }) => lost));

  return {
    affected: pipelines.filter(({ job }) => isMeantToRun(job)).map(({ id, name }) => ({ id, name })),
    async announce(tx) {
      const now = await tx.connectionTable.findMany({ where: tablesOf });
      if (!isDeepStrictEqual(versionsOf(now), versionsOf(dependentTables))) throw new Outdated();
      await tx.job.updateMany({ where: { pipeline: affected }, data: { editRequests: { increment: 1 } } });
      // Every other change that affects these pipelines increments the count too, so concurrent changes are noticed.
      const edits = (rows: Dependent[], more: number) =>
        rows.map(({ id, job }) => [id, (job?.editRequests ?? 0) + more]);
      if (!isDeepStrictEqual(edits(await pipelinesOf(tx, affected), 0), edits(pipelines, 1)))
        throw new Outdated();
      for (const review of reviews) await review.store(tx);
      for (const [id, graph] of graphs) await tx.pipeline.updateMany({ where: { id }, data: { graph } });
    },
  };
}

/** The ids of the staged rows that exist already; a new one has no dependents. */
const changedIn = (rows: ReadonlyMap<string, { version: number }>): string[] =>
  [...rows].filter(([, { version }]) => version > 0).map(([id]) => id);

const versionsOf = (rows: { id: string; version: number }[]): Map<string, number> =>
  new Map(rows.map(({ id, version }) => [id, version]));

type DependentTable = Awaited<ReturnType<Db['connectionTable']['findMany']>>[number];

function tableProblem(deps: Deps, staged: StagedDefinitions, table: DependentTable): FieldError[] {
  const row = staged.profiles.get(table.connectionProfileId ?? '');
  const profile = row ? deps.catalog.profile(row) : {};
  const config = deps.catalog.tableConfig(table);
  try {
    checkTableConfig(table.connector, config, profile);
    const schema = expandSchema(JSON.parse(table.schema ?? '{}') as ConnectionSchema);
    return checkTableSchema(table.connector, config, profile, schema).map(({ path, message }) => ({
      path: '',
      message: `table ${table.name}: /schema${path} ${message}`,
    }));
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    return [{ path: '', message: `table ${table.name}: ${error.message}` }];
  }
}

/** The plan of a stored pipeline under staged definitions, or what is wrong with it. */
async function recompile(
  { catalog }: Deps,
  pipeline: Dependent,
  staged: StagedDefinitions,
): Promise<Plan | string> {
  const result = await diagnose(catalog.query(pipeline), catalog.over(new QueryDefinitions(staged)));
  if ('plan' in result) return parallelismProblem(result.plan, pipeline.parallelism) ?? result.plan;
  return result.diagnostics
    .map(({ message, span }) => (span ? `line ${span.start.line}: ${message}` : message))
    .join('; ');
}

/** Whether a change affects tasks of the job that run now or soon. */
export const isMeantToRun = (job: Dependent['job']): boolean =>
  job?.stop === 'none' && job.state !== 'Failed' && job.state !== 'Finished';

const maxNamed = 10;

function dependentsBroken(errors: FieldError[]): PenstockError {
  const [first] = errors;
  const others = errors.length - 1;
  const more = others === 0 ? '' : `, and ${others} more`;
  return new PenstockError(
    'dependents_broken',
    `The change would make its users invalid: ${first?.message}${more}`,
    {
      hint: 'Change the users first, or create a new object and move its users over one by one.',
      errors: errors.slice(0, maxNamed * 2),
    },
  );
}

/** Throws `connection_profile_in_use` when tables or queries refer to the profile. */
export async function refuseUsedProfile(db: Db | Tx, id: string): Promise<void> {
  const tables = await db.connectionTable.findMany({ where: { connectionProfileId: id }, ...namesOnly });
  const pipelines = await db.pipeline.findMany({ where: namingProfile(id), ...namesOnly });
  const users = [...listed('table', tables), ...listed('pipeline', pipelines)];
  if (users.length > 0)
    throw inUse('connection_profile_in_use', `The profile is used by the ${users.join(' and the ')}`);
}

/** Throws `connection_table_in_use` when queries name the table. */
export async function refuseUsedTable(db: Db | Tx, id: string): Promise<void> {
  const pipelines = await db.pipeline.findMany({ where: usingTable(id), ...namesOnly });
  const [users] = listed('pipeline', pipelines);
  if (users) throw inUse('connection_table_in_use', `The table is used by the ${users}`);
}

/** Refuses a new name for a profile or table that a query names. Throws the same codes as `refuseUsed…`. */
export async function refuseRename(db: Db | Tx, kind: 'profile' | 'table', id: string): Promise<void> {
  const where = kind === 'profile' ? namingProfile(id) : usingTable(id);
  const [users] = listed('pipeline', await db.pipeline.findMany({ where, ...namesOnly }));
  if (!users) return;
  const detail = `The ${kind} cannot be renamed: its name is in the query of the ${users}`;
  throw new PenstockError(`connection_${kind}_in_use`, detail, {
    hint: `Create a ${kind} with the new name, change the queries to use it, and delete this one.`,
    errors: [{ path: '/name', message: 'is used in queries' }],
  });
}

const namesOnly = { select: { name: true }, orderBy: { name: 'asc' }, take: maxNamed + 1 } as const;

function listed(noun: string, rows: { name: string }[]): string[] {
  if (rows.length === 0) return [];
  const names = rows.slice(0, maxNamed).map(({ name }) => name);
  const more = rows.length > maxNamed ? ' and others' : '';
  return [`${noun}${rows.length > 1 ? 's' : ''} ${names.join(', ')}${more}`];
}

const inUse = (code: 'connection_profile_in_use' | 'connection_table_in_use', detail: string) =>
  new PenstockError(code, detail, { hint: 'Delete its users first, or change them to use another one.' });
