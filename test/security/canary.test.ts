import { createPrivateKey, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Document, operationsOf } from '../../scripts/docs/document.ts';
import { connectors } from '../../src/connectors/catalog.ts';
import { type JsonObject, sensitivePaths } from '../../src/security/config-secrets.ts';
import { makeAuthority, makeClient, makeServer } from '../support/certificates.ts';
import { databases, execute } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { tableBody } from '../support/resources.ts';
import { SchemaRegistry } from '../support/schema-registry.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/**
 * Puts known secrets into every sensitive field of every connector, a query, a variable and API keys. Then exercises the
 * whole service. No secret may appear in a response, in the log at its lowest level, or in the files of the database.
 * PENSTOCK_SOAK=1 uses PostgreSQL, and searches all its tables.
 */

const [sqlite, postgresql] = databases;
const { open } = process.env.PENSTOCK_SOAK === '1' ? postgresql : sqlite;

const canary = (): string => `CANARY${randomBytes(12).toString('hex')}`;
const fromVariable = canary();
const inQuery = canary();
const wrongPassword = canary();
const adminKey = canary();

/** The texts that must not appear, also in the encodings of bytes. */
const needles = new Map<string, string>();
function hide(name: string, secret: string): void {
  needles.set(name, secret);
  needles.set(`${name} in base64`, Buffer.from(secret).toString('base64').replace(/=+$/, '').slice(0, -1));
  needles.set(`${name} in hex`, Buffer.from(secret).toString('hex'));
}

let text = '';
const found = (): string[] =>
  [...needles].filter(([, needle]) => text.includes(needle)).map(([name]) => name);

let service: Service;
let broker: Mosquitto;
/** The location of the database. */
let url: string;
/** A configuration of each connector with a secret in every sensitive field. Valid, but for the many logins of nats. */
let configs: Record<string, JsonObject>;

beforeAll(async () => {
  const ca = await makeAuthority();
  const password = canary();
  const passphrase = canary();
  const own = await makeClient(ca);
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase } as const;
  const key = createPrivateKey(own.key).export(locked) as string;
  const server = await makeServer(ca);
  broker = await Mosquitto.start({
    tls: { ca: ca.cert, ...server },
    users: { ada: password, var: fromVariable },
  });
  const registry = await SchemaRegistry.start(server);
  const tls = { ca: ca.cert, cert: own.cert, key, passphrase };
  const schemaRegistryEnum = { endpoint: registry.url, apiKey: 'plant', apiSecret: canary(), tls };
  registry.login = `plant:${schemaRegistryEnum.apiSecret}`;
  configs = {
    filesystem: {
      endpoint: 'https://127.0.0.1:1',
      access_key_id: 'plant',
      secret_access_key: canary(),
      session_token: canary(),
      tls,
    },
    mqtt: {
      url: `mqtts://localhost:${broker.port}`,
      username: 'ada',
      password,
      schemaRegistryEnum,
      tls,
    },
    kafka: {
      bootstrapServers: '127.0.0.1:1',
      authentication: {
        protocol: 'SASL_SSL',
        mechanism: 'PLAIN',
        username: 'plant',
        password: canary(),
      },
      schemaRegistryEnum,
      tls,
    },
    confluent: {
      bootstrapServers: '127.0.0.1:1',
      key: 'plant',
      secret: canary(),
      schemaRegistry: schemaRegistryEnum,
      tls,
    },
    nats: {
      servers: 'tls://127.0.0.1:1',
      authentication: {
        username: 'plant',
        password: canary(),
        jwt: canary(),
        nkeySeed: canary(),
        token: canary(),
        creds: canary(),
      },
      schemaRegistryEnum,
      tls,
    },
    rabbitmq: {
      host: 'localhost',
      username: 'plant',
      password: canary(),
      schemaRegistryEnum,
      tls_config: {
        enabled: true,
        root_certificates_path: ca.cert,
        client_certificates_path: own.cert,
        client_keys_path: key,
        client_keys_passphrase: passphrase,
      },
    },
    redis: {
      connection: { address: 'rediss://127.0.0.1:1' },
      username: 'plant',
      password: canary(),
      schemaRegistryEnum,
      tls,
    },
    postgres: {
      host: 'db.example',
      user: 'penstock',
      password: canary(),
      tls: { mode: 'verify-full', ca: ca.cert, cert: own.cert, key, passphrase },
    },
  };
  const secrets = { inQuery, wrongPassword, fromVariable, adminKey };
  for (const [name, secret] of Object.entries(secrets)) hide(name, secret);
  service = await startService({
    worker: true,
    adminKey,
    logLevel: 'trace',
    variables: { PENSTOCK_VAR_PASSWORD: fromVariable },
    async open() {
      const store = await open();
      url = store.url;
      return store;
    },
  });
}, 300_000);

const filesBeside = (url: string): string => {
  const folder = dirname(url.slice('file:'.length));
  return readdirSync(folder)
    .map((name) => readFileSync(join(folder, name)).toString('latin1'))
    .join('\n');
};

async function everyRow(): Promise<string> {
  const tables = await execute(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'");
  expect(tables.length).toBeGreaterThan(8);
  const rows = tables.map(({ tablename }) => execute(url, `SELECT t::text FROM "${tablename}" t`));
  return JSON.stringify(await Promise.all(rows));
}

/** For a stream that ends with its subject. */
async function firstEvent(response: Response): Promise<string> {
  for await (const chunk of response.body as ReadableStream<Uint8Array>) return Buffer.from(chunk).toString();
  return '';
}

async function ask(method: string, path: string, body?: unknown, accept = 'application/json') {
  const response = await fetch(`${service.address}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${adminKey}`,
      accept,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(60_000),
  });
  const endless = path.endsWith('/events');
  const answer = endless ? await firstEvent(response) : await response.text();
  text += `${[...response.headers].join('\n')}\n${answer}\n`;
  return { status: response.status, body: answer.startsWith('{') ? JSON.parse(answer) : answer };
}
const post = (path: string, body: unknown, accept?: string) => ask('POST', `/api/v1${path}`, body, accept);
async function made(path: string, body: unknown): Promise<string> {
  const answer = await post(path, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
  return answer.body.id;
}

const mqtt = (): JsonObject => configs.mqtt as JsonObject;

const secretAt = (config: JsonObject, path: string): unknown =>
  path.split('/').reduce<unknown>((at, name) => (at as JsonObject | undefined)?.[name], config);

describe.each(connectors.map((connector) => ({ connector, id: connector.id })))(
  '$id',
  ({ connector, id }) => {
    test('every sensitive field has a secret here', () => {
      for (const path of sensitivePaths(connector.profile)) {
        const secret = secretAt(configs[id] ?? {}, path);
        expect(secret, path).toMatch(/.{20}/);
        // One line is enough to recognise a key of several lines.
        const lines = (secret as string)
          .split('\n')
          .filter((line) => !line.startsWith('-----') && line !== '');
        for (const [index, line] of lines.entries()) hide(`${path} ${index}`, line);
      }
    });
  },
);

const source = { topic: 'canary/in', type: {} };
const sink = { topic: 'canary/out', type: { retain: false } };
const schema = {
  format: { type: 'raw_string' },
  fields: [{ name: 'value', type: 'string', required: true }],
};
const inline = (direction: string, topic: string, password: string): string =>
  `CREATE TABLE ${direction}s (value TEXT) WITH (connector = 'mqtt', url = '${configs.mqtt?.url}', username = 'ada', ` +
  `password = '${password}', tls.ca = '${secretAt(mqtt(), 'tls/ca')}', type = '${direction}', ` +
  `topic = '${topic}', format = 'raw_string');`;

describe('the use of secrets', () => {
  const ids: Record<string, string> = {};

  test('a pipeline runs with them, and one with a wrong password fails', async () => {
    const profile = { name: 'plant', connector: 'mqtt', config: configs.mqtt };
    ids.connection_profiles = await made('/connection_profiles', profile);
    const ofVariable = { ...configs.mqtt, username: 'var', password: '{{ PENSTOCK_VAR_PASSWORD }}' };
    const other = await made('/connection_profiles', { ...profile, name: 'other', config: ofVariable });
    const wrong = { ...configs.mqtt, password: wrongPassword };
    const bad = await made('/connection_profiles', { ...profile, name: 'bad', config: wrong });
    ids.connection_tables = await made('/connection_tables', tableBody('a', profileId(), source, schema));
    await made('/connection_tables', tableBody('b', other, sink, schema));
    await made('/connection_tables', tableBody('c', bad, sink, schema));
    const query = (to: string) => `INSERT INTO ${to} SELECT value FROM a`;
    ids.pipelines = await made('/pipelines', { name: 'runs', query: query('b'), parallelism: 1 });
    const fails = await made('/pipelines', { name: 'fails', query: query('c'), parallelism: 1 });
    const tables = `${inline('source', 'canary/q', inQuery)} ${inline('sink', 'canary/r', inQuery)}`;
    const queried = await made('/pipelines', {
      name: 'query',
      query: `${tables} INSERT INTO sinks SELECT value FROM sources`,
      parallelism: 1,
    });
    await reaches(ids.pipelines, 'Running');
    await reaches(fails, 'Failed');
    await reaches(queried, 'Failed');
    const client = await plainClient(String(mqtt().url), login());
    await client.publishAsync('canary/in', 'hello', { qos: 1 });
  });

  const profileId = (): string => ids.connection_profiles as string;
  const login = () => ({
    username: 'ada',
    password: configs.mqtt?.password,
    ca: secretAt(mqtt(), 'tls/ca'),
  });
  async function reaches(pipeline: string, state: string): Promise<void> {
    await until(
      `${pipeline} to be ${state}`,
      async () => {
        const { body } = await ask('GET', `/api/v1/pipelines/${pipeline}/jobs`);
        ids.jobs = body.data[0].id;
        return body.data[0].state === state;
      },
      60_000,
    );
  }

  test('tests respond as JSON and as events, on success and on failure', async () => {
    const wrong = { password: wrongPassword, username: 'ada' };
    for (const accept of ['application/json', 'text/event-stream']) {
      const profile = { name: 'x', connector: 'mqtt', config: configs.mqtt };
      const { status } = await post('/connection_profiles/test', profile, accept);
      expect(status).toBe(200);
      const changed = { ...profile, config: { ...configs.mqtt, ...wrong } };
      await post('/connection_profiles/test', changed, accept);
      await post(`/connection_profiles/${profileId()}/test`, {}, accept);
      await post(`/connection_profiles/${profileId()}/test`, { config: wrong }, accept);
      await post(
        `/connection_profiles/${profileId()}/test`,
        { config: { tls: { passphrase: wrongPassword } } },
        accept,
      );
      const table = tableBody('x', profileId(), { ...source, topic: 'canary/x' }, schema);
      await post('/connection_tables/test', { ...table, timeout_ms: 3_000, step_timeout_ms: 1_000 }, accept);
    }
    expect(text).toMatch(/mqtt_bad_credentials|mqtt_not_authorized/);
    expect(text).toContain('Successfully connected');
  });

  test('errors of requests that hold them', async () => {
    const profile = { name: 'y', connector: 'mqtt', config: configs.mqtt as JsonObject };
    const wrong: JsonObject[] = [
      { url: `mqtt://ada:${wrongPassword}@localhost:1` },
      { url: `${wrongPassword}` },
      { ...profile.config, password: [wrongPassword] },
      { ...profile.config, password: wrongPassword.repeat(3_000) },
      { ...profile.config, key: wrongPassword },
      { ...profile.config, tls: wrongPassword },
      { ...profile.config, tls: { ...(profile.config.tls as JsonObject), key: wrongPassword } },
      {
        ...profile.config,
        tls: { ...(profile.config.tls as JsonObject), key: `-----BEGIN ${wrongPassword}` },
      },
      { ...profile.config, protocolVersion: wrongPassword },
    ];
    for (const config of wrong) {
      expect((await post('/connection_profiles?dry_run=true', { ...profile, config })).status).toBeLessThan(
        500,
      );
      await post('/connection_profiles/test', { ...profile, config });
      await ask('PATCH', `/api/v1/connection_profiles/${profileId()}?dry_run=true`, { config });
    }
    const table = inline('source', 'q', inQuery);
    const cut = table.slice(0, table.indexOf(inQuery) + inQuery.length);
    const queries = [
      `${table} SELECT`,
      `${table} SELEC value FROM sources`,
      table.replace("topic = 'q'", `topic = 'q', nonsense = '${inQuery}'`),
      table.replace('password =', 'password'),
      table.replace('password =', 'pasword ='),
      table.replace(`'${inQuery}'`, `${inQuery}`),
      table.replace(`'${inQuery}'`, `'${inQuery}' '${inQuery}'`),
      table.replace("type = 'source'", `type = '${'source'}', password = '${inQuery}'`),
      cut,
    ];
    for (const query of queries) {
      await post('/pipelines/validate_query', { query });
      await post('/pipelines', { name: 'z', query, parallelism: 1 });
    }
    const { body } = await post('/pipelines/validate_query', { query: `${table} SELECT` });
    expect(JSON.stringify(body)).toMatch(/error|valid/);
  });

  test('every route that reads', async () => {
    const readable = operationsOf(service.app.swagger() as unknown as Document).filter(
      ({ method }) => method === 'get',
    );
    expect(readable.length).toBeGreaterThan(15);
    for (const { path } of readable) {
      const [, , , collection = ''] = path.split('/');
      const url = path
        .replace('{id}', path.includes('connectors') ? 'mqtt' : (ids[collection] ?? 'none'))
        .replace('{job_id}', ids.jobs ?? 'none')
        .replace('{name}', 'plant')
        .replace('{epoch}', '1')
        .replaceAll(/\{\w+\}/g, 'none');
      const { status } = await ask('GET', path.endsWith('/tail') ? `${url}?seconds=1` : url);
      expect([200, 404], url).toContain(status);
    }
    expect(text).toContain('********');
  });

  test('keys are shown once, and edits and their records have masks', async () => {
    const response = await fetch(`${service.address}/api/v1/api_keys`, {
      method: 'POST',
      headers: { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({ name: 'robot', role: 'viewer' }),
    });
    const { key } = (await response.json()) as { key: string };
    expect(key).toMatch(/.{20}/);
    hide('the new key', key);
    await fetch(`${service.address}/api/v1/pipelines`, { headers: { authorization: `Bearer ${key}` } });
    const change = { config: { password: wrongPassword } };
    const { status } = await ask('PATCH', `/api/v1/connection_profiles/${profileId()}?dry_run=true`, change);
    expect(status).toBe(200);
    await ask('PATCH', `/api/v1/connection_profiles/${profileId()}`, { labels: { a: 'b' } });
    for (const path of ['/api/v1/audit?limit=100', '/api/v1/api_keys', '/metrics']) await ask('GET', path);
    expect(text).toContain('robot');
  });

  test('no secret is in a response', () => {
    expect(needles.size).toBeGreaterThan(12);
    expect(found()).toEqual([]);
  });

  test('nor in the log', () => {
    text = service.logged();
    expect(text).toContain('"level":');
    expect(text.length).toBeGreaterThan(10_000);
    expect(found()).toEqual([]);
  });

  test('nor in the files of the database, where it is sealed', async () => {
    text = url.startsWith('file:') ? filesBeside(url) : await everyRow();
    expect(text).toContain('$sealed');
    expect(text).toContain('sealed:v1.');
    expect(found()).toEqual([]);
  });

  test('and would be found', () => {
    text = `... ${Buffer.from(JSON.stringify(configs)).toString('latin1')} ...`;
    expect(found()).toEqual(expect.arrayContaining(['password 0', 'tls/passphrase 0']));
  });
});
