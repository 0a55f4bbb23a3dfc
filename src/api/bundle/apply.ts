import { createHash } from 'node:crypto';
import { PenstockError } from '../../errors.ts';
import type { Db, Tx } from '../../store/db.ts';
import { Broken, dependentsBroken } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import { readSelector, type Selector } from '../labels.ts';
import { hold, write } from '../write.ts';
import { type Done, named, type Part, partsOf } from './parts.ts';
import { deferring, settle, wereBroken } from './settle.ts';
import { type Applied, type Bundle, maxObjects } from './wire.ts';

interface Options {
  dryRun: boolean;
  /** The hash of the plan that is to be carried out, and no other. */
  plan: string | undefined;
}

/** A bundle holds up writers of the same objects, on SQLite all of them, for no longer than this. */
const transactionMs = 30_000;

/**
 * Makes everything as the bundle says, or nothing: in one transaction, each object checked as if it were written by
 * itself, against what is there once those before it are written. What uses a changed profile or table is checked when
 * all is written, so that a table and the query that reads it can change together.
 *
 * Throws what a single write throws, with paths into the bundle; `plan_stale`; and what deleting throws, for objects
 * that are to be pruned and are still used, or run.
 */
export async function applyBundle(
  deps: Deps,
  bundle: Bundle,
  options: Options,
): Promise<{ answer: Applied; forWorker: boolean }> {
  refuseMany(bundle);
  refuseTwice(bundle);
  const selector = pruneSelector(bundle);
  const tolerated = new Set<string>();
  for (;;) {
    try {
      return await write(
        deps.db,
        options.dryRun,
        async () => (tx) =>
          carryOut({ ...deps, db: tx as Db }, tx, bundle, { ...options, selector, tolerated }),
        transactionMs,
      );
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      // One that was not valid before either, since an update of Penstock say, is no reason against the change.
      const before = await wereBroken(deps, error.pipelines);
      if (error.tables.length > 0 || before.size < error.pipelines.length)
        throw dependentsBroken([
          ...error.tables,
          ...error.pipelines.filter(({ id }) => !before.has(id)).map(({ reason }) => reason),
        ]);
      for (const id of before) tolerated.add(id);
    }
  }
}

interface Carried extends Options {
  selector: Selector | undefined;
  tolerated: ReadonlySet<string>;
}

/** `deps.db` is the transaction: everything is read as it is by then. */
async function carryOut(
  deps: Deps,
  tx: Tx,
  bundle: Bundle,
  { dryRun, plan, selector, tolerated }: Carried,
): Promise<{ answer: Applied; forWorker: boolean }> {
  await holdNamed(tx, bundle);
  const deferred = deferring();
  const parts = partsOf(deps, deferred.approve);
  const done: Done[] = [];
  for (const part of parts) done.push(...(await saveAll(tx, part, bundle)));
  const recompiled = done.flatMap(({ kind, id, forWorker }) =>
    kind === 'pipelines' && forWorker && id !== null ? [id] : [],
  );
  if (selector)
    for (const part of parts.toReversed())
      done.push(
        ...(await part.prune(tx, selector, new Set((bundle[part.path] ?? []).map(({ name }) => name)))),
      );
  const settled = await settle(deps, tx, deferred.changed, recompiled, tolerated);
  const drains = [...done.flatMap((change) => change.drains), ...settled].toSorted((one, other) =>
    one.name < other.name ? -1 : 1,
  );
  const hash = hashOf(done, drains);
  if (plan !== undefined && plan !== hash) throw stale();
  const changes = done.map(({ kind, name, action, id, diff }) => ({
    kind,
    name,
    action,
    id: dryRun && action === 'created' ? null : id,
    diff,
  }));
  const summary = { created: 0, updated: 0, unchanged: 0, deleted: 0 };
  for (const { action } of done) summary[action] += 1;
  const forWorker = settled.length > 0 || done.some((change) => change.forWorker);
  return { answer: { plan: hash, applied: !dryRun, summary, changes, drains }, forWorker };
}

const nouns = {
  connection_profiles: 'connection profile',
  connection_tables: 'connection table',
  pipelines: 'pipeline',
} as const;

async function saveAll(tx: Tx, part: Part, bundle: Bundle): Promise<Done[]> {
  const done: Done[] = [];
  const items = [...(bundle[part.path] ?? []).entries()];
  // In the same order for everybody, so that a plan does not depend on that of the bundle, and locks less on luck.
  for (const [index, item] of items.toSorted(([, one], [, other]) => (one.name < other.name ? -1 : 1)))
    done.push(await named(nouns[part.path], item.name, `/${part.path}/${index}`, () => part.save(tx, item)));
  return done;
}

/** Takes the locks of all profiles and tables that the bundle names, in the order in which everybody takes them. */
async function holdNamed(
  tx: Tx,
  { connection_profiles = [], connection_tables = [] }: Bundle,
): Promise<void> {
  const profiles = new Set([
    ...connection_profiles.map(({ name }) => name),
    ...connection_tables.map((table) => table.connection_profile),
  ]);
  const named = (names: Iterable<string>) => ({
    where: { name: { in: [...names] } },
    select: { id: true, version: true },
  });
  const versions = (rows: { id: string; version: number }[]) =>
    new Map(rows.map(({ id, version }) => [id, version]));
  await hold(tx, {
    profiles: versions(await tx.connectionProfile.findMany(named(profiles))),
    tables: versions(await tx.connectionTable.findMany(named(connection_tables.map(({ name }) => name)))),
  });
}

/**
 * What a plan is known by. Secrets are not part of it: a hash is shown to people, who could try out short secrets
 * until one fits.
 */
function hashOf(done: Done[], drains: { id: string }[]): string {
  const changes = done.map(({ kind, name, action, before, diff }) => [
    kind,
    name,
    action,
    before ? [before.id, before.version] : null,
    diff,
  ]);
  const text = JSON.stringify([changes, drains.map(({ id }) => id)]);
  return createHash('sha256').update(text).digest('hex');
}

const stale = (): PenstockError =>
  new PenstockError('plan_stale', 'What would be done now is not what the plan says', {
    hint: 'Make a new plan (dry_run=true), look at it, and apply that.',
  });

function refuseMany({ connection_profiles = [], connection_tables = [], pipelines = [] }: Bundle): void {
  const count = connection_profiles.length + connection_tables.length + pipelines.length;
  if (count > maxObjects)
    throw invalid('', `has ${count} objects, and ${maxObjects} is the most; make several bundles of it`);
}

function refuseTwice(bundle: Bundle): void {
  for (const kind of ['connection_profiles', 'connection_tables', 'pipelines'] as const) {
    const seen = new Set<string>();
    for (const [index, { name }] of (bundle[kind] ?? []).entries()) {
      if (seen.has(name)) throw invalid(`/${kind}/${index}/name`, 'is there twice');
      seen.add(name);
    }
  }
}

/** What to prune. A selector that is satisfied by what has no labels is refused: it would delete other people's. */
function pruneSelector({ prune }: Bundle): Selector | undefined {
  if (!prune) return undefined;
  const selector = readSelector(prune);
  if (selector && !selector.matches({})) return selector;
  throw invalid('/prune/label_selector', 'has to ask for a label, such as app=overheating');
}

const invalid = (path: string, message: string): PenstockError =>
  new PenstockError('invalid_request', `${path || 'The bundle'} ${message}`, { errors: [{ path, message }] });
