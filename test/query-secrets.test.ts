import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import {
  keepMaskedInQuery,
  maskQuery,
  openQuery,
  sealedInQuery,
  sealQuery,
} from '../src/definitions/query-secrets.ts';
import { mask } from '../src/security/config-secrets.ts';
import { SecretBox } from '../src/security/secret-box.ts';

const box = new SecretBox([randomBytes(32).toString('base64')]);
/** Long enough not to be found by chance in a sealed text. */
const pem = 'pem-of-a-client';
const query = (password: string, key = pem) =>
  `CREATE TABLE a (x TEXT) WITH (connector = 'mqtt', password = '${password}', tls.key = '${key}', url = 'password');`;

test('a secret in a query is sealed, and opened as it was written', () => {
  const stored = sealQuery(box, 'pl_1', query("it''s"));
  expect(stored).not.toContain("it''s");
  expect(stored).not.toContain(pem);
  expect(sealedInQuery(stored)).toHaveLength(2);
  expect(openQuery(box, 'pl_1', stored)).toBe(query("it''s"));
});

test('a sealed secret opens only where it belongs', () => {
  const stored = sealQuery(box, 'pl_1', query('x'));
  expect(() => openQuery(box, 'pl_2', stored)).toThrow('was altered or moved');
  expect(() => openQuery(box, 'pl_1', stored.replace('TABLE a', 'TABLE b'))).toThrow('was altered or moved');
  const swapped = stored.replace('password =', 'swap =').replace('tls.key =', 'password =');
  expect(() => openQuery(box, 'pl_1', swapped)).toThrow('was altered or moved');
});

test('a secret is masked, and a variable is shown unchanged', () => {
  expect(maskQuery(sealQuery(box, 'pl_1', query('x')))).toBe(query(mask, mask));
  const variable = query('{{ PENSTOCK_VAR_PW }}', '');
  expect(sealQuery(box, 'pl_1', variable)).toBe(variable);
  expect(maskQuery(variable)).toBe(variable);
});

test('the mask keeps the secret of its own table and option only', () => {
  expect(keepMaskedInQuery(query(mask, 'new'), query('old', 'old key'))).toBe(query('old', 'new'));
  const other = query(mask).replace('TABLE a', 'TABLE b');
  expect(keepMaskedInQuery(other, query('old'))).toBe(other);
  expect(() => sealQuery(box, 'pl_1', other)).toThrow('is masked, and no secret is stored for it');
});

test('a secret that looks like a sealed one is sealed like any other', () => {
  const stored = sealQuery(box, 'pl_1', query('sealed:v1.x.y.z'));
  expect(openQuery(box, 'pl_1', stored)).toBe(query('sealed:v1.x.y.z'));
});

test('a secret among alternatives is sealed by the name of its option', () => {
  const text = (password: string) =>
    `CREATE TABLE a (x TEXT) WITH (connector = 'nats', auth.type = 'credentials', auth.username = 'ada', auth.password = '${password}');`;
  const stored = sealQuery(box, 'pl_1', text('x'));
  expect(sealedInQuery(stored)).toHaveLength(1);
  expect(maskQuery(stored)).toBe(text(mask));
  expect(openQuery(box, 'pl_1', stored)).toBe(text('x'));
});
