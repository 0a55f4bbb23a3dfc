import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { atEnd } from '../../../../test/support/at-end.ts';
import { makeAuthority, makeClient, makeServer } from '../../../../test/support/certificates.ts';
import { execute } from '../../../../test/support/databases.ts';
import { freePort } from '../../../../test/support/free-port.ts';
import { accepts } from '../../../../test/support/mosquitto.ts';
import { startPostgres } from '../../../../test/support/postgres.ts';
import { checked, profileOf, WrittenTable } from '../../../../test/support/postgres-sink.ts';
import { skipping } from '../../../../test/support/skipping.ts';
import { until } from '../../../../test/support/until.ts';
import type { Field } from '../../../formats/schema/schema.ts';
import type { PostgresProfile } from '../config/profile.ts';

const ca = await makeAuthority();
const other = await makeAuthority('Another authority');
const [server, client, wrong] = await Promise.all([
  makeServer(ca, ['localhost']),
  makeClient(ca),
  makeClient(other),
]);
const { url, stop } = await startPostgres({
  files: {
    'ca.crt': ca.cert,
    'server.crt': server.cert,
    'server.key': server.key,
    'pg_hba.conf': [
      'host all penstock 127.0.0.1/32 trust',
      'hostssl all "Penstock test client" 127.0.0.1/32 cert',
      'hostssl all scram 127.0.0.1/32 scram-sha-256',
      'host all md5 127.0.0.1/32 md5',
      '',
    ].join('\n'),
  },
  settings: {
    ssl: 'on',
    ssl_ca_file: 'FOLDER/ca.crt',
    ssl_cert_file: 'FOLDER/server.crt',
    ssl_key_file: 'FOLDER/server.key',
    max_connections: '30',
  },
});
atEnd(stop);
const admin = url('postgres');
const port = Number(new URL(admin).port);
const sql = (text: string) => execute(admin, text);
await sql(`CREATE ROLE "Penstock test client" LOGIN; CREATE ROLE scram LOGIN PASSWORD 'geh@eim/';
  SET password_encryption = md5; CREATE ROLE md5 LOGIN PASSWORD 'geheim'; CREATE TABLE t (id bigint, text text)`);

const base = { host: 'localhost', port, database: 'postgres' };
const fields: Field[] = [
  { name: 'id', type: 'int64' },
  { name: 'text', type: 'string' },
];

/** The first step that is not ok, or the last one. */
async function outcome(profile: PostgresProfile): Promise<string> {
  const steps = Object.values(await checked({ ...base, ...profile }));
  const found = steps.find(
    (step) => step.outcome === 'failed' || (step.name === 'tls' && step.code !== null),
  );
  return found ? `${found.name}: ${found.code}` : 'ok';
}

describe('logins', () => {
  test.each<[string, PostgresProfile]>([
    ['ok', { user: 'scram', password: 'geh@eim/', tls: { ca: ca.cert } }],
    ['ok', { user: 'scram', password: 'geh@eim/', tls: { ca: ca.cert, mode: 'verify-ca' } }],
    ['tls: tls_unknown_issuer', { user: 'scram', password: 'geh@eim/', tls: { mode: 'require' } }],
    ['ok', { user: 'md5', password: 'geheim', tls: { mode: 'disable' } }],
    ['ok', { user: 'Penstock test client', tls: { ca: ca.cert, ...client } }],
    ['tls: tls_unknown_issuer', { user: 'scram', tls: {} }],
    ['tls: tls_unknown_issuer', { user: 'scram', tls: { ca: other.cert } }],
    ['tls: tls_unknown_issuer', { user: 'scram', tls: { ca: other.cert, mode: 'verify-ca' } }],
    ['tls: tls_name_mismatch', { host: '127.0.0.1', user: 'scram', tls: { ca: ca.cert } }],
    [
      'ok',
      { host: '127.0.0.1', user: 'scram', password: 'geh@eim/', tls: { ca: ca.cert, mode: 'verify-ca' } },
    ],
    ['login: postgres_login_refused', { user: 'scram', password: 'wrong', tls: { ca: ca.cert } }],
    ['login: postgres_login_refused', { user: 'scram', tls: { ca: ca.cert } }],
    ['login: postgres_login_refused', { user: 'scram', password: 'geh@eim/', tls: { mode: 'disable' } }],
    ['login: postgres_login_refused', { user: 'Penstock test client', tls: { ca: ca.cert } }],
    ['tls: tls_client_certificate_refused', { user: 'Penstock test client', tls: { ca: ca.cert, ...wrong } }],
  ])('%s (%#)', async (expected, profile) => {
    expect(await outcome(profile)).toBe(expected);
  });

  test('take nothing from the environment', async () => {
    const environment = {
      PGPASSWORD: 'geh@eim/',
      PGOPTIONS: '-c search_path=nowhere',
      PGAPPNAME: 'elsewhere',
    };
    Object.assign(process.env, environment);
    try {
      expect(await outcome({ user: 'scram', tls: { ca: ca.cert } })).toBe('login: postgres_login_refused');
      const written = new WrittenTable(admin, { table: 't' }, fields, {
        url: admin,
        tls: { mode: 'disable' },
        applicationName: 'plant 5',
      });
      expect(await written.write([{ id: 1n, text: 'a' }])).toEqual([]);
      expect(
        await sql(`SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'plant 5'`),
      ).toEqual([{ n: 1 }]);
    } finally {
      for (const name of Object.keys(environment)) delete process.env[name];
    }
  });
});

describe('an open sink', () => {
  const open = async (statementTimeoutMs?: number) => {
    const lost: unknown[] = [];
    const written = new WrittenTable(admin, { table: 't' }, fields, {
      url: admin,
      tls: { mode: 'disable' },
      applicationName: 'victim',
      ...(statementTimeoutMs === undefined ? {} : { statementTimeoutMs }),
    });
    written.context.lost = ({ code, passing }) => void lost.push({ code, passing });
    const sink = await written.sink();
    return { sink, lost, written };
  };

  test('reports that the server shuts it down, even while it is idle', async () => {
    const { lost, written } = await open();
    await sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim'`);
    await until('it to say so', () => lost.length > 0);
    expect(lost).toEqual([{ code: 'postgres_unavailable', passing: true }]);
    await expect(written.write([{ id: 1n, text: '' }])).rejects.toMatchObject({ passing: true });
  });

  test('gives up a statement that waits for a lock for too long', async () => {
    const { written } = await open(1_000);
    const locker = new pg.Client({ connectionString: admin });
    await locker.connect();
    await locker.query('BEGIN; LOCK TABLE t');
    await expect(written.write([{ id: 1n, text: '' }])).rejects.toMatchObject({
      code: 'postgres_timeout',
      passing: true,
    });
    await locker.end();
  });

  test('is told which errors pass and which do not', async () => {
    const { written } = await open();
    await sql('ALTER TABLE t RENAME COLUMN text TO words');
    await expect(written.write([{ id: 1n, text: '' }])).rejects.toMatchObject({
      code: 'postgres_column_missing',
      passing: false,
    });
    await sql('ALTER TABLE t RENAME COLUMN words TO text');
    const full = Array.from({ length: 40 }, () => new pg.Client({ connectionString: admin }));
    for (const one of full) one.on('error', () => {});
    await Promise.allSettled(full.map((one) => one.connect()));
    expect(await outcome({ user: 'md5', password: 'geheim', tls: { mode: 'disable' } })).toBe(
      'login: postgres_too_many_connections',
    );
    await Promise.all(full.map((one) => one.end().catch(() => {})));
  });
});

const pgbouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find((path) => existsSync(path));
const noPooler = pgbouncer === undefined ? 'pgbouncer is not installed' : undefined;

describe.skipIf(noPooler !== undefined)(skipping('pgbouncer in transaction mode', noPooler), () => {
  async function start(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), 'penstock-pgbouncer-'));
    const listen = await freePort();
    await writeFile(
      join(folder, 'pgbouncer.ini'),
      `[databases]
plant = host=127.0.0.1 port=${port} dbname=postgres user=penstock pool_size=2
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
max_client_conn = 12
`,
    );
    // It refuses to run as root.
    const root = process.getuid?.() === 0;
    const given = [join(folder, 'pgbouncer.ini'), ...(root ? ['-u', 'postgres'] : [])];
    if (root) await import('node:fs/promises').then(({ chmod }) => chmod(folder, 0o755));
    const child = spawn(pgbouncer as string, given, { stdio: 'ignore' });
    atEnd(async () => void child.kill('SIGKILL'));
    await until('pgbouncer to listen', () => accepts(listen));
    return `postgresql://anyone@127.0.0.1:${listen}/plant`;
  }

  test('serves tests and more sinks than it has connections, and finds no state left behind', async () => {
    const pooled = await start();
    await sql('CREATE TABLE p (id bigint PRIMARY KEY, text text)');
    const schema = { fields };
    const steps = await checked(profileOf(pooled), { table: 'p', mode: 'upsert', key: ['id'] }, schema);
    expect(Object.values(steps).filter(({ outcome: one }) => one === 'failed')).toEqual([]);
    const modes = ['append', 'upsert', 'insert_ignore'] as const;
    const sinks = Array.from({ length: 9 }, (_, nth) => {
      const mode = modes[nth % 3];
      const table = { table: 'p', mode, ...(mode === 'append' ? {} : { key: ['id'] }) };
      return new WrittenTable(admin, table, fields, profileOf(pooled));
    });
    await Promise.all(sinks.map((sink) => sink.sink()));
    for (let round = 0; round < 5; round += 1)
      await Promise.all(
        sinks.map(async (sink, nth) => {
          const id = BigInt(100 * nth + round);
          const refusals = await sink.refused([
            { id, text: 'a' },
            { id: null, text: 'b' },
          ]);
          expect(refusals).toEqual([[1, '23502']]);
        }),
      );
    expect(await sql('SELECT count(*)::int AS n FROM p')).toEqual([{ n: 45 }]);
    const left = await execute(
      pooled,
      `SELECT current_setting('statement_timeout') AS timeout, (SELECT count(*)::int FROM pg_prepared_statements) AS statements`,
    );
    expect(left).toEqual([{ timeout: '0', statements: 0 }]);
  });

  test('says that it has no room, or no such database', async () => {
    const pooled = await start();
    // Until it is full: the connection that found it ready may still count.
    const clients: pg.Client[] = [];
    for (let full = false; !full; ) {
      const one = new pg.Client({ connectionString: pooled });
      one.on('error', () => {});
      await one.connect().then(
        () => clients.push(one),
        () => {
          full = true;
        },
      );
    }
    expect(clients.length).toBeGreaterThan(5);
    expect((await checked(profileOf(pooled))).login).toMatchObject({ code: 'postgres_too_many_connections' });
    await Promise.all(clients.map((one) => one.end()));
    expect((await checked(profileOf(pooled.replace('/plant', '/none')))).login).toMatchObject({
      code: 'postgres_database_missing',
    });
  });
});
