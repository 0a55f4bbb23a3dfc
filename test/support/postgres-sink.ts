import type {
  CheckContext,
  CheckStep,
  Outgoing,
  Refusal,
  RunContext,
  Sink,
} from '../../src/connectors/connector.ts';
import { check } from '../../src/connectors/postgres/check/check.ts';
import type { PostgresProfile } from '../../src/connectors/postgres/config/profile.ts';
import type { PostgresTable } from '../../src/connectors/postgres/config/table.ts';
import { openSink } from '../../src/connectors/postgres/sink/sink.ts';
import type { Row } from '../../src/formats/format.ts';
import type { ConnectionSchema, Field } from '../../src/formats/schema/schema.ts';
import { atEnd } from './at-end.ts';
import { databases, execute, type TestDatabase } from './databases.ts';
import { recordingLogger, recordingWarnings, targets, unique } from './mqtt.ts';

/** Helpers for tests of the PostgreSQL connector. */

export type PostgresContext = RunContext<PostgresProfile, PostgresTable>;

/** A database of the test's own, on the server that all tests share. */
export const emptyDatabase = (): Promise<TestDatabase> => databases[1].create();

export const profileOf = (url: string): PostgresProfile => ({ url, tls: { mode: 'disable' } });

export const postgresContext = (
  profile: PostgresProfile,
  table: PostgresTable,
  fields: Field[],
): PostgresContext & ReturnType<typeof recordingWarnings> => ({
  profile,
  table,
  schema: { fields },
  targets,
  identity: { jobId: `job_${unique()}`, operatorId: 'op', taskIndex: 0 },
  window: 1_000,
  signal: new AbortController().signal,
  logger: recordingLogger(),
  ...recordingWarnings(),
});

const outgoing = (rows: readonly (Row | Deletion)[]): Outgoing[] =>
  rows.map((row) =>
    row instanceof Deletion
      ? { payload: Buffer.alloc(0), row: row.row, deleted: true }
      : { payload: Buffer.alloc(0), row },
  );

/** A row to delete. */
export class Deletion {
  readonly row: Row;

  constructor(row: Row) {
    this.row = row;
  }
}

/** A sink with its database, for tests that look at what it wrote. */
export class WrittenTable {
  readonly context: ReturnType<typeof postgresContext>;
  readonly #url: string;
  #sink: Sink | undefined;

  constructor(url: string, table: PostgresTable, fields: Field[], profile = profileOf(url)) {
    this.#url = url;
    this.context = postgresContext(profile, table, fields);
  }

  async sink(): Promise<Sink> {
    if (this.#sink) return this.#sink;
    const sink = await openSink(this.context);
    atEnd(() => sink.close());
    this.#sink = sink;
    return sink;
  }

  async write(rows: readonly (Row | Deletion)[]): Promise<Refusal[]> {
    return (await this.sink()).write(outgoing(rows));
  }

  /** The refusals as their indexes and SQLSTATEs, or the code of the error if the row never left. */
  async refused(rows: readonly (Row | Deletion)[]): Promise<[number, unknown][]> {
    const refusals = await this.write(rows);
    return refusals.map(({ index, error }) => [index, error.facts.sqlstate ?? error.code]);
  }

  rows(sql = `SELECT * FROM ${this.context.table.table} ORDER BY 1`): Promise<Record<string, unknown>[]> {
    return execute(this.#url, sql);
  }
}

/** Runs a test of a connection and returns its steps by name. */
export async function checked(
  profile: PostgresProfile,
  table?: PostgresTable,
  schema?: ConnectionSchema,
  more: Partial<CheckContext<PostgresProfile, PostgresTable>> = {},
): Promise<Record<string, CheckStep>> {
  const steps: Record<string, CheckStep> = {};
  await check({
    profile,
    table,
    schema,
    targets,
    probe: 'publish',
    stepTimeoutMs: 60_000,
    signal: new AbortController().signal,
    report: (step) => {
      steps[step.name] = step;
    },
    ...more,
  });
  return steps;
}
