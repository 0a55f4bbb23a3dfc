import pg from 'pg';
import { startPostgres } from '../test/support/postgres.ts';
import type { Child } from './child.ts';
import { startPenstock, startRole } from './penstock.ts';
import { cpuMicros, familyMicros, parentOf } from './proc.ts';
import type { Rig } from './rig.ts';

/** Time for a process to hand over what it runs. */
const stopMs = 40_000;

interface FleetOptions {
  /** Folder of the sources of another build; undefined for this one. */
  checkout: string | undefined;
  workers: number;
  settings: Record<string, string>;
}

/** A PostgreSQL of its own that counts its statements, an API and worker processes on it. */
export class Fleet {
  readonly rig: Rig;
  /** A connection to the database of Penstock. */
  readonly database: pg.Client;
  /** A connection to another database of the same server. Its statements are not counted. */
  readonly #outside: pg.Client;
  readonly #options: FleetOptions;
  readonly #serverPid: number;
  #workers: Child[] = [];
  #api: Child | undefined;
  #stopped = false;
  address = '';

  private constructor(
    rig: Rig,
    clients: { database: pg.Client; outside: pg.Client; serverPid: number },
    options: FleetOptions,
  ) {
    this.rig = rig;
    this.database = clients.database;
    this.#outside = clients.outside;
    this.#serverPid = clients.serverPid;
    this.#options = options;
  }

  /** Throws if the extension pg_stat_statements is not installed. */
  static async create(rig: Rig, options: FleetOptions): Promise<Fleet> {
    const server = await startPostgres({
      settings: { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.max': '10000' },
    }).catch((cause: unknown) => {
      throw new Error('PostgreSQL did not start with pg_stat_statements: install postgresql-contrib', {
        cause,
      });
    });
    rig.defer(() => server.stop());
    const outside = await connect(server.url('postgres'), rig);
    await outside.query('CREATE EXTENSION pg_stat_statements');
    await outside.query('CREATE DATABASE penstock');
    const database = await connect(server.url('penstock'), rig);
    const { rows } = await outside.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const serverPid = parentOf(rows[0]?.pid ?? 0);
    const settings = {
      PENSTOCK_RATE_LIMIT: '1000000',
      PENSTOCK_DATABASE_URL: server.url('penstock'),
      ...options.settings,
    };
    return new Fleet(rig, { database, outside, serverPid }, { ...options, settings });
  }

  async startApi(): Promise<void> {
    const { checkout, settings } = this.#options;
    const { child, address } = await startPenstock(this.rig, settings, checkout, 'api');
    this.#api = child;
    this.address = address;
  }

  startWorkers(): void {
    const { workers, ...options } = this.#options;
    this.#stopped = false;
    this.#workers = Array.from({ length: workers }, () => startRole(this.rig, 'worker', options));
  }

  /** Asks all processes to end at the same time. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(
      [...this.#workers, ...(this.#api ? [this.#api] : [])].map((child) => child.stop(stopMs)),
    );
  }

  async forgetStatements(): Promise<void> {
    await this.#outside.query('SELECT pg_stat_statements_reset()');
  }

  /** The statements since `forgetStatements`, the most frequent first. */
  async statements(): Promise<Statement[]> {
    const { rows } = await this.#outside.query<Statement>(
      `SELECT sum(calls)::float8 AS calls, sum(total_exec_time)::float8 AS ms, sum(rows)::float8 AS rows,
         left(regexp_replace(query, '\\s+', ' ', 'g'), 2000) AS text
       FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = 'penstock')
       GROUP BY 4 ORDER BY 1 DESC`,
    );
    return rows;
  }

  /** Number of tasks that each worker runs. */
  async tasks(): Promise<number[]> {
    const { rows } = await this.database.query<{ count: number }>(
      `SELECT count("Task".id)::int AS count FROM "Worker" LEFT JOIN "Task" ON "Task".worker = "Worker".id GROUP BY "Worker".id`,
    );
    return rows.map(({ count }) => count);
  }

  async connections(): Promise<number> {
    const { rows } = await this.#outside.query<{ count: number }>(
      "SELECT count(*)::int - 1 AS count FROM pg_stat_activity WHERE datname = 'penstock'",
    );
    return rows[0]?.count ?? 0;
  }

  /** CPU time so far, in microseconds. */
  cpu(): { postgres: number; workers: number } {
    const workers = this.#stopped ? 0 : this.#workers.reduce((sum, { pid }) => sum + cpuMicros(pid), 0);
    return { postgres: familyMicros(this.#serverPid), workers };
  }

  get workerPids(): number[] {
    return this.#workers.map(({ pid }) => pid);
  }
}

export interface Statement {
  calls: number;
  ms: number;
  rows: number;
  text: string;
}

async function connect(url: string, rig: Rig): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', (error) => rig.fail(error));
  await client.connect();
  rig.defer(() => client.end());
  return client;
}
