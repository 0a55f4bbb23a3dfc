// One PostgreSQL for the whole run: vitest runs this once, before any test file and in a separate process.
import { type Postgres, startPostgres } from './postgres.ts';

const variable = 'PENSTOCK_TEST_POSTGRES';

export async function setup(): Promise<void> {
  try {
    server = await startPostgres();
    process.env[variable] = server.url('postgres');
  } catch (error) {
    // The tests that need it report this; the others run without it.
    process.env[`${variable}_ERROR`] = error instanceof Error ? error.message : String(error);
  }
}

export async function teardown(): Promise<void> {
  await server?.stop();
}

let server: Postgres | undefined;

/** The URL of the database `postgres` of the server that all tests share; each test creates its own databases there. */
export function sharedPostgres(): string {
  const url = process.env[variable];
  if (url === undefined) throw new Error(process.env[`${variable}_ERROR`] ?? `${variable} is not set`);
  return url;
}
