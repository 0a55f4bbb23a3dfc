import { expect, test } from 'vitest';
import { execute } from '../../../../test/support/databases.ts';
import { emptyDatabase, profileOf, WrittenTable } from '../../../../test/support/postgres-sink.ts';
import type { Field } from '../../../formats/schema/schema.ts';

const { url } = await emptyDatabase();
const fields: Field[] = [{ name: 'state', type: 'string' }];
// The trigger raises the SQLSTATE that it is given.
await execute(
  url,
  `CREATE TABLE t (state text);
   CREATE FUNCTION raise() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN IF NEW.state <> '' THEN RAISE EXCEPTION 'secret value' USING ERRCODE = NEW.state, DETAIL = 'secret detail'; END IF;
     RETURN NEW; END $$;
   CREATE TRIGGER raise BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION raise()`,
);
const role = `policed_${url.slice(-8)}`;

test.each([
  ['40001', 'postgres_conflict', true],
  ['40P01', 'postgres_conflict', true],
  ['55P03', 'postgres_conflict', true],
  ['25006', 'postgres_read_only', true],
  ['53300', 'postgres_too_many_connections', true],
  ['53100', 'postgres_full', true],
  ['57P01', 'postgres_unavailable', true],
  ['57P03', 'postgres_unavailable', true],
  ['57014', 'postgres_timeout', true],
  ['08006', 'connection_lost', true],
  ['58030', 'postgres_unavailable', true],
  ['XX000', 'postgres_unavailable', true],
  ['HV000', 'postgres_unavailable', true],
  ['42501', 'postgres_forbidden', false],
  ['42P01', 'postgres_table_missing', false],
  ['0A000', 'postgres_refused', false],
])('SQLSTATE %s ends the writes as %s, without the words of the server', async (state, code, passing) => {
  const written = new WrittenTable(url, { table: 't' }, fields);
  const error = await written.write([{ state: '' }, { state }]).then(
    () => undefined,
    (reason: unknown) => reason as { message: string; hint: string; facts: object },
  );
  expect(error).toMatchObject({ code, passing, facts: { sqlstate: state } });
  expect(error?.hint).toBeTruthy();
  expect(`${error?.message} ${error?.hint} ${JSON.stringify(error?.facts)}`).not.toContain('secret');
  expect(await execute(url, 'SELECT * FROM t')).toEqual([]);
});

test.each(['22000', '23000', '54000', 'P0001', '44000'])(
  'SQLSTATE %s refuses the row alone',
  async (state) => {
    const written = new WrittenTable(url, { table: 't' }, fields);
    expect(await written.refused([{ state: '' }, { state }, { state: '' }])).toEqual([[1, state]]);
    await execute(url, 'DELETE FROM t');
  },
);

test('a policy refuses the rows that it forbids', async () => {
  await execute(
    url,
    `CREATE ROLE ${role} LOGIN; CREATE TABLE policed (state text); GRANT INSERT ON policed TO ${role};
     ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
     CREATE POLICY own ON policed FOR INSERT TO ${role} WITH CHECK (state = 'mine')`,
  );
  const profile = profileOf(url.replace('penstock@', `${role}@`));
  const written = new WrittenTable(url, { table: 'policed', mode: 'insert_ignore' }, fields, profile);
  expect(await written.refused([{ state: 'mine' }, { state: 'yours' }, { state: 'mine' }])).toEqual([
    [1, '42501'],
  ]);
  expect(await execute(url, 'SELECT * FROM policed')).toEqual([{ state: 'mine' }, { state: 'mine' }]);
});
