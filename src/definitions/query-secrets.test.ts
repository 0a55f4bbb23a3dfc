import { expect, test } from 'vitest';
import { mapOptionValues } from './query-secrets.ts';

const names = new Set(['password', 'tls.key']);
const found = (query: string): string[] => {
  const seen: string[] = [];
  mapOptionValues(query, names, ({ table, option, value }) => {
    seen.push(`${table} ${option} ${value}`);
    return value;
  });
  return seen;
};

test('finds the values of the options by table, however they are written', () => {
  const query = `
    -- password = 'in a comment'
    CREATE TABLE readings (password TEXT NOT NULL) WITH (connector = 'mqtt', Password = 'no', password = 'it''s');
    create table if not exists "Alerts" with ('password' = $$dollars$$, tls . key = 'pem', 'tls.key' = 'x');
    INSERT INTO alerts SELECT * FROM readings WHERE password = 'a row'`;
  expect(found(query)).toEqual([
    "readings password it's",
    'Alerts password dollars',
    'Alerts tls.key pem',
    'Alerts tls.key x',
  ]);
});

test('replaces them and nothing else', () => {
  const query =
    "CREATE TABLE a WITH (password = 'one' /* 'one' */, url = 'one');\n\tINSERT INTO b SELECT 'one'";
  expect(mapOptionValues(query, names, () => "it's")).toBe(
    "CREATE TABLE a WITH (password = 'it''s' /* 'one' */, url = 'one');\n\tINSERT INTO b SELECT 'one'",
  );
  expect(mapOptionValues(query, names, ({ value }) => value)).toBe(query);
});

test('rejects a text that cannot be split into tokens', () => {
  expect(() => mapOptionValues("SELECT 'never ends", names, () => '')).toThrow('is not closed');
});
