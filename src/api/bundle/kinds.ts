import { isDeepStrictEqual } from 'node:util';
import { noProfile } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { type JsonObject, mask } from '../../security/config-secrets.ts';
import { profileKind } from '../connection-profiles/index.ts';
import { tableKind } from '../connection-tables/index.ts';
import type { Deps } from '../deps.ts';
import type { Change, Kind, ObjectRow } from '../kind.ts';
import { type Selector, selectionOf, selectRows } from '../labels.ts';
import { pipelineKind } from '../pipelines/edit.ts';
import type { Versioned } from '../precondition.ts';
import { newestFirst } from '../schemas.ts';
import type { StagedDefinitions } from '../staged-definitions.ts';
import { type BundleChange, type BundledTable, type Difference, maxObjects } from './wire.ts';

/** A change as the response shows it. */
export interface AppliedChange extends BundleChange {
  /** The version it was compared with; null for a new object. */
  before: Versioned | null;
}
export type PlannedChange = Change<AppliedChange>;

interface BundledKind {
  path: Kind<ObjectRow, { name: string }>['path'];
  /** Creates or replaces the objects with these names. */
  save(items: readonly { name: string }[], staged: StagedDefinitions): Promise<PlannedChange[]>;
  /** Deletes the objects that a selector matches, except those named in `kept`. */
  prune(selector: Selector, kept: ReadonlySet<string>): Promise<PlannedChange[]>;
  /** The ids of selected objects, at most one more than a bundle can hold without a selector. Throws `not_found`. */
  ids(selected: Selected): Promise<string[]>;
  /** The selected objects, by name; as many. */
  export(selected: Selected): Promise<JsonObject[]>;
}

/** Objects with one of these ids or with this name, or all, if a selector matches them. */
interface Selected {
  selector?: Selector | undefined;
  name?: string | undefined;
  ids?: readonly string[];
}

const needsNone = (connector: string): boolean => {
  const { profile, profileOptional = false } = connectorFor(connector);
  return profile === noProfile || profileOptional;
};

/** How an object is written in a bundle, if not as the API has it. */
interface Spelling<Row, Body> {
  toBody(item: object, staged: StagedDefinitions): Promise<Body>;
  fromBody(body: JsonObject, row: Row): JsonObject;
}

export function bundledKinds(deps: Deps): BundledKind[] {
  const sameAsApi = { toBody: async (item: object) => item as never, fromBody: (body: JsonObject) => body };
  return [
    bundled(profileKind(deps), sameAsApi),
    bundled(tableKind(deps), {
      async toBody(item, staged) {
        const { connection_profile: name, ...rest } = item as BundledTable;
        if (name === rest.connector && needsNone(name)) return rest;
        const profile = await staged.profile({ name });
        if (!profile) throw unknownProfile(name);
        return { ...rest, connection_profile_id: profile.id };
      },
      fromBody({ name, connector, connection_profile_id: _id, ...rest }, row) {
        const connection_profile = row.connectionProfile?.name ?? row.connector;
        return { name, connector, connection_profile, ...rest } as JsonObject;
      },
    }),
    bundled(pipelineKind(deps), sameAsApi),
  ];
}

function bundled<Row extends ObjectRow, Body extends { name: string }>(
  kind: Kind<Row, Body>,
  { toBody, fromBody }: Spelling<Row, Body>,
): BundledKind {
  const { path, noun } = kind;
  const masked = (row: Row) => fromBody(kind.toBody(row), row);
  const shown = (row: Row): Shown => ({ masked: masked(row), opened: fromBody(openBody(kind, row), row) });
  const rowsOf = (ids: readonly string[]) =>
    kind.rows({ where: { AND: [{ id: { in: ids } }] }, orderBy: [...newestFirst] });
  const select = async ({ selector, name, ids }: Selected) => {
    if (ids) return (await rowsOf(ids)).toSorted(byName);
    if (name !== undefined) {
      const row = await kind.find({ name });
      if (row && (!selector || selector.matches(JSON.parse(row.labels)))) return [row];
      throw new PenstockError('not_found', `There is no such ${noun} called ${JSON.stringify(name)}`);
    }
    const selection = selector && selectionOf(selector);
    const rows = await selectRows(selection, {}, selector ? undefined : maxObjects + 1, kind);
    return rows.toSorted(byName);
  };
  /** The same change, with a result for the response; errors say which object they are about. */
  const planned = (change: Change<Row>, at: string, name: string, current: Row | null, removes = false) => {
    const before = current && shown(current);
    return {
      ...change,
      async store(tx) {
        const { row, affected = [] } = await inContext(noun, name, at, () => change.store(tx));
        const kept = row.version === current?.version ? 'unchanged' : 'updated';
        const action = removes ? 'deleted' : current ? kept : 'created';
        const diff = before && action === 'updated' ? differences(before, shown(row)) : [];
        return { row: { kind: path, name, action, id: row.id, diff, before: current }, affected };
      },
    } satisfies PlannedChange;
  };
  return {
    path,
    async save(items, staged) {
      const changes: PlannedChange[] = [];
      // A fixed order, so that a plan does not depend on the order in the bundle.
      for (const [index, item] of [...items.entries()].toSorted(([, one], [, other]) => byName(one, other))) {
        const at = `/${path}/${index}`;
        const { name } = item;
        const change = await inContext(noun, name, at, async () => {
          const current = await kind.find({ name });
          const body = await toBody(item, staged);
          return planned(await kind.save(body, current ?? undefined, staged), at, name, current);
        });
        changes.push(change);
      }
      return changes;
    },
    async prune(selector, kept) {
      const rows = (await select({ selector })).filter(({ name }) => !kept.has(name));
      const changes: PlannedChange[] = [];
      for (const row of rows)
        changes.push(
          await inContext(noun, row.name, '/prune', async () =>
            planned(kind.remove(row), '/prune', row.name, row, true),
          ),
        );
      return changes;
    },
    ids: async (selected) => (await select(selected)).map(({ id }) => id),
    export: async (selected) => (await select(selected)).map((row) => withoutEmpty(masked(row))),
  };
}

/** With secrets. If their key is gone they stay sealed: then whatever replaces them counts as changed. */
function openBody<Row extends ObjectRow>(kind: Kind<Row, never>, row: Row): JsonObject {
  try {
    return kind.toOpenBody(row);
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code !== 'secret_unreadable') throw error;
    return kind.toBody(row);
  }
}

/** Names the object in errors, and moves their paths below `at`. */
async function inContext<T>(noun: string, name: string, at: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (!(error instanceof PenstockError) || error.code === 'internal') throw error;
    const { message, hint, facts, cause } = error;
    const errors = error.errors.map(({ path, message: what }) => ({ path: `${at}${path}`, message: what }));
    const details = { facts, cause, errors: errors.length > 0 ? errors : [{ path: at, message }] };
    throw new PenstockError(error, `The ${noun} ${name}: ${message}`, hint ? { ...details, hint } : details);
  }
}

const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1);

/** Leaves out fields that mean the same when they are absent. */
const withoutEmpty = (object: JsonObject): JsonObject =>
  Object.fromEntries(
    Object.entries(object).filter(
      ([name, value]) =>
        !(['labels', 'tags'].includes(name) && Object.keys(value as JsonObject).length === 0),
    ),
  );

function unknownProfile(name: string): PenstockError {
  const message = `names no connection profile: ${JSON.stringify(name)} is neither stored nor in the bundle`;
  return new PenstockError('invalid_request', `/connection_profile ${message}`, {
    errors: [{ path: '/connection_profile', message }],
  });
}

type DiffValue = JsonObject[string];

interface Shown {
  masked: JsonObject;
  opened: JsonObject;
}

/**
 * Returns the differences down to single values; lists are compared as a whole. Open values are compared and masked
 * values are shown: of a secret, only that it changes.
 */
function differences(before: Shown, after: Shown): Difference[] {
  return changedPaths(before.opened, after.opened, []).map((names) => {
    const path = names.map((name) => `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
    const [was, is] = [valueAt(before.masked, names), valueAt(after.masked, names)];
    if (was === mask || is === mask || isDeepStrictEqual(was, is)) return { path, secret: 'changed' };
    return { path, ...(was !== undefined && { before: was }), ...(is !== undefined && { after: is }) };
  });
}

function changedPaths(before: DiffValue | undefined, after: DiffValue | undefined, at: string[]): string[][] {
  if (isDeepStrictEqual(before, after)) return [];
  if (!isObject(before) || !isObject(after)) return [at];
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
  return names.flatMap((name) => changedPaths(own(before, name), own(after, name), [...at, name]));
}

const valueAt = (object: JsonObject, names: string[]): DiffValue | undefined =>
  names.reduce<DiffValue | undefined>((at, name) => (isObject(at) ? own(at, name) : undefined), object);

const own = (object: JsonObject, name: string): DiffValue | undefined =>
  Object.hasOwn(object, name) ? object[name] : undefined;

const isObject = (value: DiffValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
