import { expect, test } from 'vitest';
import { KafkaProfile } from '../connectors/kafka/config/profile.ts';
import { mask, sensitivePaths } from '../security/config-secrets.ts';
import { SecretBox } from '../security/secret-box.ts';
import { optionsFor } from '../sql/table-options.ts';
import { mapOptionValues, maskQuery, openQuery, sealQuery } from './query-secrets.ts';

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

test('seals and masks the password of a Kafka profile, by the name that its own schema gives it', () => {
  const query = "CREATE TABLE a WITH (connector = 'kafka', auth.type = 'sasl', auth.password = 'pipe-4711')";
  const own = sensitivePaths(KafkaProfile).flatMap((path) => optionsFor(KafkaProfile, path));
  expect(own).toEqual(expect.arrayContaining(['auth.password', 'tls.key', 'schema_registry.api_secret']));
  expect(mapOptionValues(query, new Set(own), () => mask)).toBe(query.replace('pipe-4711', mask));
  const box = new SecretBox([Buffer.alloc(32, 7).toString('base64')]);
  const sealed = sealQuery(box, 'pl_1', query);
  expect(sealed).not.toContain('pipe-4711');
  expect(openQuery(box, 'pl_1', sealed)).toBe(query);
  expect(maskQuery(sealed)).toBe(query.replace('pipe-4711', mask));
});
