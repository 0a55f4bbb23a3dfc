import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { execute } from '../../../../test/support/databases.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { targets } from '../../../../test/support/mqtt.ts';
import { checked, emptyDatabase, profileOf } from '../../../../test/support/postgres-sink.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import type { PostgresProfile } from '../config/profile.ts';
import type { PostgresTable } from '../config/table.ts';
import { autocomplete } from './autocomplete.ts';

const { url } = await emptyDatabase();
const sql = (text: string) => execute(url, text);
const profile = profileOf(url);
const user = `role_${url.slice(-8)}`;
const asUser = profileOf(url.replace('penstock@', `${user}@`));
await sql(`CREATE ROLE ${user} LOGIN`);

const fields: Field[] = [
  { name: 'id', type: 'int64', required: true },
  { name: 'celsius', type: 'float64' },
];

const outcomes = async (...given: Parameters<typeof checked>) =>
  Object.values(await checked(...given)).map(({ name, outcome }) => `${name}: ${outcome}`);

test('a profile is tested up to the server, a table up to a write that is rolled back', async () => {
  await sql('CREATE TABLE good (id bigint PRIMARY KEY, celsius float8)');
  // The server of the tests forgets transactions in a crash, to be faster.
  const profileSteps = ['resolve: ok', 'tcp: ok', 'login: ok', 'server: warning'];
  expect(await outcomes(profile)).toEqual(profileSteps);
  for (const mode of ['append', 'upsert', 'insert_ignore'] as const) {
    const table: PostgresTable = { table: 'good', mode, ...(mode === 'append' ? {} : { key: ['id'] }) };
    expect(await outcomes(profile, table, { fields })).toEqual([...profileSteps, 'table: ok', 'write: ok']);
    expect(await outcomes(profile, table, { fields }, { probe: 'none' })).toEqual([
      ...profileSteps,
      'table: ok',
      'write: skipped',
    ]);
  }
  expect((await checked(profile)).server).toMatchObject({
    code: 'postgres_may_lose',
    hint: expect.stringContaining('ALTER'),
    details: { standby: false, readOnly: false, encoding: 'UTF8' },
  });
});

test.each<[string, string, Partial<PostgresTable>, Field[], string]>([
  ['postgres_table_missing', '', {}, fields, ''],
  ['postgres_table_missing', 'CREATE SCHEMA other', { table: 'nowhere.t' }, fields, ''],
  ['postgres_column_missing', 'CREATE TABLE X (id bigint)', {}, fields, ''],
  ['postgres_column_type', 'CREATE TABLE X (id bigint, celsius boolean)', {}, fields, ''],
  [
    'postgres_column_required',
    'CREATE TABLE X (id bigint, celsius float8, more int NOT NULL)',
    {},
    fields,
    '',
  ],
  [
    'postgres_key_not_unique',
    'CREATE TABLE X (id bigint, celsius float8); CREATE UNIQUE INDEX ON X (id) WHERE id > 0; CREATE INDEX ON X (id)',
    { mode: 'upsert', key: ['id'] },
    fields,
    '',
  ],
  ['postgres_forbidden', 'CREATE TABLE X (id bigint, celsius float8)', {}, fields, user],
  [
    'postgres_forbidden',
    `CREATE TABLE X (id bigint PRIMARY KEY, celsius float8); GRANT INSERT ON X TO ${user}`,
    { mode: 'upsert', key: ['id'] },
    fields,
    user,
  ],
])('%s comes with the statement that mends it (%#)', async (code, create, config, own, as) => {
  const name = `x${Math.random().toString(36).slice(2)}`;
  if (create !== '') await sql(create.replaceAll(/\bX\b/g, name));
  const table: PostgresTable = { table: name, ...config };
  const { table: step, write } = await checked(as === '' ? profile : asUser, table, { fields: own });
  expect(step).toMatchObject({ outcome: 'failed', code });
  expect(write?.outcome).toBe('skipped');
  const statements = /(?:CREATE|ALTER|GRANT).*;/.exec(step?.hint ?? '')?.[0] ?? '';
  expect(statements).not.toBe('');
  await sql(statements);
  const after = await checked(as === '' ? profile : asUser, table, { fields: own });
  // A schema that was missing has no table yet.
  if (config.table === undefined) expect(after.table).toMatchObject({ outcome: 'ok' });
  else expect(after.table?.hint).toContain('CREATE TABLE');
});

test('generated columns, names in another case, several problems and nanoseconds are named', async () => {
  await sql(`CREATE TABLE odd ("Id" bigint, celsius float8 GENERATED ALWAYS AS (1) STORED, at timestamptz)`);
  const { table } = await checked(profile, { table: 'odd' }, { fields });
  expect(table).toMatchObject({ code: 'postgres_column_missing', outcome: 'failed' });
  expect(table?.hint).toContain('{"id": "Id"}');
  expect(table?.details.errors).toHaveLength(2);
  const mapped = { table: 'odd', columns: { id: 'Id' } };
  expect((await checked(profile, mapped, { fields })).table?.code).toBe('postgres_column_generated');
  const at: Field = { name: 'at', type: 'timestamp', unit: 'nanosecond' };
  expect((await checked(profile, { table: 'odd' }, { fields: [at] })).table).toMatchObject({
    outcome: 'warning',
    code: 'postgres_precision_cut',
  });
  await sql('CREATE SEQUENCE seq');
  expect((await checked(profile, { table: 'seq' })).table?.code).toBe('postgres_not_a_table');
  const missing: PostgresTable = { table: 'later', create_table: 'if_missing' };
  expect(await outcomes(profile, missing, { fields })).toContain('write: ok');
  expect((await checked(asUser, missing, { fields })).table).toMatchObject({
    code: 'postgres_forbidden',
    hint: expect.stringContaining('GRANT CREATE ON SCHEMA'),
  });
});

test('the steps before the table are told apart', async () => {
  const failed = async (config: PostgresProfile) =>
    Object.values(await checked(config)).find(({ outcome }) => outcome === 'failed');
  expect(await failed(profileOf(url.replace(/\/test_\w+/, '/nothing')))).toMatchObject({
    name: 'login',
    code: 'postgres_database_missing',
    hint: expect.stringContaining('CREATE DATABASE "nothing"'),
  });
  expect(await failed(profileOf(url.replace('penstock@', 'nobody@')))).toMatchObject({
    name: 'login',
    code: 'postgres_login_refused',
  });
  expect(await failed({ url })).toMatchObject({ name: 'tls', code: 'tls_not_spoken' });
  const closed = await freePort();
  expect(
    await failed({ host: '127.0.0.1', port: closed, user: 'a', tls: { mode: 'disable' } }),
  ).toMatchObject({
    name: 'tcp',
    code: 'connection_refused',
  });
  await sql('CREATE ROLE reader LOGIN; ALTER ROLE reader SET default_transaction_read_only = on');
  expect(await failed(profileOf(url.replace('penstock@', 'reader@')))).toMatchObject({
    name: 'server',
    code: 'postgres_read_only',
  });
});

test('other servers are recognised', async () => {
  const answers = ['HTTP/1.1 400 Bad Request\r\n\r\n', '', 'X'];
  let answer = '';
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => (answer === '' ? socket.destroy() : socket.write(answer)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  atEnd(() => void server.close());
  const { port } = server.address() as { port: number };
  for (const mode of ['disable', 'verify-full'] as const)
    for (answer of answers) {
      const steps = await checked({ host: '127.0.0.1', port, user: 'a', tls: { mode } });
      const code = answer === '' ? 'connection_lost' : 'postgres_not_spoken';
      expect(steps[mode === 'disable' ? 'login' : 'tls']).toMatchObject({ code });
    }
  // Bytes that follow the consent would be taken for encrypted ones.
  answer = 'Sx';
  const steps = await checked({ host: '127.0.0.1', port, user: 'a' });
  expect(steps.tls).toMatchObject({ code: 'postgres_not_spoken' });
});

test('autocomplete lists the tables that the role may write to', async () => {
  await sql(`CREATE SCHEMA plant; CREATE TABLE plant."a.b" (id int); CREATE TABLE mine (id int);
    GRANT USAGE ON SCHEMA plant TO ${user}; GRANT INSERT ON plant."a.b", mine TO ${user}`);
  const { signal } = new AbortController();
  const listed = (config: PostgresProfile) => autocomplete({ profile: config, targets, signal });
  expect((await listed(asUser)).table).toEqual(expect.arrayContaining(['mine', 'plant."a.b"']));
  expect((await listed(asUser)).table).not.toContain('good');
  expect((await listed(profile)).table).toContain('good');
});
