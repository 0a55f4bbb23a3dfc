import { describe, expect, test } from 'vitest';
import { execute } from '../../../../test/support/databases.ts';
import { Deletion, emptyDatabase, profileOf, WrittenTable } from '../../../../test/support/postgres-sink.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import type { PostgresTable } from '../config/table.ts';

const { url } = await emptyDatabase();
const sql = (text: string) => execute(url, text);

const fields: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'text', type: 'string' },
];
const row = (id: number, text: string | null = `t${id}`) => ({ id: BigInt(id), text });
const some = (count: number, first = 0) => Array.from({ length: count }, (_, index) => row(first + index));

let made = 0;
/** A new table, and a sink for it. */
async function table(columns: string, config: object = {}, own: Field[] = fields) {
  made += 1;
  const name = `t${made}`;
  if (columns !== '') await sql(`CREATE TABLE ${name} (${columns})`);
  return new WrittenTable(url, { table: name, ...config }, own);
}

describe.each([
  ['append', { mode: 'append' }],
  ['upsert', { mode: 'upsert', key: ['id'] }],
  ['insert_ignore', { mode: 'insert_ignore', key: ['id'] }],
] as const)('%s', (_, { ...config }) => {
  test('writes everything but the rows that a constraint refuses', async () => {
    const written = await table(`id bigint PRIMARY KEY, text text CHECK (text <> 'bad')`, config);
    const rows = some(500).map((one, index) => (index % 50 === 7 ? { ...one, text: 'bad' } : one));
    expect(await written.refused(rows)).toEqual([...Array(10).keys()].map((nth) => [nth * 50 + 7, '23514']));
    expect((await written.rows()).length).toBe(490);
  });

  test('refuses each bad row for its own reason, without its values', async () => {
    await sql(`CREATE TABLE parents_${config.mode} (id bigint PRIMARY KEY)`);
    const written = await table(
      `id bigint PRIMARY KEY, text varchar(8) NOT NULL CHECK (text <> 'bad'),
       small smallint, parent bigint REFERENCES parents_${config.mode}, half int GENERATED ALWAYS AS (10 / small) STORED`,
      config,
      [...fields, { name: 'small', type: 'int32' }, { name: 'parent', type: 'int64' }],
    );
    const good = { ...row(1), small: 1, parent: null };
    const bad = [
      { ...good, id: 2n, text: null },
      { ...good, id: 3n, text: 'bad' },
      { ...good, id: 4n, text: 'much too long' },
      { ...good, id: 5n, text: 'nul \0' },
      { ...good, id: 6n, small: 40_000 },
      { ...good, id: 7n, parent: 5n },
      { ...good, id: 8n, small: 0 },
      { ...good, id: null },
      { ...good, id: 10n, text: '\ud800' },
    ];
    const mixed = bad.flatMap((one, index) => [one, { ...good, id: BigInt(100 + index) }]);
    expect(await written.refused(mixed)).toEqual(
      ['23502', '23514', 'bad_row', 'bad_row', 'bad_row', '23503', '22012', '23502', 'bad_row'].map(
        (code, index) => [2 * index, code],
      ),
    );
    expect((await written.rows()).length).toBe(bad.length);
    const refusals = await written.write(bad);
    for (const { error } of refusals) {
      expect(error.passing).toBe(false);
      expect(`${error.message} ${error.hint} ${JSON.stringify(error.facts)} ${error.cause}`).not.toMatch(
        /much too|40000|nul|\(5\)/,
      );
    }
  });

  test('finds deferred constraints and the errors of triggers, too', async () => {
    const written = await table(
      'id bigint PRIMARY KEY, text text UNIQUE DEFERRABLE INITIALLY DEFERRED',
      config,
    );
    await sql(`CREATE FUNCTION refuse_${config.mode}() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN IF NEW.text = ''no'' THEN RAISE EXCEPTION ''secret %'', NEW.text; END IF; RETURN NEW; END';
      CREATE TRIGGER refuse BEFORE INSERT ON ${written.context.table.table}
      FOR EACH ROW EXECUTE FUNCTION refuse_${config.mode}()`);
    const rows = [row(1), row(2, 't1'), row(3), row(4, 'no'), row(5)];
    expect(await written.refused(rows)).toEqual([
      [1, '23505'],
      [3, 'P0001'],
    ]);
    expect((await written.rows()).map(({ id }) => id)).toEqual(['1', '3', '5']);
  });
});

test('append keeps duplicates, upsert the last, insert_ignore the first', async () => {
  const rows = [row(1, 'a'), row(2, 'b'), row(1, 'c'), row(2, 'd')];
  const append = await table('id bigint, text text');
  expect(await append.write([...rows, ...rows])).toEqual([]);
  expect((await append.rows()).length).toBe(8);
  const texts = async (written: WrittenTable) => (await written.rows()).map(({ text }) => text);
  const upsert = await table('id bigint PRIMARY KEY, text text', { mode: 'upsert', key: ['id'] });
  expect(await upsert.write(rows)).toEqual([]);
  expect(await texts(upsert)).toEqual(['c', 'd']);
  expect(await upsert.write([row(1, 'e')])).toEqual([]);
  expect(await texts(upsert)).toEqual(['e', 'd']);
  const ignore = await table('id bigint PRIMARY KEY, text text', { mode: 'insert_ignore', key: ['id'] });
  expect(await ignore.write(rows)).toEqual([]);
  expect(await ignore.write([row(1, 'e')])).toEqual([]);
  expect(await texts(ignore)).toEqual(['a', 'b']);
  const any = await table('id bigint UNIQUE, text text UNIQUE', { mode: 'insert_ignore' });
  expect(await any.write([...rows, row(3, 'a'), row(4, 'z')])).toEqual([]);
  expect(await texts(any)).toEqual(['a', 'b', 'z']);
});

test('a refused row replaces no earlier one of its batch', async () => {
  const written = await table(`id bigint PRIMARY KEY, text text CHECK (text NOT LIKE 'bad%')`, {
    mode: 'upsert',
    key: ['id'],
  });
  const rows = [row(1, 'good'), row(1, 'bad'), row(1, 'bad too'), row(2, 'bad'), row(2, 'good'), row(3)];
  expect(await written.refused(rows)).toEqual([
    [1, '23514'],
    [2, '23514'],
  ]);
  expect((await written.rows()).map(({ text }) => text)).toEqual(['good', 'good', 't3']);
});

test('keys that only the database finds equal end in the last row', async () => {
  await sql(`CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
  const written = await table(
    'id text COLLATE loose PRIMARY KEY, text text',
    { mode: 'upsert', key: ['id'] },
    [
      { name: 'id', type: 'string' },
      { name: 'text', type: 'string' },
    ],
  );
  const rows = ['b', 'a', 'B', 'A', 'b'].map((id, index) => ({ id, text: String(index) }));
  expect(await written.write(rows)).toEqual([]);
  expect((await written.rows(`SELECT text FROM t${made} ORDER BY text`)).map(({ text }) => text)).toEqual([
    '3',
    '4',
  ]);
});

test('calls that overlap share transactions, in order', async () => {
  const written = await table('id bigserial, text text, xid xid8 DEFAULT pg_current_xact_id()', {}, [
    { name: 'text', type: 'string' },
  ]);
  const sink = await written.sink();
  const calls = Array.from({ length: 200 }, (_, nth) =>
    sink.write([{ payload: Buffer.alloc(0), row: { text: String(nth) } }]),
  );
  await Promise.all(calls);
  const rows = await written.rows();
  expect(rows.map(({ text }) => text)).toEqual(calls.map((_, nth) => String(nth)));
  expect(new Set(rows.map(({ xid }) => xid)).size).toBeLessThan(20);
});

test('takes names as they are, and maps fields to columns', async () => {
  await sql(`CREATE SCHEMA "My.Schema"; CREATE TABLE "My.Schema"."T ""1""" ("Ä b" bigint, "select" text)`);
  const config = { table: '"My.Schema"."T ""1"""', columns: { id: 'Ä b', text: 'select' } };
  const written = new WrittenTable(url, config, fields);
  expect(await written.write([row(1)])).toEqual([]);
  expect(await written.rows()).toEqual([{ 'Ä b': '1', select: 't1' }]);
});

test('creates the table if it is missing, in several tasks at once', async () => {
  const config: PostgresTable = { table: 'made', mode: 'upsert', key: ['id'], create_table: 'if_missing' };
  const tasks = Array.from({ length: 3 }, () => new WrittenTable(url, config, fields));
  await Promise.all(tasks.map((task) => task.write([row(1), row(2)])));
  expect(await (tasks[0] as WrittenTable).rows()).toEqual([
    { id: '1', text: 't1' },
    { id: '2', text: 't2' },
  ]);
});

test('makes a hypertable if the database has TimescaleDB', async () => {
  // Stands for the extension, which records what it is asked for.
  await sql(`CREATE SCHEMA "ts"; CREATE TABLE ts.asked (what text);
    CREATE FUNCTION ts.create_hypertable(relation regclass, time_column name) RETURNS void LANGUAGE sql AS
      'INSERT INTO ts.asked VALUES (relation::text || '' '' || time_column)';
    SET allow_system_table_mods = on;
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
      VALUES (99999, 'timescaledb', 10, 'ts'::regnamespace, false, '2')`);
  const config = {
    table: 'metrics',
    create_table: 'if_missing',
    time_column: 'at',
    columns: { at: 'time' },
  } as const;
  const written = new WrittenTable(url, config, [...fields, { name: 'at', type: 'timestamp' }]);
  expect(
    await written.refused([
      { ...row(1), at: 0n },
      { ...row(2), at: null },
    ]),
  ).toEqual([[1, '23502']]);
  expect(await sql('SELECT * FROM ts.asked')).toEqual([{ what: 'metrics time' }]);
});

test('does not depend on settings of the role, and leaves none behind', async () => {
  await sql(`CREATE ROLE odd LOGIN SUPERUSER; ALTER ROLE odd SET TimeZone = 'America/New_York';
    ALTER ROLE odd SET DateStyle = 'German, DMY'; ALTER ROLE odd SET standard_conforming_strings = off;
    ALTER ROLE odd SET bytea_output = escape`);
  const own: Field[] = [
    { name: 'at', type: 'timestamp' },
    { name: 'bytes', type: 'bytes' },
    { name: 'text', type: 'string' },
  ];
  const value = { at: 1_700_000_000_000n, bytes: Buffer.from('\\x00\\'), text: "a\\'b\\n" };
  for (const mode of ['append', 'insert_ignore'] as const) {
    const { context } = await table(
      'at timestamp, bytes bytea, text text, tz text DEFAULT current_setting($$TimeZone$$)',
    );
    const profile = profileOf(url.replace('penstock@', 'odd@'));
    const written = new WrittenTable(url, { ...context.table, mode }, own, profile);
    expect(await written.write([value])).toEqual([]);
    const [found] = await written.rows(`SELECT at::text, bytes, text, tz FROM ${context.table.table}`);
    expect(found).toEqual({ ...value, at: '2023-11-14 22:13:20', tz: 'America/New_York' });
  }
});

test('says that a key cannot be used', async () => {
  const upsert = { mode: 'upsert', key: ['id'] };
  const deferrable = await table('id bigint PRIMARY KEY DEFERRABLE, text text', upsert);
  const missing = await table('id bigint, text text', upsert);
  for (const written of [deferrable, missing])
    await expect(written.write([row(1)])).rejects.toMatchObject({
      code: 'postgres_key_not_unique',
      passing: false,
    });
});

describe('deletions', () => {
  const upsert = { mode: 'upsert', key: ['id'] };
  const gone = (id: number | string | null) => new Deletion({ id: typeof id === 'number' ? BigInt(id) : id });

  test('delete the row with the key, in the order of the batch', async () => {
    const written = await table('id bigint PRIMARY KEY, text text NOT NULL', upsert);
    expect(await written.write([...some(6), gone(1), gone(2), row(2, 'again'), row(7), gone(7)])).toEqual([]);
    expect((await written.rows()).map(({ id, text }) => `${id} ${text}`)).toEqual([
      '0 t0',
      '2 again',
      '3 t3',
      '4 t4',
      '5 t5',
    ]);
    expect(await written.write([gone(0), gone(99), row(3, 'new'), gone(4), gone(3), row(3, 'last')])).toEqual(
      [],
    );
    expect((await written.rows()).map(({ id, text }) => `${id} ${text}`)).toEqual([
      '2 again',
      '3 last',
      '5 t5',
    ]);
  });

  test('find a key of several columns, under the names of the table', async () => {
    const own: Field[] = [
      { name: 'id', type: 'int64' },
      { name: 'at', type: 'timestamp' },
      { name: 'text', type: 'string' },
    ];
    const config = { mode: 'upsert', key: ['id', 'at'], columns: { id: 'Ä b' } };
    const written = await table(
      '"Ä b" bigint, at timestamp(3), text text, PRIMARY KEY ("Ä b", at)',
      config,
      own,
    );
    const rows = [0, 1, 2].map((at) => ({ id: 1n, at: BigInt(at), text: `t${at}` }));
    expect(await written.write(rows)).toEqual([]);
    expect(await written.write([new Deletion({ id: 1n, at: 1n }), new Deletion({ id: 2n, at: 1n })])).toEqual(
      [],
    );
    expect((await written.rows()).map(({ text }) => text)).toEqual(['t0', 't2']);
  });

  test('keep their order for keys that only the database finds equal, and for a null in the key', async () => {
    const own: Field[] = [
      { name: 'id', type: 'string' },
      { name: 'text', type: 'string' },
    ];
    const same = `COLLATE same`;
    await sql(`CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
    const written = await table(`id text ${same} UNIQUE, text text`, upsert, own);
    const rows = [
      { id: 'a', text: '1' },
      gone('A'),
      { id: 'B', text: '2' },
      gone('b'),
      { id: 'B', text: '3' },
      { id: null, text: '4' },
      gone(null),
      gone('C'),
      { id: 'c', text: '5' },
    ];
    expect(await written.write(rows)).toEqual([]);
    expect((await written.rows()).map(({ text }) => text)).toEqual(['3', '5']);
  });

  test('are refused alone, and take effect when a later row of the key is refused', async () => {
    const written = await table(`id bigint PRIMARY KEY, text text CHECK (text <> 'bad')`, upsert);
    const name = written.context.table.table;
    await sql(`CREATE TABLE child (parent bigint REFERENCES ${name})`);
    expect(await written.write(some(4))).toEqual([]);
    await sql('INSERT INTO child VALUES (1)');
    const rows = [gone(0), row(0, 'bad'), gone(1), gone(2), row(9)];
    expect(await written.refused(rows)).toEqual([
      [1, '23514'],
      [2, '23503'],
    ]);
    expect((await written.rows()).map(({ id }) => id)).toEqual(['1', '3', '9']);
  });
});
