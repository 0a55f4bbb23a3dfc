import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { whyMissing } from '../../scripts/servers.ts';
import { PenstockError } from '../../src/errors.ts';
import { closeDb, databaseFailure, openDb } from '../../src/store/db.ts';
import { applyMigrations } from '../../src/store/migrations.ts';
import { readPostgresUrl } from '../../src/store/postgres.ts';
import { atEnd, temporaryFolder } from '../support/at-end.ts';
import { makeAuthority, makeServer } from '../support/certificates.ts';
import { execute } from '../support/databases.ts';
import { freePort } from '../support/free-port.ts';
import { startPostgres } from '../support/postgres.ts';
import { ServerProcess } from '../support/server-process.ts';
import { skipping } from '../support/skipping.ts';

/** The database as operators run it: roles, schemas, TLS, poolers and modes that refuse. */

const password = 'p@ss/w#rd%41?:';
const encoded = encodeURIComponent(password);
const hba = `
host all penstock 127.0.0.1/32 trust
hostssl all tls_only 127.0.0.1/32 trust
hostnossl all tls_only 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
`;
const roles = `
  CREATE ROLE own LOGIN PASSWORD '${password}'; CREATE ROLE strange LOGIN PASSWORD '${password}';
  CREATE ROLE crowded LOGIN PASSWORD '${password}' CONNECTION LIMIT 0;
  CREATE ROLE reader LOGIN PASSWORD '${password}'; ALTER ROLE reader SET default_transaction_read_only = on;
  CREATE ROLE tls_only LOGIN; CREATE ROLE lost LOGIN PASSWORD '${password}'; ALTER ROLE lost SET search_path = nowhere;`;

let admin: string;
let port: string;
let files: string;
let authority: string;
let other: string;

beforeAll(async () => {
  const [ca, stranger] = await Promise.all([makeAuthority(), makeAuthority('Another authority')]);
  const { cert, key } = await makeServer(ca, ['localhost']);
  const server = await startPostgres({
    files: { 'pg_hba.conf': hba, 'server.crt': cert, 'server.key': key },
    settings: { ssl: 'on', ssl_cert_file: 'FOLDER/server.crt', ssl_key_file: 'FOLDER/server.key' },
  });
  atEnd(() => server.stop());
  admin = server.url('postgres');
  port = new URL(admin).port;
  for (const statement of roles.split(';').filter((one) => one.trim())) await execute(admin, statement);
  files = temporaryFolder('certificates');
  authority = join(files, 'ca.pem');
  other = join(files, 'other.pem');
  writeFileSync(authority, ca.cert);
  writeFileSync(other, stranger.cert);
}, 120_000);

const urlOf = (user: string, database: string, query = '', host = '127.0.0.1'): string =>
  `postgresql://${user}:${encoded}@${host}:${port}/${database}${query}`;

async function create(name: string, ...statements: string[]): Promise<void> {
  await execute(admin, `CREATE DATABASE ${name}`);
  for (const statement of statements) await execute(admin.replace(/postgres$/, name), statement);
}

/** Starts as the service does, and returns the schemas that have our tables. */
async function start(url: string): Promise<string[]> {
  await applyMigrations(url);
  const db = await openDb(url);
  try {
    expect(await databaseFailure(db, inTimeMs)).toBeUndefined();
    expect(await db.pipeline.count()).toBe(0);
    const rows = await db.$queryRawUnsafe<{ schema: string }[]>(
      `SELECT table_schema AS schema FROM information_schema.tables WHERE table_name IN ('Pipeline', '_prisma_migrations')
       ORDER BY 1`,
    );
    return rows.map(({ schema }) => schema);
  } finally {
    await closeDb(db);
  }
}

/** Enough for a busy machine. */
const inTimeMs = 60_000;

const failure = async (url: string): Promise<PenstockError> => {
  try {
    await start(url);
  } catch (error) {
    if (error instanceof PenstockError) return error;
    throw error;
  }
  throw new Error('it worked');
};

describe('the schema', () => {
  test('of the URL is created and used, by migrations and queries', async () => {
    await create('of_url', 'GRANT CREATE ON DATABASE of_url TO own');
    expect(await start(urlOf('own', 'of_url', '?schema=pen'))).toEqual(['pen', 'pen']);
    expect(await start(urlOf('own', 'of_url', '?schema=pen'))).toEqual(['pen', 'pen']);
    expect(await start(urlOf('own', 'of_url', '?schema=Two%20words'))).toHaveLength(4);
  });

  test('of the search path of the role is used at every start', async () => {
    await create('of_path', 'CREATE SCHEMA plant AUTHORIZATION own');
    await execute(admin, 'ALTER ROLE own IN DATABASE of_path SET search_path = plant, public');
    expect(await start(urlOf('own', 'of_path'))).toEqual(['plant', 'plant']);
    expect(await start(urlOf('own', 'of_path'))).toEqual(['plant', 'plant']);
  });

  test('that is called like the role is used when it exists', async () => {
    await create('of_name', 'CREATE SCHEMA own AUTHORIZATION own');
    expect(await start(urlOf('own', 'of_name'))).toEqual(['own', 'own']);
  });

  test('of options is used', async () => {
    await create('of_options', 'CREATE SCHEMA plant AUTHORIZATION own');
    expect(await start(urlOf('own', 'of_options', '?options=-csearch_path%3Dplant'))).toEqual([
      'plant',
      'plant',
    ]);
  });

  test('stays where the tables are when another comes first on the path', async () => {
    await create('stays', 'GRANT CREATE ON SCHEMA public TO own');
    expect(await start(urlOf('own', 'stays'))).toEqual(['public', 'public']);
    await execute(admin.replace(/postgres$/, 'stays'), 'CREATE SCHEMA own AUTHORIZATION own');
    expect(await start(urlOf('own', 'stays'))).toEqual(['public', 'public']);
  });

  test('that does not exist on the path, or may not be created, is reported', async () => {
    await create('no_schema');
    expect(await failure(urlOf('lost', 'no_schema'))).toMatchObject({
      code: 'database_missing',
      message: expect.stringContaining('search_path'),
    });
    expect(await failure(urlOf('own', 'no_schema', '?schema=pen'))).toMatchObject({
      code: 'database_forbidden',
      facts: { said: 'permission denied for database no_schema' },
    });
    expect(await failure(urlOf('own', 'no_schema'))).toMatchObject({
      code: 'database_forbidden',
      hint: expect.stringContaining('GRANT USAGE, CREATE ON SCHEMA'),
      facts: { said: 'permission denied for schema public' },
    });
  });
});

describe('a database that cannot be used', () => {
  test.each([
    [
      'wrong password',
      'own',
      'postgres',
      'database_login_refused',
      'password authentication failed for user "own"',
    ],
    ['unknown role', 'nobody', 'postgres', 'database_login_refused', 'password authentication failed'],
    ['missing database', 'own', 'nothing', 'database_missing', 'database "nothing" does not exist'],
    ['too many connections', 'crowded', 'postgres', 'database_too_many_connections', 'too many connections'],
    ['plain connection', 'tls_only', 'postgres', 'database_login_refused', 'no encryption'],
    ['read-only role', 'reader', 'postgres', 'database_read_only', 'read-only transaction'],
  ])('tells of a %s', async (what, user, database, code, said) => {
    const url = urlOf(user, database);
    const error = await failure(what === 'wrong password' ? url.replace(encoded, 'secret') : url);
    expect(error).toMatchObject({ code, passing: true, facts: { said: expect.stringContaining(said) } });
    expect(error.hint).toBeTruthy();
    expect(`${error.message}${error.hint}${error.facts.said}`).not.toMatch(/p@ss|secret/);
  });

  test('tells of a missing password', async () => {
    const url = `postgresql://own@127.0.0.1:${port}/postgres`;
    expect(await failure(url)).toMatchObject({ message: 'The database asks for a password' });
  });

  test('tells of parameters that the server does not have', async () => {
    const error = await failure(urlOf('own', 'postgres', '?options=-cnonsense%3D1'));
    expect(error).toMatchObject({
      code: 'database_parameter_refused',
      facts: { said: expect.stringContaining('nonsense') },
    });
  });

  test('stops being ready when it becomes read-only, and is ready again', async () => {
    await create('turns', 'GRANT CREATE ON DATABASE turns TO own');
    const url = urlOf('own', 'turns', '?schema=pen');
    await applyMigrations(url);
    const db = await openDb(url);
    const set = async (statement: string) => {
      await execute(admin, statement);
      await execute(admin, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'turns'`);
      // The connection that was cut is noticed by one call.
      await db.job.count().catch(() => {});
    };
    await set('ALTER DATABASE turns SET default_transaction_read_only = on');
    expect(await databaseFailure(db, inTimeMs)).toMatchObject({ code: 'database_read_only' });
    const session = { id: 'a', connector: 'mqtt', profile: '', tables: '', jobId: 'a', operatorId: 'a' };
    const written = db.sourceSession.create({ data: { ...session, taskIndex: 0, stateSince: 0n } });
    expect(await written.catch((error) => error)).toMatchObject({ code: 'database_read_only' });
    expect(await db.job.count()).toBe(0);
    await set('ALTER DATABASE turns RESET default_transaction_read_only');
    expect(await databaseFailure(db, inTimeMs)).toBeUndefined();
    await closeDb(db);
  });
});

describe('TLS', () => {
  const url = (query: string, host = '127.0.0.1') => urlOf('own', 'tls', query, host);
  beforeAll(() => create('tls', 'GRANT CREATE ON SCHEMA public TO own'));

  test.each([
    ['encrypts with require', () => url('?sslmode=require')],
    ['checks who signed with verify-ca', () => url(`?sslmode=verify-ca&sslrootcert=${authority}`)],
    [
      'checks who signed with require and an authority',
      () => url(`?sslmode=require&sslrootcert=${authority}`),
    ],
    [
      'checks the name with verify-full',
      () => url(`?sslmode=verify-full&sslrootcert=${authority}`, 'localhost'),
    ],
    ['is what ssl=no-verify asks for', () => url('?ssl=no-verify')],
  ])('%s', async (_, make) => {
    expect(await start(make())).toContain('public');
  });

  test.each([
    ['another authority', () => url(`?sslmode=verify-ca&sslrootcert=${other}`), 'sslrootcert'],
    ['require with another authority', () => url(`?sslmode=require&sslrootcert=${other}`), 'sslrootcert'],
    ['no authority', () => url('?sslmode=verify-full', 'localhost'), 'sslrootcert'],
    ['another name', () => url(`?sslmode=verify-full&sslrootcert=${authority}`), 'host name'],
    ['only an authority, which means verify-full', () => url(`?sslrootcert=${authority}`), 'host name'],
  ])('refuses %s', async (_, make, hint) => {
    const error = await failure(make());
    expect(error).toMatchObject({ code: 'database_tls_failed', hint: expect.stringContaining(hint) });
    expect(error.facts.said).toBeTruthy();
  });

  test('is asked of a server that does not have it', async () => {
    const plain = await startPostgres();
    atEnd(() => plain.stop());
    const error = await failure(`${plain.url('postgres')}?sslmode=require`);
    expect(error).toMatchObject({ code: 'database_tls_failed', hint: expect.stringContaining('ssl = on') });
  });
});

const noPooler = whyMissing('pgbouncer');

describe.skipIf(noPooler)(skipping('a pooler in transaction mode', noPooler), () => {
  let pooled: string;

  beforeAll(async () => {
    const folder = temporaryFolder('pgbouncer');
    const at = await freePort();
    const config = join(folder, 'pgbouncer.ini');
    writeFileSync(join(folder, 'users'), '"penstock" ""\n');
    writeFileSync(
      config,
      `[databases]\n* = host=127.0.0.1 port=${port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${at}\n` +
        `auth_type = trust\nauth_file = ${folder}/users\npool_mode = transaction\nunix_socket_dir =\ndefault_pool_size = 3\n`,
    );
    const asRoot = process.getuid?.() === 0;
    const command = asRoot ? 'setpriv' : 'pgbouncer';
    const args = asRoot ? ['--reuid=nobody', '--clear-groups', 'pgbouncer', config] : [config];
    for (const path of [folder, config, join(folder, 'users')]) chmodSync(path, 0o755);
    await ServerProcess.start({ command, args, port: at, folder });
    pooled = `postgresql://penstock@127.0.0.1:${at}`;
    await create('behind');
  });

  test('works without settings, as it refuses those of the session', async () => {
    expect(await start(`${pooled}/behind?schema=pen`)).toEqual(['pen', 'pen']);
    expect(await start(`${pooled}/behind?schema=pen&pgbouncer=true`)).toEqual(['pen', 'pen']);
  });

  test('lets many transactions run over a few connections', async () => {
    const db = await openDb(`${pooled}/behind?schema=pen`);
    const id = (n: number) => `ses_${n}`;
    const session = { connector: 'mqtt', profile: '', tables: '', jobId: 'a', operatorId: 'a', taskIndex: 0 };
    await Promise.all(
      Array.from({ length: 30 }, (_, n) =>
        db.$transaction(async (tx) => {
          await tx.sourceSession.create({ data: { id: id(n), ...session, stateSince: 0n } });
          await tx.sourceSession.update({ where: { id: id(n) }, data: { attempts: { increment: 1 } } });
        }),
      ),
    );
    expect(await db.sourceSession.count({ where: { attempts: 1 } })).toBe(30);
    await closeDb(db);
  });

  test('tells of options, a missing database and an unknown user', async () => {
    const options = await failure(`${pooled}/behind?options=-csearch_path%3Dpen`);
    expect(options).toMatchObject({
      code: 'database_parameter_refused',
      hint: expect.stringContaining('?schema='),
    });
    expect(await failure(`${pooled}/nothing`)).toMatchObject({ code: 'database_missing' });
    const unknown = await failure(`${pooled.replace('penstock', 'nobody')}/behind`);
    expect(unknown).toMatchObject({ code: 'database_login_refused' });
  });
});

describe('a URL', () => {
  test.each([
    ['postgresql://own:a/b@host/x', 'percent-encoded'],
    ['postgresql://own:12/b@host', 'percent-encoded'],
    ['postgresql://own:a#b@host/x', 'percent-encoded'],
    ['postgresql://own:12#b@host', 'percent-encoded'],
    ['postgresql://own:12?secret=b@host/x', 'percent-encoded'],
    ['postgresql://own:a%zzb@host/x', 'write %25'],
    ['postgresql://own:b@one,two/x', 'several hosts'],
    ['postgresql://own:b@host:99999/x', 'port'],
    ['postgresql://host/x?sslmode=prefer', 'sslmode'],
    ['postgresql://host/x?sslmode=verify-ca', 'needs sslrootcert'],
    ['postgresql://host/x?sslrootcert=/does/not/exist', 'ENOENT'],
    ['postgresql://host/x?pool_timeout=3', 'pool_timeout is not understood'],
    ['postgresql://host/x?sslcrl=/x', 'sslcrl is not understood'],
    ['postgresql://host/x?channel_binding=require', 'channel_binding'],
    ['postgresql://host/x?schema=pg_catalog', 'pg_'],
    ['postgresql://host/x?schema=a%22b', 'quotes'],
    ['postgresql://host/x?schema=a&schema=b', 'twice'],
    ['postgresql://host/x?connection_limit=0', 'connection_limit'],
  ])('%s is refused', (url, said) => {
    const read = () => readPostgresUrl(url);
    expect(read).toThrow(said);
    expect(read).toThrow(expect.objectContaining({ code: 'invalid_config' }));
    expect(read).not.toThrow(/secret|own:/);
  });

  test.each([
    [`postgresql://own:${encoded}@host/x`, { user: 'own', password, host: 'host', database: 'x' }],
    ['postgresql://own:a b@host/x', { password: 'a b' }],
    ['postgres://own:a@b@host:1/x', { password: 'a@b', host: 'host', port: 1 }],
    ['postgresql://own:a:b@[::1]/x', { password: 'a:b', host: '::1' }],
    [
      'postgresql:///x?host=/run/postgresql&user=own&port=7',
      { host: '/run/postgresql', user: 'own', port: 7 },
    ],
    ['postgresql://%2Frun%2Fpostgresql/x', { host: '/run/postgresql', database: 'x' }],
    ['postgresql://host/x?connection_limit=3&connect_timeout=2', { max: 3, connectionTimeoutMillis: 2000 }],
    ['postgresql://host/x?sslmode=disable&target_session_attrs=read-write', { ssl: false }],
    ['postgresql://host/x?options=-c%20role%3Dpen&application_name=p', { options: '-c role=pen' }],
  ])('%s is read', (url, config) => {
    expect(readPostgresUrl(url).config).toMatchObject(config);
  });
});
