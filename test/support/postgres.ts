import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { chown, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import pg from 'pg';
import { freePort } from './free-port.ts';

export interface Postgres {
  /** The URL of the database `name`. Initially only `postgres` exists. */
  url(name: string): string;
  stop(): Promise<void>;
}

interface PostgresOptions {
  /** Files to write into its folder, for its user alone. `pg_hba.conf` replaces that of the server. */
  files?: Record<string, string>;
  /** Settings; `FOLDER` in a value stands for the folder. */
  settings?: Record<string, string>;
}

/**
 * Starts a real PostgreSQL on a free port of 127.0.0.1, with a temporary data folder. `stop()`, or any end of this process,
 * ends it and removes the folder.
 */
export async function startPostgres({ files = {}, settings = {} }: PostgresOptions = {}): Promise<Postgres> {
  const bin = findBinaries();
  const user = notRoot();
  const folder = await mkdtemp(join(tmpdir(), 'penstock-pg-'));
  if (user !== null) await chown(folder, user.uid, user.gid);
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text, { mode: 0o600 });
    if (user !== null) await chown(join(folder, name), user.uid, user.gid);
  }
  const port = await freePort();
  const more = Object.entries(settings).flatMap(([name, value]) => [
    '-c',
    `${name}=${value.replaceAll('FOLDER', folder)}`,
  ]);
  const server = spawnServer([bin, folder, String(port), ...more], user);
  const url = (name: string): string => `postgresql://penstock@127.0.0.1:${port}/${name}`;
  try {
    await answering(url('postgres'), server, join(folder, 'log'));
  } catch (error) {
    await stop(server);
    throw error;
  }
  return { url, stop: () => stop(server) };
}

// $1: the binaries, $2: the folder, $3: the port, and then settings. The shell lives as long as the server. Its standard input closes
// when this process ends, even by kill -9, and the shell then stops the server.
const script = `
set -e
exec 3<&0 >"$2/log" 2>&1
"$1/initdb" --pgdata="$2/data" --username=penstock --auth=trust --encoding=UTF8 --locale=C --no-sync --no-instructions
[ ! -f "$2/pg_hba.conf" ] || cp "$2/pg_hba.conf" "$2/data/pg_hba.conf"
set +e
bin=$1 folder=$2 port=$3
shift 3
"$bin/postgres" -D "$folder/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \\
  -c fsync=off -c full_page_writes=off -c synchronous_commit=off -c max_connections=200 "$@" 3<&- &
server=$!
(cat <&3 >/dev/null; kill -QUIT $server) &
wait $server
rm -rf "$folder"
`;

interface User {
  uid: number;
  gid: number;
}

function spawnServer(args: string[], user: User | null): ChildProcess {
  // Detached: an interrupt typed at the terminal ends the tests, and these end the server.
  return spawn('sh', ['-c', script, 'sh', ...args], {
    ...user,
    cwd: args[1],
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const exited = new Promise((resolve) => server.once('exit', resolve));
  server.stdin?.end();
  await exited;
}

/** Resolves when a query succeeds; fails when the server ends or two minutes have passed. */
async function answering(url: string, server: ChildProcess, log: string): Promise<void> {
  const deadline = Date.now() + 120_000;
  for (;;) {
    const failure = await ping(url);
    if (failure === null) return;
    const ended = server.exitCode !== null || server.signalCode !== null;
    if (ended || Date.now() > deadline) {
      const said = existsSync(log) ? readFileSync(log, 'utf8') : '';
      throw new Error(`PostgreSQL did not start\n${said}`, { cause: failure });
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

async function ping(url: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return null;
  } catch (error) {
    return error;
  } finally {
    await client.end().catch(() => {});
  }
}

/** The folder of initdb and postgres: on the PATH, or where Debian puts them. */
export function findBinaries(): string {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...configuredFolder(),
    ...globSync('/usr/lib/postgresql/*/bin').sort().reverse(),
  ];
  const found = folders.find((folder) =>
    ['initdb', 'postgres'].every((name) => existsSync(join(folder, name))),
  );
  if (found !== undefined) return found;
  throw new Error(
    'the tests need a PostgreSQL server: install the package postgresql (Debian, Ubuntu) or its like',
  );
}

function configuredFolder(): string[] {
  try {
    return [
      execFileSync('pg_config', ['--bindir'], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim(),
    ];
  } catch {
    return []; // not installed in this one of several places
  }
}

/** PostgreSQL refuses to run as root; its package creates a user for it. */
export function notRoot(): User | null {
  if (process.getuid?.() !== 0) return null;
  const id = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
}
