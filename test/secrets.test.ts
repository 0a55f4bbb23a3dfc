import { randomBytes } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Type from 'typebox';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { maskConfig, maskedPaths, openConfig, sealConfig } from '../src/security/config-secrets.ts';
import { loadSecretKeys, SecretBox } from '../src/security/secret-box.ts';
import { oddEnds, resolveVariables, variablesFrom } from '../src/security/variables.ts';
import { temporaryFolder } from './support/at-end.ts';

const key = (): string => randomBytes(32).toString('base64');
const schema = Type.Object(
  {
    password: Type.String({ format: 'var-str' }),
    url: Type.String(),
    tls: Type.Object({ key: Type.String({ format: 'var-str' }) }),
  },
  { sensitive: ['password', 'tls/key'] },
);
const config = { url: 'mqtt://{{ A }}', password: 'hunter2', tls: { key: 'pem {{ PENSTOCK_VAR_X }}' } };

describe('secrets', () => {
  test('are sealed in the fields that the schema marks, and opened again', () => {
    const box = new SecretBox([key()]);
    const sealed = sealConfig(config, schema, box, 'profile/1');
    expect(sealed).toEqual({
      url: config.url,
      password: { $sealed: expect.any(String) },
      tls: { key: { $sealed: expect.any(String) } },
    });
    expect(JSON.stringify(sealed)).not.toContain('hunter2');
    expect(openConfig(sealed, schema, box, 'profile/1')).toEqual(config);
  });

  test('are sealed differently each time', () => {
    const box = new SecretBox([key()]);
    expect(box.seal('a', 'x')).not.toBe(box.seal('a', 'x'));
  });

  test('cannot be moved to another row or field, altered, or opened with another key', () => {
    const box = new SecretBox([key()]);
    const sealed = sealConfig(config, schema, box, 'profile/1');
    const unreadable = expect.objectContaining({ code: 'secret_unreadable' });
    expect(() => openConfig(sealed, schema, box, 'profile/2')).toThrow(unreadable);
    expect(() =>
      openConfig({ ...sealed, tls: { key: sealed.password as never } }, schema, box, 'profile/1'),
    ).toThrow(unreadable);
    expect(() => openConfig(sealed, schema, new SecretBox([key()]), 'profile/1')).toThrow(unreadable);
    const { $sealed: blob } = sealed.password as { $sealed: string };
    const altered = `${blob.slice(0, -2)}${blob.endsWith('AA') ? 'BB' : 'AA'}`;
    expect(() => openConfig({ ...sealed, password: { $sealed: altered } }, schema, box, 'profile/1')).toThrow(
      unreadable,
    );
  });

  test('stay readable when a new key is put before the old one', () => {
    const old = key();
    const sealed = new SecretBox([old]).seal('x', 'a');
    expect(new SecretBox([key(), old]).open(sealed, 'a')).toBe('x');
  });

  test('are masked in responses', () => {
    expect(maskConfig(config, schema)).toEqual({
      url: config.url,
      password: '********',
      tls: { key: '********' },
    });
    expect(maskedPaths({ ...config, password: '********' }, schema)).toEqual(['/password']);
  });

  test('refuse a key that is not 32 bytes', () => {
    expect(() => new SecretBox(['c2hvcnQ='])).toThrow('32 bytes');
  });
});

describe('variables', () => {
  const variables = variablesFrom({ PENSTOCK_VAR_X: 'y', HOME: '/root' }, ['PENSTOCK_VAR_*']);

  test('cannot read a setting of Penstock, even if everything is allowed', () => {
    const all = variablesFrom({ PENSTOCK_ADMIN_KEY: 'k', A: 'b' }, ['*']);
    expect(all('A')).toBe('b');
    expect(() => all('PENSTOCK_ADMIN_KEY')).toThrow('PENSTOCK_ADMIN_KEY');
  });

  test('are replaced in strings of format var-str only', () => {
    expect(resolveVariables(config, schema, variables)).toEqual({ ...config, tls: { key: 'pem y' } });
  });

  test('lose the line breaks at the end of their values, which a test of the connection says', () => {
    const values: Record<string, string> = {
      LF: 'pw\n',
      CRLF: 'pw\r\n',
      SPACE: 'pw ',
      PEM: '-----BEGIN CERTIFICATE-----\n',
      FINE: 'pw',
    };
    const from = (name: string): string => values[name] ?? '';
    const said = (password: string) => oddEnds({ password }, schema, from);
    expect(resolveVariables({ password: '{{ LF }}' }, schema, from)).toEqual({ password: 'pw' });
    expect(resolveVariables({ password: '{{ CRLF }}!' }, schema, from)).toEqual({ password: 'pw!' });
    expect(said('{{ LF }}')).toEqual([expect.stringContaining('The value of LF ends in a line break')]);
    expect(said('{{ CRLF }}')).toEqual([expect.stringContaining('The value of CRLF ends in a line break')]);
    expect(said('{{ SPACE }}')).toEqual([expect.stringContaining('The value of SPACE begins or ends with')]);
    expect(said('{{ FINE }}{{ PEM }}')).toEqual([]);
    expect(said('hunter2\n')).toEqual([expect.stringContaining('/password ends in a line break')]);
    expect(said('hunter2')).toEqual([]);
  });

  test.each(['HOME', 'PENSTOCK_VAR_UNSET', 'PENSTOCK_VAR'])(
    'are refused when not allowed or not set: %s',
    (name) => {
      expect(() => resolveVariables({ password: `{{ ${name} }}` }, schema, variables)).toThrow(name);
    },
  );
});

describe('the generated key', () => {
  let folder: string;
  beforeEach(() => {
    folder = temporaryFolder('key');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  test('is created once, readable by its owner only', () => {
    const made = loadSecretKeys(undefined, folder);
    expect(loadSecretKeys(undefined, folder)).toEqual(made);
    expect(statSync(join(folder, 'secret.key')).mode & 0o777).toBe(0o600);
    expect(() => new SecretBox(made)).not.toThrow();
  });

  test('is not used when keys are configured', () => {
    expect(loadSecretKeys(['k'], folder)).toEqual(['k']);
  });
});
