import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { postgresErrors } from './config/errors.ts';
import { describe, PostgresProfile, validateProfile } from './config/profile.ts';
import { columnsOf, isIdempotent, keyOf, modeOf, PostgresTable, validateTable } from './config/table.ts';

/** PostgreSQL 12 and later, and what speaks its protocol: rows of a pipeline become rows of a table. */
export const postgres = defineConnector({
  id: 'postgres',
  name: 'PostgreSQL',
  description: 'Write rows to a table of a PostgreSQL database',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: PostgresProfile,
  table: PostgresTable,
  errors: postgresErrors,
  metadata: [],
  validateProfile,
  validateTable,
  columnsOf,
  describe,
  direction: () => 'sink',
  takesRows: () => true,
  deletesBy: (table) => (modeOf(table) === 'upsert' ? keyOf(table) : undefined),
  holds: () => 5_000,
  idempotent: { when: 'mode is upsert, or insert_ignore with a key', holds: isIdempotent },
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./check/autocomplete.ts')).autocomplete(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
});
