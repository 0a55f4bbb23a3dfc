import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { settingsPage } from '../scripts/docs/settings.ts';
import { isLoopback, loadConfig } from '../src/config.ts';

describe('the settings', () => {
  test('are listed in docs/settings.md (npm run openapi writes it)', () => {
    const page = readFileSync(new URL('../docs/settings.md', import.meta.url), 'utf8');
    expect(page).toBe(settingsPage());
  });

  test('are all optional', () => {
    expect(loadConfig({ PATH: '/bin', PENSTOCK_PORT: '' })).toEqual({
      host: '127.0.0.1',
      port: 5115,
      workerPort: undefined,
      databaseUrl: 'file:./data/penstock.db',
      dataDir: './data',
      secretKeys: undefined,
      sealState: false,
      adminKey: undefined,
      allowedVars: ['PENSTOCK_VAR_*'],
      certDir: undefined,
      fileDir: undefined,
      targets: [],
      requestsPerMinute: 6000,
      workerThreads: undefined,
      workerName: undefined,
      workerSlots: undefined,
      workerLabels: {},
      workerExclusive: false,
      console: true,
      logLevel: 'info',
      warnings: [],
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

  test('say which worker this is', () => {
    const config = loadConfig({
      PENSTOCK_WORKER_NAME: 'north-1.plant_2',
      PENSTOCK_WORKER_SLOTS: '100000',
      PENSTOCK_WORKER_LABELS: 'site=north, line=2,example.com/arch=,',
      PENSTOCK_WORKER_EXCLUSIVE: 'True',
    });
    expect(config).toMatchObject({
      workerName: 'north-1.plant_2',
      workerSlots: 100_000,
      workerLabels: { site: 'north', line: '2', 'example.com/arch': '' },
      workerExclusive: true,
    });
    expect(loadConfig({ PENSTOCK_WORKER_EXCLUSIVE: 'false' }).workerExclusive).toBe(false);
  });

  test.each([
    [{ PENSTOCK_PORT: 'http' }, 'PENSTOCK_PORT'],
    [{ PENSTOCK_PORT: '65536' }, 'PENSTOCK_PORT'],
    [{ PENSTOCK_DATABASE_URL: 'mysql://x' }, 'PENSTOCK_DATABASE_URL'],
    [{ PENSTOCK_WORKER_THREADS: '0' }, 'PENSTOCK_WORKER_THREADS'],
    [{ PENSTOCK_LOG_LEVEL: 'loud' }, 'PENSTOCK_LOG_LEVEL'],
    [{ PENSTOCK_WORKER_NAME: 'north 1' }, 'PENSTOCK_WORKER_NAME'],
    [{ PENSTOCK_WORKER_NAME: 'n'.repeat(64) }, 'PENSTOCK_WORKER_NAME'],
    [{ PENSTOCK_WORKER_SLOTS: '0' }, 'PENSTOCK_WORKER_SLOTS'],
    [{ PENSTOCK_WORKER_SLOTS: '100001' }, 'PENSTOCK_WORKER_SLOTS'],
    [{ PENSTOCK_WORKER_EXCLUSIVE: '1' }, 'PENSTOCK_WORKER_EXCLUSIVE must be true or false'],
    [{ PENSTOCK_WORKER_LABELS: 'site=north,line' }, 'PENSTOCK_WORKER_LABELS has "line"'],
    [{ PENSTOCK_WORKER_LABELS: 'site=north=1' }, 'PENSTOCK_WORKER_LABELS has "site=north=1"'],
    [{ PENSTOCK_WORKER_LABELS: 'site=a,site=b' }, 'PENSTOCK_WORKER_LABELS has "site=b"'],
    [{ PENSTOCK_WORKER_LABELS: '-site=a' }, 'PENSTOCK_WORKER_LABELS has "-site=a"'],
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

  test('ignore those of the tests', () => {
    expect(() => loadConfig({ PENSTOCK_SOAK: '1', PENSTOCK_TEST_POSTGRES: 'postgresql://x' })).not.toThrow();
  });

  test.each(['a-key-of-16-characters\n', 'a-key-of-16-characters\r\n', 'a-key-of-16-characters\n\n'])(
    'lose the line breaks at their end: %j',
    (key) => {
      const url = 'postgresql://penstock@localhost/x';
      const config = loadConfig({
        PENSTOCK_ADMIN_KEY: key,
        PENSTOCK_DATABASE_URL: `${url}\n`,
        PENSTOCK_SECRET_KEY: 'abc\n',
        PENSTOCK_PORT: '5116\n',
        PENSTOCK_CERT_DIR: '\n',
      });
      expect(config).toMatchObject({
        adminKey: 'a-key-of-16-characters',
        databaseUrl: url,
        secretKeys: ['abc'],
        port: 5116,
        certDir: undefined,
      });
    },
  );

  test.each([
    ['PENSTOCK_ADMIN_KEY', ' a-key-of-16-characters', 'white space'],
    ['PENSTOCK_ADMIN_KEY', '\ufeffa-key-of-16-characters', 'byte order mark'],
    ['PENSTOCK_ADMIN_KEY', 'a-key-of\n16-characters', 'more than one line'],
    ['PENSTOCK_ADMIN_KEY', 'a-key-of 16-characters', 'without spaces'],
    ['PENSTOCK_ADMIN_KEY', 'a-key-of-16-charactérs', 'visible ASCII'],
    ['PENSTOCK_DATABASE_URL', 'postgresql://x/y ', 'white space'],
    ['PENSTOCK_DATA_DIR', './data\n./other', 'more than one line'],
  ])('refuse %s=%j without showing it', (name, value, said) => {
    let message = '';
    try {
      loadConfig({ [name]: value });
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toContain(said);
    expect(message).not.toContain('characters,');
    expect(message).not.toContain('a-key');
  });

  test.each([
    ['PENSTOCK_ADMIN_KEY', '"a-key-of-16-characters"', 'is in quotes'],
    ['PENSTOCK_SECRET_KEY', `'${Buffer.alloc(32).toString('base64')}'`, 'is in quotes'],
    ['PENSTOCK_PORT', '"5115"', 'is in quotes'],
    ['PENSTOCK_LOG_LEVEL', '"info" ', 'is in quotes'],
    ['PENSTOCK_DATABASE_URL', '"postgresql://penstock@localhost/x"', 'is in quotes'],
    ['PENSTOCK_DATABASE_URL', 'jdbc:postgresql://localhost/x', 'must begin with file:'],
    ['PENSTOCK_DATABASE_URL', 'POSTGRESQL://localhost/x', 'must begin with file:'],
    ['PENSTOCK_DATABASE_URL', 'sqlite:///data/penstock.db', 'must begin with file:'],
    ['PENSTOCK_DATABASE_URL', '/data/penstock.db', 'must begin with file:'],
    ['PENSTOCK_PORT', '0x10', 'written in digits'],
    ['PENSTOCK_PORT', '5e3', 'written in digits'],
    ['PENSTOCK_RATE_LIMIT', '1_000', 'written in digits'],
    ['PENSTOCK_ADMIN_KEY_FILE', '/run/secrets/key', 'set PENSTOCK_ADMIN_KEY to what the file holds'],
    ['PENSTOCK_KEY_FILE', '/run/secrets/key', 'is not a setting or an allowed variable'],
  ])('tell what is wrong with %s=%s', (name, value, said) => {
    expect(() => loadConfig({ [name]: value })).toThrow(`${name} `);
    expect(() => loadConfig({ [name]: value })).toThrow(said);
  });

  test('that are blank count as not set', () => {
    const blank = { PENSTOCK_RATE_LIMIT: '  ', PENSTOCK_PORT: '\t', PENSTOCK_ADMIN_KEY: ' \r\n' };
    expect(loadConfig(blank)).toEqual(loadConfig({}));
    expect(loadConfig({ PENSTOCK_PORT: ' ' }, { PENSTOCK_PORT: ' 7 ' }).port).toBe(7);
  });

  const linksOf = (prefix: string, host: string, port: number): Record<string, string> => ({
    [`${prefix}_SERVICE_HOST`]: host,
    [`${prefix}_SERVICE_PORT`]: String(port),
    [`${prefix}_SERVICE_PORT_HTTP`]: String(port),
    [`${prefix}_PORT`]: `tcp://${host.includes(':') ? `[${host}]` : host}:${port}`,
    [`${prefix}_PORT_${port}_TCP`]: `tcp://${host}:${port}`,
    [`${prefix}_PORT_${port}_TCP_PROTO`]: 'tcp',
    [`${prefix}_PORT_${port}_TCP_PORT`]: String(port),
    [`${prefix}_PORT_${port}_TCP_ADDR`]: host,
  });

  test.each([
    ['PENSTOCK_POSTGRES', '10.96.0.12', 5432],
    ['PENSTOCK_WORKER', '10.96.0.13', 5115],
    ['PENSTOCK_MQTT_BROKER', 'fd00::7', 1883],
  ])('pass over the links of the service %s', (prefix, host, port) => {
    expect(loadConfig(linksOf(prefix, host, port))).toMatchObject({ port: 5115, warnings: [] });
  });

  test('pass over udp links and those of containers', () => {
    const links = {
      PENSTOCK_DNS_PORT_53_UDP: 'udp://10.96.0.10:53',
      PENSTOCK_DNS_PORT_53_UDP_PROTO: 'udp',
      PENSTOCK_DB_NAME: '/penstock/db',
      PENSTOCK_DB_PORT: 'tcp://172.17.0.5:5432',
      PENSTOCK_DB_PORT_5432_TCP_PORT_START: '5432',
      PENSTOCK_DB_ENV_PG_VERSION: '15',
    };
    expect(loadConfig(links).warnings).toEqual([]);
  });

  test('warn of a link that hides a setting, and take the setting from the file', () => {
    const links = linksOf('PENSTOCK', '10.96.0.12', 5115);
    const hidden = loadConfig(links);
    expect(hidden).toMatchObject({ host: '127.0.0.1', port: 5115 });
    expect(hidden.warnings).toEqual([expect.stringContaining('PENSTOCK_PORT is a service link')]);
    expect(loadConfig(links, { PENSTOCK_PORT: '6000' }).port).toBe(6000);
    expect(loadConfig({ ...links, PENSTOCK_PORT: '7000' }, { PENSTOCK_PORT: '6000' })).toMatchObject({
      port: 7000,
      warnings: [],
    });
  });

  test.each([
    ['PENSTOCK_PORT', 'tcp://nowhere'],
    ['PENSTOCK_PORT', 'http://10.96.0.12:5115'],
    ['PENSTOCK_HOST_PORT', '5115'],
    ['PENSTOCK_SERVICE_HOST', 'penstock.example'],
  ])('refuse %s=%s, which only looks like a link', (name, value) => {
    expect(() => loadConfig({ [name]: value })).toThrow(name);
  });

  test.each([
    ['[::1]', '::1', true],
    ['0:0:0:0:0:0:0:1', '0:0:0:0:0:0:0:1', true],
    ['::ffff:127.0.0.1', '::ffff:127.0.0.1', true],
    ['127.8.9.10', '127.8.9.10', true],
    ['LOCALHOST', 'LOCALHOST', true],
    ['localhost.', 'localhost.', true],
    ['[::]', '::', false],
    ['0.0.0.0', '0.0.0.0', false],
    ['::ffff:10.0.0.1', '::ffff:10.0.0.1', false],
    ['localhost.example', 'localhost.example', false],
  ])('read the host %s as %s; loopback: %s', (given, host, local) => {
    expect(loadConfig({ PENSTOCK_HOST: given }).host).toBe(host);
    expect(isLoopback(host)).toBe(local);
  });

  test.each(['http://0.0.0.0', '0.0.0.0:5115', '*', '[::1]:5115', '127.0.0.1/8', 'a b'])(
    'refuse the host %s',
    (host) => {
      expect(() => loadConfig({ PENSTOCK_HOST: host })).toThrow('without scheme and port');
    },
  );
});
