import { testCheck } from '../../../test/support/connector-conformance/check.ts';
import { testSink } from '../../../test/support/connector-conformance/sink.ts';
import { execute } from '../../../test/support/databases.ts';
import { FaultyLink } from '../../../test/support/faulty-link.ts';
import {
  emptyDatabase,
  type PostgresContext,
  postgresContext,
  profileOf,
} from '../../../test/support/postgres-sink.ts';
import type { Field } from '../../formats/schema/schema.ts';
import { postgres } from './index.ts';

const { url } = await emptyDatabase();
const { port: databasePort } = new URL(url);
const fields: Field[] = [{ name: 'text', type: 'string' }];
await execute(url, `CREATE TABLE ready (n bigserial, text text CHECK (text <> 'bad'))`);

let made = 0;
const seen = new Map<string, string[]>();

/** The suite sends payloads: here they are the text of the row. */
const connector: typeof postgres = {
  ...postgres,
  async openSink(context) {
    const sink = await postgres.openSink?.(context);
    const name = context.table.table;
    return {
      async write(messages) {
        const texts = messages.map(({ payload, row }) => String(row.text ?? payload));
        const refusals = await sink?.write(
          messages.map(({ payload }, index) => ({ payload, row: { text: texts[index] as string } })),
        );
        const rows = await execute(url, `SELECT text FROM ${name} ORDER BY n`).catch(() => []);
        const found = rows.map(({ text }) => String(text));
        // Of two calls the one that saw less may be the last to know.
        if (found.length >= (seen.get(name)?.length ?? 0)) seen.set(name, found);
        return refusals ?? [];
      },
      close: async () => sink?.close(),
    };
  },
};

/** One table for each context. */
await execute(
  url,
  Array.from({ length: 40 }, (_, nth) => `CREATE TABLE c${nth + 1} (LIKE ready INCLUDING ALL)`).join(';'),
);

const context = (at = url): PostgresContext => {
  made += 1;
  return postgresContext(profileOf(at), { table: `c${made}` }, fields);
};

testSink({
  connector,
  dials: true,
  context: () => context(),
  written: ({ table }) => seen.get((table as { table: string }).table) ?? [],
  refused: { message: { payload: Buffer.alloc(0), row: { text: 'bad' } }, code: 'postgres_row_refused' },
  async breakable() {
    const link = await FaultyLink.start(Number(databasePort), () => () => {});
    const { port } = new URL(link.url);
    return { context: context(url.replace(`:${databasePort}/`, `:${port}/`)), cut: () => link.cut() };
  },
  async stalled() {
    await execute(url, 'CREATE TABLE IF NOT EXISTS stalls (n int)');
    const own = context();
    const { table } = own.table;
    await execute(
      url,
      `CREATE FUNCTION stall_${table}() RETURNS trigger LANGUAGE plpgsql AS
         'BEGIN PERFORM pg_sleep(5); RETURN NEW; END';
       CREATE TRIGGER stall BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION stall_${table}()`,
    );
    return { context: own, sent: () => 1 };
  },
});

testCheck({
  connector: postgres,
  dials: true,
  context: () => ({ ...context(), table: { table: 'ready' } }),
  async traces() {
    const [row] = await execute(
      url,
      `SELECT (SELECT count(*) FROM ready) AS rows, (SELECT last_value FROM ready_n_seq) AS sequence,
         (SELECT count(*) FROM pg_locks WHERE relation = 'ready'::regclass) AS locks,
         (SELECT count(*) FROM pg_class) AS objects`,
    );
    return row;
  },
});
