import { describe, expect, test } from 'vitest';
import { slotOf } from '../connection/cluster.ts';
import { compareIds, idBefore } from '../connection/entries.ts';
import { addressesOf, type RedisProfile, validateProfile } from './profile.ts';
import { type RedisTable, targetOf, validateSchema, validateTable } from './table.ts';

const single = (address: string, more: object = {}): RedisProfile => ({ connection: { address }, ...more });

describe('a profile', () => {
  test.each([
    ['redis://localhost', { host: 'localhost', port: 6379, tls: false, database: 0 }],
    ['rediss://[::1]:1/2', { host: '::1', port: 1, tls: true, database: 2 }],
  ])('has the address %s', (address, expected) => {
    expect(validateProfile(single(address))).toEqual([]);
    expect(addressesOf(single(address))).toEqual([expected]);
  });

  test.each([
    [single('redis://u:secret@h'), '/connection/address'],
    [single('redis://h:0'), '/connection/address'],
    [single('redis://h/x'), '/connection/address'],
    [single('redis://h?a=b'), '/connection/address'],
    [single('redis://'), '/connection/address'],
    [single('redis://h', { insecureSkipVerify: true }), '/insecureSkipVerify'],
    [single('redis://h', { username: 'u' }), '/password'],
    [{ connection: { addresses: ['redis://a/1'] } }, '/connection/addresses/0'],
    [{ connection: { addresses: ['redis://a', 'rediss://b'] } }, '/connection/addresses'],
  ] as [RedisProfile, string][])('is refused: %j', (profile, path) => {
    const errors = validateProfile(profile);
    expect(errors.map((error) => error.path)).toContain(path);
    expect(JSON.stringify(errors)).not.toContain('secret');
  });
});

describe('a table', () => {
  const sink = (target: object): RedisTable => ({ connectorType: { target } }) as RedisTable;

  test('takes empty texts of forms for none', () => {
    expect(targetOf({ target: { keyPrefix: 'a', keyColumn: '' } })).toMatchObject({ keyColumn: undefined });
  });

  test('needs a key', () => {
    expect(validateTable(sink({ keyPrefix: '' }))).toEqual([
      { path: '/connectorType/target/keyPrefix', message: 'must not be empty without keyColumn' },
    ]);
    expect(validateTable(sink({ listPrefix: '', listKeyColumn: 'k' }))).toEqual([]);
  });

  test('needs JSON for a field for each column', () => {
    const table = sink({ streamPrefix: 's', entry: 'fields' });
    expect(validateSchema(table, { format: { type: 'json' } })).toEqual([]);
    expect(validateSchema(table, { format: { type: 'csv' } })).toHaveLength(1);
    expect(validateSchema(sink({ streamPrefix: 's' }), { format: { type: 'csv' } })).toEqual([]);
  });
});

test('hash slots are those of Redis', () => {
  // CLUSTER KEYSLOT of Redis 7.0.15.
  expect(['123456789', 'foo', '{foo}bar', 'a{}b', 'a{b', 'é', ''].map(slotOf)).toEqual([
    12739, 12182, 12182, 13694, 13340, 10180, 0,
  ]);
});

test('IDs are compared as numbers', () => {
  expect(compareIds('9-0', '10-0')).toBeLessThan(0);
  expect(compareIds('5-10', '5-9')).toBeGreaterThan(0);
  expect(compareIds('0', '0-0')).toBe(0);
  expect([idBefore('5-1'), idBefore('5-0'), idBefore('0-0')]).toEqual([
    '5-0',
    '4-18446744073709551615',
    '0-0',
  ]);
});
