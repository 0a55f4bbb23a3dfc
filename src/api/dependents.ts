import { isDeepStrictEqual } from 'node:util';
import Type, { type Static } from 'typebox';
import { checkTableConfig } from '../definitions/config-checks.ts';
import { type FieldError, PenstockError } from '../errors.ts';
import type { JsonObject } from '../security/config-secrets.ts';
import { diagnose } from '../sql/compile.ts';
import type { PipelineGraph } from '../sql/plan.ts';
import type { Db, Tx } from '../store/db.ts';
import type { Deps } from './deps.ts';
import { parallelismProblem } from './pipelines/parallelism.ts';
import { type Change, Overlay } from './staged-definitions.ts';
import { Outdated } from './write.ts';

/** The pipelines whose jobs take over a change, and so finish what is in flight first. */
export const Drains = Type.Array(Type.Object({ id: Type.String(), name: Type.String() }), {
  description: 'The running pipelines that take over the change, each after what it has in flight',
});
export type Drains = Static<typeof Drains>;

const tablesOf = (profile: string) => ({ connectionProfileId: profile });
const namingProfile = (id: string) => ({ profiles: { some: { connectionProfileId: id } } });
export const usingTable = (id: string) => ({ tables: { some: { connectionTableId: id } } });
export const usingProfile = (id: string) => ({
  OR: [namingProfile(id), { tables: { some: { connectionTable: tablesOf(id) } } }],
});

type PipelineFilter = ReturnType<typeof usingProfile | typeof usingTable | typeof namingProfile>;

/** The pipelines that a change concerns, with their jobs. */
export const concerned = (
  db: Db | Tx,
  where: NonNullable<Parameters<Db['pipeline']['findMany']>[0]>['where'] & object,
) => db.pipeline.findMany({ where, include: { job: true }, orderBy: { id: 'asc' } });
type Concerned = Awaited<ReturnType<typeof concerned>>[number];

/** A change of a profile or a table that all of its dependents can live with. */
export interface Approved {
  drains: Drains;
  /** To be called in the transaction, when the row that is changed is held: tells the jobs. Throws `Outdated`. */
  announce(tx: Tx): Promise<void>;
}

/** Throws `dependents_broken`, which names the tables and pipelines that would not be valid any more. */
export async function approveProfile(deps: Deps, changed: NonNullable<Change['profile']>): Promise<Approved> {
  const tables = await deps.db.connectionTable.findMany({ where: tablesOf(changed.id) });
  const profile = deps.catalog.profile(changed);
  const broken = tables.flatMap((table) =>
    refusalOf(`table ${table.name}`, () =>
      checkTableConfig(table.connector, JSON.parse(table.config) as JsonObject, profile),
    ),
  );
  if (broken.length > 0) throw dependentsBroken(broken);
  // What a query means does not depend on the profiles of stored tables: those have just been checked.
  const affected = usingProfile(changed.id);
  const approved = await approve(deps, affected, { profile: changed }, namingProfile(changed.id));
  const versions = versionsOf(tables);
  return {
    ...approved,
    async announce(tx) {
      const now = await tx.connectionTable.findMany({ where: tablesOf(changed.id) });
      if (!isDeepStrictEqual(versionsOf(now), versions)) throw new Outdated();
      await approved.announce(tx);
    },
  };
}

/** Throws `dependents_broken`, which names the pipelines that would not be valid any more. */
export const approveTable = (deps: Deps, changed: NonNullable<Change['table']>): Promise<Approved> =>
  approve(deps, usingTable(changed.id), { table: changed });

/** How changes of profiles and tables are approved of. */
export interface Approve {
  profile: typeof approveProfile;
  table: typeof approveTable;
}

/** What uses a change does not go with it: tables, and pipelines. */
export class Broken extends Error {
  readonly tables: FieldError[];
  readonly pipelines: { id: string; reason: FieldError }[];

  constructor(tables: Broken['tables'], pipelines: Broken['pipelines']) {
    super('what uses it would no longer be valid');
    this.tables = tables;
    this.pipelines = pipelines;
  }
}

const versionsOf = (rows: { id: string; version: number }[]): Map<string, number> =>
  new Map(rows.map(({ id, version }) => [id, version]));

/** What `check` throws of our errors, said of `who`. */
export function refusalOf(who: string, check: () => void): FieldError[] {
  try {
    check();
    return [];
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    return [{ path: '', message: `${who}: ${error.message}` }];
  }
}

/** Compiles the pipelines that `compiling` picks of those that a change concerns, which is all if it is left out. */
async function approve(
  deps: Deps,
  where: PipelineFilter,
  change: Change,
  compiling: PipelineFilter = where,
): Promise<Approved> {
  const pipelines = await concerned(deps.db, where);
  const graphs = new Map<string, string>();
  const broken: FieldError[] = [];
  const toCompile = compiling === where ? pipelines : await concerned(deps.db, compiling);
  for (const { id, name, query: stored, graph, parallelism } of toCompile) {
    const query = deps.catalog.query({ id, query: stored });
    const result = await compiled(deps, query, parallelism, change);
    if (typeof result === 'string') {
      // One that was not valid before either, since an update of Penstock say, is no reason against the change.
      if (typeof (await compiled(deps, query, parallelism, {})) !== 'string')
        broken.push({ path: '', message: `pipeline ${name}: ${result}` });
    } else if (!isDeepStrictEqual(JSON.parse(graph), result)) graphs.set(id, JSON.stringify(result));
  }
  if (broken.length > 0) throw dependentsBroken(broken);
  return {
    drains: pipelines.filter(({ job }) => isMeantToRun(job)).map(({ id, name }) => ({ id, name })),
    announce: (tx) => announce(tx, where, pipelines, graphs),
  };
}

/** The graph of a query with a change made, or what is wrong with it. */
export async function compiled(
  deps: Deps,
  query: string,
  parallelism: number,
  change: Change,
): Promise<PipelineGraph | string> {
  const result = await diagnose(query, deps.catalog.over(new Overlay(deps.db, change)));
  if ('plan' in result) return parallelismProblem(result.plan, parallelism) ?? result.plan.graph;
  return result.diagnostics
    .map(({ message, span }) => (span ? `line ${span.start.line}: ${message}` : message))
    .join('; ');
}

async function announce(
  tx: Tx,
  where: PipelineFilter,
  seen: Concerned[],
  graphs: ReadonlyMap<string, string>,
): Promise<void> {
  await tx.job.updateMany({ where: { pipeline: where }, data: { editRequests: { increment: 1 } } });
  // Whatever changed what one of them runs has counted too, so that two changes at once cannot spoil each other.
  const edits = (rows: Concerned[], more: number) =>
    rows.map(({ id, job }) => [id, (job?.editRequests ?? 0) + more]);
  if (!isDeepStrictEqual(edits(await concerned(tx, where), 0), edits(seen, 1))) throw new Outdated();
  for (const [id, graph] of graphs) await tx.pipeline.updateMany({ where: { id }, data: { graph } });
}

/** Whether an edit reaches tasks that run, or will shortly. */
export const isMeantToRun = (job: Concerned['job']): boolean =>
  job?.stop === 'none' && job.state !== 'Failed' && job.state !== 'Finished';

const listed = 10;

export function dependentsBroken(errors: FieldError[]): PenstockError {
  const [first] = errors;
  const others = errors.length - 1;
  const more = others === 0 ? '' : `, and ${others} more`;
  return new PenstockError(
    'dependents_broken',
    `What uses it would no longer be valid: ${first?.message}${more}`,
    {
      hint: 'Change what uses it first, or make a new one and move its users over one by one.',
      errors: errors.slice(0, listed * 2),
    },
  );
}

/** Throws `connection_profile_in_use` when tables or queries refer to the profile. */
export async function refuseUsedProfile(db: Db | Tx, id: string): Promise<void> {
  const tables = await db.connectionTable.findMany({ where: tablesOf(id), ...namesOnly });
  const pipelines = await db.pipeline.findMany({ where: namingProfile(id), ...namesOnly });
  const users = [...spoken('table', tables), ...spoken('pipeline', pipelines)];
  if (users.length > 0)
    throw inUse('connection_profile_in_use', `The profile is used by the ${users.join(' and the ')}`);
}

/** Throws `connection_table_in_use` when queries name the table. */
export async function refuseUsedTable(db: Db | Tx, id: string): Promise<void> {
  const pipelines = await db.pipeline.findMany({ where: usingTable(id), ...namesOnly });
  const [users] = spoken('pipeline', pipelines);
  if (users) throw inUse('connection_table_in_use', `The table is used by the ${users}`);
}

/** Queries name tables, and profiles in the tables they create: such a name has to stay. Throws as `refuseUsed…`. */
export async function refuseRename(db: Db | Tx, kind: 'profile' | 'table', id: string): Promise<void> {
  const where = kind === 'profile' ? namingProfile(id) : usingTable(id);
  const [users] = spoken('pipeline', await db.pipeline.findMany({ where, ...namesOnly }));
  if (!users) return;
  const detail = `The ${kind} cannot get another name: it is named in the query of the ${users}`;
  throw new PenstockError(`connection_${kind}_in_use`, detail, {
    hint: `Make a ${kind} of the new name, change the queries to it, and delete this one.`,
    errors: [{ path: '/name', message: 'is named in queries' }],
  });
}

const namesOnly = { select: { name: true }, orderBy: { name: 'asc' }, take: listed + 1 } as const;

function spoken(what: string, rows: { name: string }[]): string[] {
  if (rows.length === 0) return [];
  const names = rows.slice(0, listed).map(({ name }) => name);
  const more = rows.length > listed ? ' and others' : '';
  return [`${what}${rows.length > 1 ? 's' : ''} ${names.join(', ')}${more}`];
}

const inUse = (code: 'connection_profile_in_use' | 'connection_table_in_use', detail: string) =>
  new PenstockError(code, detail, { hint: 'Delete those first, or change them to use another one.' });
