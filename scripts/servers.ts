// The servers that the tests use: mosquitto and PostgreSQL, and two other brokers for the long tests.
import { type StdioOptions, spawnSync } from 'node:child_process';
import { existsSync, globSync } from 'node:fs';

interface Server {
  name: string;
  present(): boolean;
  packages: { apt: string; brew: string; dnf: string };
  /** Used only by the long tests, which skip the parts that need it if it is missing. */
  optional?: true;
}

const onPath = (command: string): boolean =>
  spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Folder of PostgreSQL's server programs if they are not on the PATH. */
function postgresFolders(): string[] {
  const { stdout } = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  return [stdout?.trim() ?? '', ...globSync('/usr/lib/postgresql/*/bin')];
}

const servers: Server[] = [
  {
    name: 'mosquitto',
    present: () =>
      existsSync('/usr/sbin/mosquitto') ||
      spawnSync('mosquitto', ['-h'], { stdio: 'ignore' }).error === undefined,
    packages: { apt: 'mosquitto', brew: 'mosquitto', dnf: 'mosquitto' },
  },
  {
    name: 'PostgreSQL',
    present: () => onPath('initdb') || postgresFolders().some((folder) => existsSync(`${folder}/initdb`)),
    packages: { apt: 'postgresql', brew: 'postgresql@17', dnf: 'postgresql-server' },
  },
  {
    name: 'RabbitMQ',
    present: () => existsSync('/usr/sbin/rabbitmq-server') || onPath('rabbitmq-server'),
    packages: { apt: 'rabbitmq-server', brew: 'rabbitmq', dnf: 'rabbitmq-server' },
    optional: true,
  },
  {
    name: 'nats-server',
    present: () => onPath('nats-server'),
    packages: { apt: 'nats-server', brew: 'nats-server', dnf: 'nats-server' },
    optional: true,
  },
];

/**
 * Installs missing servers if that is possible without asking; returns an exit code. `all` includes the optional
 * ones, whose absence is not a failure.
 */
export function installServers(all = false): number {
  const missing = servers.filter((server) => (all || !server.optional) && !server.present());
  if (missing.length === 0) return 0;
  const names = missing.map(({ name }) => name).join(' and ');
  if (process.platform === 'linux' && process.getuid?.() === 0 && onPath('apt-get')) {
    console.log(`installing ${names}`);
    const wanted = missing.map(({ packages }) => packages.apt);
    // RUNLEVEL=1 keeps Debian from starting the servers that it installs.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    const stdio: StdioOptions = ['ignore', 'ignore', 'inherit'];
    spawnSync('apt-get', ['update', '-qq'], { stdio, env });
    const done = spawnSync('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...wanted], {
      stdio,
      env,
    });
    if (done.status === 0 && missing.every((server) => server.present())) return 0;
  }
  console.error(`The tests need ${names}. Install with one of:`);
  for (const [manager, command] of [
    ['apt', 'sudo apt-get install'],
    ['dnf', 'sudo dnf install'],
    ['brew', 'brew install'],
  ] as const)
    console.error(`  ${command} ${missing.map(({ packages }) => packages[manager]).join(' ')}`);
  return missing.every((server) => server.optional || server.present()) ? 0 : 1;
}
