import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { settingsPage } from '../scripts/docs/settings.ts';
import { loadConfig } from '../src/config.ts';

describe('the settings', () => {
  test('are listed in docs/settings.md (npm run openapi writes it)', () => {
    const page = readFileSync(new URL('../docs/settings.md', import.meta.url), 'utf8');
    expect(page).toBe(settingsPage());
  });

  test('are all optional', () => {
    expect(loadConfig({ PATH: '/bin', PENSTOCK_PORT: '' })).toEqual({
      host: '127.0.0.1',
      port: 5115,
      databaseUrl: 'file:./data/penstock.db',
      dataDir: './data',
      secretKeys: undefined,
      adminKey: undefined,
      allowedVars: ['PENSTOCK_VAR_*'],
      certDir: undefined,
      targets: [],
      requestsPerMinute: 6000,
      workerThreads: undefined,
      logLevel: 'info',
    });
  });

  test('read numbers and lists', () => {
    const config = loadConfig({
      PENSTOCK_PORT: '0',
      PENSTOCK_SECRET_KEY: 'a, b',
      PENSTOCK_ALLOWED_VARS: 'A,B_*',
    });
    expect(config).toMatchObject({ port: 0, secretKeys: ['a', 'b'], allowedVars: ['A', 'B_*'] });
  });

  test.each([
    [{ PENSTOCK_PORT: 'http' }, 'PENSTOCK_PORT'],
    [{ PENSTOCK_PORT: '65536' }, 'PENSTOCK_PORT'],
    [{ PENSTOCK_DATABASE_URL: 'mysql://x' }, 'PENSTOCK_DATABASE_URL'],
    [{ PENSTOCK_WORKER_THREADS: '0' }, 'PENSTOCK_WORKER_THREADS'],
    [{ PENSTOCK_LOG_LEVEL: 'loud' }, 'PENSTOCK_LOG_LEVEL'],
    [{ PENSTOCK_PROT: '1' }, 'PENSTOCK_PROT is not a setting or an allowed variable'],
    [{ PENSTOCK_ADMIN_KEY: 'short' }, 'PENSTOCK_ADMIN_KEY'],
    [{ PENSTOCK_TARGETS: 'broker.example, 10.0.0.0/33' }, 'PENSTOCK_TARGETS has "10.0.0.0/33"'],
  ])('refuse %o and name the variable', (env, name) => {
    expect(() => loadConfig(env)).toThrow(name);
  });

  test('ignore those of the command line', () => {
    expect(() =>
      loadConfig({ PENSTOCK_SERVER: 'http://127.0.0.1:5115', PENSTOCK_KEY: 'pk_x' }),
    ).not.toThrow();
  });

  test('ignore variables for configurations', () => {
    expect(() => loadConfig({ PENSTOCK_VAR_PASSWORD: 'x' })).not.toThrow();
  });
});
