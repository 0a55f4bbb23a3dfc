import { createHash } from 'node:crypto';
import { PenstockError } from '../../errors.ts';
import type { AffectedPipelines } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import { writeObjects } from '../kind.ts';
import { readSelector, type Selector } from '../labels.ts';
import { type AppliedChange, bundledKinds, type PlannedChange } from './kinds.ts';
import { type Applied, type Bundle, maxObjects } from './wire.ts';

interface Options {
  dryRun: boolean;
  /** The hash of a plan: anything else is refused. */
  plan: string | undefined;
}

/** Limit of the transaction, which blocks writers of the same objects, and on SQLite all writers. */
const transactionMs = 30_000;

/**
 * Makes everything as the bundle says, or changes nothing. Each object is checked against the definitions as the
 * objects before it leave them. Users of a changed profile or table are checked against the whole bundle, so a table
 * and the query that reads it can change together.
 *
 * Throws what a single write throws, with paths into the bundle; `plan_stale`; and, for objects to prune that are still
 * used or still run, what deleting them throws.
 */
export async function applyBundle(deps: Deps, bundle: Bundle, options: Options): Promise<Applied> {
  refuseTooMany(bundle);
  refuseDuplicates(bundle);
  const selector = pruneSelector(bundle);
  const { dryRun } = options;
  const write = { dryRun, byName: true, timeoutMs: transactionMs };
  return writeObjects<AppliedChange, Applied>(deps, write, async (staged) => {
    const kinds = bundledKinds(deps);
    const changes: PlannedChange[] = [];
    for (const kind of kinds) changes.push(...(await kind.save(bundle[kind.path] ?? [], staged)));
    if (selector)
      for (const kind of kinds.toReversed()) {
        const kept = new Set((bundle[kind.path] ?? []).map(({ name }) => name));
        changes.push(...(await kind.prune(selector, kept)));
      }
    return { changes, finish: (applied, affected) => resultOf(applied, affected, options) };
  });
}

function resultOf(applied: AppliedChange[], affected: AffectedPipelines, { dryRun, plan }: Options): Applied {
  const affected_pipelines = affected.toSorted(byName);
  const hash = hashOf(applied, affected_pipelines);
  if (plan !== undefined && plan !== hash)
    throw new PenstockError('plan_stale', 'The plan is out of date', {
      hint: 'Make a new plan (dry_run=true), review it, and apply that one.',
    });
  const changes = applied.map(({ kind, name, action, id, diff }) => ({
    kind,
    name,
    action,
    id: dryRun && action === 'created' ? null : id,
    diff,
  }));
  const summary = { created: 0, updated: 0, unchanged: 0, deleted: 0 };
  for (const { action } of applied) summary[action] += 1;
  return { plan: hash, applied: !dryRun, summary, changes, affected_pipelines };
}

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

/** The identity of a plan. It omits secrets, because a reader of the hash could guess short ones. */
function hashOf(applied: AppliedChange[], affected: AffectedPipelines): string {
  const changes = applied.map(({ kind, name, action, before, diff }) => [
    kind,
    name,
    action,
    before ? [before.id, before.version] : null,
    diff,
  ]);
  const text = JSON.stringify([changes, affected.map(({ id }) => id)]);
  return createHash('sha256').update(text).digest('hex');
}

function refuseTooMany({ connection_profiles = [], connection_tables = [], pipelines = [] }: Bundle): void {
  const count = connection_profiles.length + connection_tables.length + pipelines.length;
  if (count > maxObjects)
    throw invalid('', `has ${count} objects; the maximum is ${maxObjects}. Split it into several bundles`);
}

function refuseDuplicates(bundle: Bundle): void {
  for (const kind of ['connection_profiles', 'connection_tables', 'pipelines'] as const) {
    const seen = new Set<string>();
    for (const [index, { name }] of (bundle[kind] ?? []).entries()) {
      if (seen.has(name)) throw invalid(`/${kind}/${index}/name`, 'is a duplicate');
      seen.add(name);
    }
  }
}

/** Refuses a selector that matches objects without labels: it would delete other people's. */
function pruneSelector({ prune }: Bundle): Selector | undefined {
  if (!prune) return undefined;
  const selector = readSelector(prune);
  if (selector && !selector.matches({})) return selector;
  throw invalid('/prune/label_selector', 'must require a label, such as app=overheating');
}

const invalid = (path: string, message: string): PenstockError =>
  new PenstockError('invalid_request', `${path || 'The bundle'} ${message}`, { errors: [{ path, message }] });
