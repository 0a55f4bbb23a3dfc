import { noProfile } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import type { Tx } from '../../store/db.ts';
import { profileKind } from '../connection-profiles/edit.ts';
import { tableKind } from '../connection-tables/edit.ts';
import { include } from '../connection-tables/wire.ts';
import type { Approve, Drains } from '../dependents.ts';
import type { Deps } from '../deps.ts';
import type { Kind } from '../kind.ts';
import { type ListQuery, type Selector, selectRows } from '../labels.ts';
import { pipelineKind } from '../pipelines/edit.ts';
import type { Versioned } from '../precondition.ts';
import { differences, type Shown } from './diff.ts';
import { type BundledTable, type Change, maxObjects } from './wire.ts';

/** One kind of object as bundles have it. */
export interface Part {
  path: Kind<Versioned, { name: string }>['path'];
  /** Creates or replaces the object of that name. */
  save(tx: Tx, item: { name: string }): Promise<Done>;
  /** Deletes what a selector wants and `kept` does not name. */
  prune(tx: Tx, selector: Selector, kept: ReadonlySet<string>): Promise<Done[]>;
  /** The objects that a selector wants, by name; one more than there may be, when there are more. */
  export(selector: Selector | undefined): Promise<JsonObject[]>;
}

/** A change, what it was compared with, and what it means for jobs. */
export interface Done extends Change {
  /** Null for what is created. */
  before: Versioned | null;
  drains: Drains;
  /** Whether a worker has to look at it. */
  forWorker: boolean;
}

type Row = Versioned & { name: string; createdAt: bigint; labels: string };

/** How a kind is written in bundles. */
interface Spelling<R, Body> {
  toBody(item: { name: string }): Promise<Body>;
  masked(row: R): JsonObject;
  /** The same with its secrets. */
  opened(row: R): JsonObject;
  rows(query: ListQuery): Promise<R[]>;
}

/** The kinds in the order in which they refer to each other. `approve` is asked about changes of profiles and tables. */
export function partsOf(deps: Deps, approve?: Approve): [Part, Part, Part] {
  const { db, catalog } = deps;
  const profiles = profileKind(deps, approve);
  const tables = tableKind(deps, approve);
  const pipelines = pipelineKind(deps);
  const table = (row: Parameters<typeof tables.toBody>[0]): JsonObject => {
    const { name, connector, connection_profile_id: _id, ...rest } = tables.toBody(row);
    return {
      name: row.name,
      connector: row.connector,
      connection_profile: row.connectionProfile?.name ?? row.connector,
      ...rest,
    };
  };
  return [
    part(profiles, {
      toBody: async (item) => item as never,
      masked: (row) => profiles.toBody(row),
      opened: (row) => ({ ...profiles.toBody(row), config: catalog.profile(row) }),
      rows: (query) => db.connectionProfile.findMany(query),
    }),
    part(tables, {
      toBody: async (item) => {
        const { connection_profile: name, ...rest } = item as BundledTable;
        if (name === rest.connector && connectorFor(name).profile === noProfile) return rest;
        const profile = await db.connectionProfile.findUnique({ where: { name } });
        if (!profile) throw unknownProfile(name);
        return { ...rest, connection_profile_id: profile.id };
      },
      masked: table,
      opened: table,
      rows: (query) => db.connectionTable.findMany({ ...query, include }),
    }),
    part(pipelines, {
      toBody: async (item) => item as never,
      masked: (row) => pipelines.toBody(row),
      opened: (row) => ({ ...pipelines.toBody(row), query: catalog.query(row) }),
      rows: async (query) => {
        const rows = await db.pipeline.findMany({ ...query, include: { job: true } });
        return rows.flatMap((row) => (row.job ? [{ ...row, job: row.job }] : []));
      },
    }),
  ];
}

function part<R extends Row, Body extends { name: string }>(
  kind: Kind<R, Body>,
  { toBody, masked, opened, rows }: Spelling<R, Body>,
): Part {
  const { path, noun } = kind;
  const select = (selector: Selector | undefined) =>
    selectRows(selector, {}, selector ? undefined : maxObjects + 1, rows);
  return {
    path,
    save: async (tx, item) => {
      const current = await kind.find({ name: item.name });
      const before = current && shown(current, masked, opened);
      const store = await kind.save(await toBody(item), current ?? undefined, undefined);
      const { row, drains, forWorker } = await store(tx);
      const action = !current ? 'created' : row.version === current.version ? 'unchanged' : 'updated';
      const diff = before && action === 'updated' ? differences(before, shown(row, masked, opened)) : [];
      return { kind: path, name: item.name, action, id: row.id, diff, before: current, drains, forWorker };
    },
    prune: async (tx, selector, kept) => {
      const done: Done[] = [];
      for (const row of byName(await select(selector))) {
        if (kept.has(row.name)) continue;
        await named(noun, row.name, '/prune', async () => (await kind.remove(row))(tx));
        const { id, name } = row;
        done.push({
          kind: path,
          name,
          action: 'deleted',
          id,
          diff: [],
          before: row,
          drains: [],
          forWorker: true,
        });
      }
      return done;
    },
    export: async (selector) => byName(await select(selector)).map((row) => withoutEmpty(masked(row))),
  };
}

function shown<R>(row: R, masked: (row: R) => JsonObject, opened: (row: R) => JsonObject): Shown {
  try {
    return { masked: masked(row), opened: opened(row) };
  } catch (error) {
    // Sealed with a key that is gone: whatever stands there now counts as another one.
    if (!(error instanceof PenstockError) || error.code !== 'secret_unreadable') throw error;
    return { masked: masked(row), opened: masked(row) };
  }
}

/** Says of a refusal which object it is about; its paths are moved below `at`. */
export async function named<T>(noun: string, name: string, at: string, run: () => Promise<T>): Promise<T> {
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

const byName = <R extends { name: string }>(rows: R[]): R[] =>
  rows.toSorted((one, other) => (one.name < other.name ? -1 : 1));

/** Without the fields that mean the same when they are left out. */
const withoutEmpty = (object: JsonObject): JsonObject =>
  Object.fromEntries(
    Object.entries(object).filter(
      ([name, value]) =>
        !(['labels', 'tags'].includes(name) && Object.keys(value as JsonObject).length === 0),
    ),
  );

function unknownProfile(name: string): PenstockError {
  const message = `names no connection profile: there is no ${JSON.stringify(name)}, nor is one in the bundle`;
  return new PenstockError('invalid_request', `/connection_profile ${message}`, {
    errors: [{ path: '/connection_profile', message }],
  });
}
