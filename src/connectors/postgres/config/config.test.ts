import { describe, expect, test } from 'vitest';
import { checkColumnUses } from '../../../formats/schema/column-use.ts';
import { addressOf, describe as described, type PostgresProfile, validateProfile } from './profile.ts';
import { columnsOf, type PostgresTable, parseTable, validateTable } from './table.ts';

describe('a profile', () => {
  test.each<[PostgresProfile, object]>([
    [
      { url: 'postgresql://me@db.example/plant' },
      { host: 'db.example', port: 5432, database: 'plant', user: 'me' },
    ],
    [
      { url: 'postgres://[::1]:6432', user: 'a b' },
      { host: '::1', port: 6432, database: 'a b', user: 'a b' },
    ],
    [{ url: 'postgresql://a%40b@h/d%2Fe' }, { host: 'h', port: 5432, database: 'd/e', user: 'a@b' }],
    [
      { host: '10.0.0.1', port: 1, database: 'd', user: 'u' },
      { host: '10.0.0.1', port: 1, database: 'd', user: 'u' },
    ],
  ])('leads to an address (%#)', (profile, address) => {
    expect(validateProfile(profile)).toEqual([]);
    expect(addressOf(profile)).toEqual(address);
  });

  test.each<[PostgresProfile, string]>([
    [{}, '/host /user'],
    [{ url: 'mysql://a@b/c' }, '/url'],
    [{ url: 'postgresql://a:secret@b/c' }, '/url'],
    [{ url: 'postgresql://a@/c?host=/tmp' }, '/url'],
    [{ url: 'postgresql://a@b/c?sslmode=require' }, '/url'],
    [{ url: 'postgresql://a@b,c/d' }, '/url'],
    [{ url: 'postgresql://a@b:0/d' }, '/url'],
    [{ url: 'postgresql://a@b/%ff' }, '/url'],
    [{ url: 'postgresql://b/d' }, '/user'],
    [{ url: 'postgresql://a@b/d', host: 'c', user: 'e', database: 'f' }, '/host /database /user'],
    [{ host: '/var/run/postgresql', user: 'a' }, '/host'],
    [{ host: 'h', user: 'a', tls: { mode: 'disable', ca: 'x' } }, '/tls/mode'],
    [{ host: 'h', user: 'a', tls: { mode: 'require', ca: 'x' } }, '/tls/ca'],
    [{ host: 'h', user: 'a', tls: { mode: 'verify-ca' } }, '/tls/ca'],
    [{ host: 'h', user: 'a', tls: { cert: 'x' } }, '/tls/key'],
    [{ host: 'h', user: 'a', tls: { key: 'x', passphrase: 'y' } }, '/tls/cert'],
    [{ host: 'h', user: 'a', tls: { passphrase: 'y' } }, '/tls/passphrase'],
  ])('is refused at its wrong fields (%#)', (profile, paths) => {
    const errors = validateProfile(profile);
    expect(errors.map(({ path }) => path).join(' ')).toBe(paths);
    expect(JSON.stringify(errors)).not.toContain('secret');
  });

  test('is described without secrets', () => {
    expect(described({ url: 'postgresql://me@[::1]/plant', password: 'x' })).toBe(
      'postgresql://[::1]:5432/plant',
    );
  });
});

describe('a table', () => {
  const fields = ['a', 'b', 'c'].map((name) => ({ name, type: 'int64' as const, required: false }));
  test.each<[Partial<PostgresTable>, string]>([
    [{ columns: { a: 'b' } }, '/columns writes a to b, which the column of that name has'],
    [{ columns: { a: 'b', b: 'a', c: 'c' } }, ''],
    [{ columns: { a: 'x', d: 'y' } }, '/columns refers to the column d'],
    [{ mode: 'upsert', key: ['a', 'x'], columns: { a: 'x' } }, '/key refers to the column x'],
    [{ time_column: 'a' }, '/time_column refers to the column a, which is BIGINT: it must be TIMESTAMP'],
  ])('refers to the columns of its schema, each by its own name (%#)', (table, expected) => {
    const errors = checkColumnUses(columnsOf({ table: 't', ...table }), fields);
    expect(errors.map(({ path, message }) => `${path} ${message}`).join()).toMatch(
      new RegExp(`^${expected}${expected && '.*'}$`),
    );
  });

  test.each([
    ['readings', { schema: undefined, name: 'readings' }],
    ['Plant.Readings', { schema: 'Plant', name: 'Readings' }],
    ['"a.b"."c""d"', { schema: 'a.b', name: 'c"d' }],
    ['a b; DROP TABLE x', { schema: undefined, name: 'a b; DROP TABLE x' }],
  ])('%s has a name', (text, name) => {
    expect(parseTable(text)).toEqual(name);
  });

  test.each(['', 'a.b.c', '"a', 'a"b', '.', 'a.', 'x'.repeat(64), 'a\0b'])('%j has none', (text) => {
    expect(typeof parseTable(text)).toBe('string');
  });

  test.each<[Partial<PostgresTable>, string]>([
    [{ mode: 'upsert' }, '/key'],
    [{ mode: 'upsert', key: [] }, '/key'],
    [{ key: ['a'] }, '/key'],
    [{ mode: 'upsert', key: ['a', 'a'] }, '/key'],
    [{ columns: { a: 'x', b: 'x' } }, '/columns'],
    [{ time_column: 'at' }, '/time_column'],
    [{ mode: 'upsert', key: ['a'], create_table: 'if_missing', time_column: 'at' }, '/time_column'],
    [{ key: [], columns: {}, time_column: '' }, ''],
    [{ mode: 'insert_ignore' }, ''],
  ])('is refused at its wrong fields (%#)', (table, paths) => {
    expect(
      validateTable({ table: 't', ...table })
        .map(({ path }) => path)
        .join(' '),
    ).toBe(paths);
  });
});
