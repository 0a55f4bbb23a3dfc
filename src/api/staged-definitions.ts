import type { Definitions } from '../definitions/catalog.ts';
import type { Db } from '../store/db.ts';
import type { Named } from './schemas.ts';
import type { ReadSet } from './write.ts';

const include = { connectionProfile: true } as const;
const findTable = (db: Db, name: string) => db.connectionTable.findUnique({ where: { name }, include });
type StagedTable = NonNullable<Awaited<ReturnType<typeof findTable>>>;
export type ProfileRow = NonNullable<StagedTable['connectionProfile']>;

/**
 * The stored definitions, overlaid with profiles and tables that are not stored yet. A changed row keeps its id and
 * version; a new one has version 0. Rows whose change matters to no query need not be staged.
 */
export class StagedDefinitions {
  readonly profiles = new Map<string, ProfileRow>();
  readonly tables = new Map<string, StagedTable>();
  /** Whether the change may lose states of jobs. */
  readonly discardState: boolean;
  readonly #db: Db;

  constructor(db: Db, discardState = false) {
    this.#db = db;
    this.discardState = discardState;
  }

  async profile(where: Named): Promise<ProfileRow | null> {
    const staged = 'id' in where ? this.profiles.get(where.id) : named(this.profiles, where.name);
    if (staged) return staged;
    const row = await this.#db.connectionProfile.findUnique({ where });
    return row && this.profiles.has(row.id) ? null : row;
  }

  async table(name: string): Promise<StagedTable | null> {
    const staged = named(this.tables, name);
    const found = staged ?? (await findTable(this.#db, name));
    // A staged table is not found under its old name.
    if (!found || (!staged && this.tables.has(found.id))) return null;
    const { connectionProfile } = found;
    const profile = connectionProfile && (this.profiles.get(connectionProfile.id) ?? connectionProfile);
    return { ...found, connectionProfile: profile };
  }

  async tableNames(): Promise<string[]> {
    const rows = await this.#db.connectionTable.findMany({ select: { id: true, name: true } });
    const stored = rows.filter(({ id }) => !this.tables.has(id));
    return [...stored, ...this.tables.values()].map(({ name }) => name);
  }
}

const named = <T extends { name: string }>(rows: ReadonlyMap<string, T>, name: string): T | undefined =>
  rows.values().find((row) => row.name === name);

/** Staged definitions for the compilation of one query; records which rows the query depends on. */
export class QueryDefinitions implements Definitions, ReadSet {
  readonly profiles = new Map<string, number>();
  readonly tables = new Map<string, number>();
  readonly named = new Set<string>();
  readonly #staged: StagedDefinitions;

  constructor(staged: StagedDefinitions) {
    this.#staged = staged;
  }

  async tableNamed(name: string): Promise<StagedTable | null> {
    const table = await this.#staged.table(name);
    if (table) this.tables.set(table.id, table.version);
    const profile = table?.connectionProfile;
    if (profile) this.profiles.set(profile.id, profile.version);
    return table;
  }

  tableNames(): Promise<string[]> {
    return this.#staged.tableNames();
  }

  async profileNamed(name: string): Promise<ProfileRow | null> {
    const profile = await this.#staged.profile({ name });
    if (profile) {
      this.profiles.set(profile.id, profile.version);
      this.named.add(profile.id);
    }
    return profile;
  }
}
