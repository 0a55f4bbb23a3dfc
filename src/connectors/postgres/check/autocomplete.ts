import type { AutocompleteContext } from '../../connector.ts';
import type { PostgresProfile } from '../config/profile.ts';
import { translated } from '../connection/server-errors.ts';
import { openSession } from '../connection/session.ts';

const maxTables = 500;

/** Tables that the role may insert into, written as the field `table` takes them. */
const tablesQuery = `
  SELECT n.nspname AS schema, c.relname AS name, pg_catalog.pg_table_is_visible(c.oid) AS visible
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND pg_catalog.has_any_column_privilege(c.oid, 'INSERT')
  ORDER BY 3 DESC, 1, 2 LIMIT ${maxTables}`;

/** See `autocomplete` in the connector contract. */
export async function autocomplete({
  profile,
  targets,
  signal,
}: AutocompleteContext<PostgresProfile>): Promise<Record<string, string[]>> {
  const session = await openSession({ profile, targets }, signal);
  const abort = () => session.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const { rows } = await session.withinDeadline(5_000, () => session.query(tablesQuery));
    const table = rows.map(({ schema, name, visible }) =>
      visible === true ? plain(String(name)) : `${plain(String(schema))}.${plain(String(name))}`,
    );
    return { table };
  } catch (error) {
    signal.throwIfAborted();
    throw translated(error);
  } finally {
    signal.removeEventListener('abort', abort);
    await session.close();
  }
}

const plain = (name: string): string => (/[".]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name);
