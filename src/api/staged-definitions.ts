import type { Definitions } from '../definitions/catalog.ts';
import type { Db } from '../store/db.ts';
import type { Basis } from './write.ts';

const withProfile = { connectionProfile: true } as const;
type TableRow = NonNullable<Awaited<ReturnType<typeof findTable>>>;
type ProfileRow = NonNullable<TableRow['connectionProfile']>;

const findTable = (db: Db, name: string) =>
  db.connectionTable.findUnique({ where: { name }, include: withProfile });

/** A profile or a table as it would be stored. It keeps its id, and its version until it is. */
export interface Change {
  profile?: ProfileRow;
  table?: TableRow;
}

/**
 * The stored definitions with a change that is not stored yet. It remembers what a query asked it for, so that one
 * overlay is for one query.
 */
export class Overlay implements Definitions, Basis {
  readonly profiles = new Map<string, number>();
  readonly tables = new Map<string, number>();
  /** The ids of the profiles that the query names itself. */
  readonly named = new Set<string>();
  readonly #db: Db;
  readonly #change: Change;

  constructor(db: Db, change: Change = {}) {
    this.#db = db;
    this.#change = change;
  }

  async tableNamed(name: string): Promise<TableRow | null> {
    const changed = this.#change.table;
    const found = changed?.name === name ? changed : await findTable(this.#db, name);
    // Under its old name.
    if (!found || (found !== changed && found.id === changed?.id)) return null;
    this.tables.set(found.id, found.version);
    const connectionProfile = found.connectionProfile && this.#asChanged(found.connectionProfile);
    if (connectionProfile) this.profiles.set(connectionProfile.id, connectionProfile.version);
    return { ...found, connectionProfile };
  }

  async tableNames(): Promise<string[]> {
    const rows = await this.#db.connectionTable.findMany({ select: { id: true, name: true } });
    const { table } = this.#change;
    return rows.map(({ id, name }) => (id === table?.id ? table.name : name));
  }

  async profileNamed(name: string): Promise<ProfileRow | null> {
    const row = await this.#db.connectionProfile.findUnique({ where: { name } });
    if (!row) return null;
    this.profiles.set(row.id, row.version);
    this.named.add(row.id);
    return this.#asChanged(row);
  }

  #asChanged(row: ProfileRow): ProfileRow {
    const { profile } = this.#change;
    return profile?.id === row.id ? profile : row;
  }
}
