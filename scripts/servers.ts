// The programs that the tests talk to: mosquitto and PostgreSQL, and those without which some tests are skipped.
import { type StdioOptions, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fetchKafka, kafkaFolder } from './kafka.ts';

interface Server {
  name: string;
  present(): boolean;
  /** Package names, or where to read how to install it. `lighter` is enough for the tests, where apt has it. */
  packages: { apt: string; brew: string; dnf: string; lighter?: string } | string;
  /** The tests that need it are skipped without it, and say so. */
  optional?: true;
}

const onPath = (command: string): boolean =>
  spawnSync(command, ['--version'], { stdio: 'ignore' }).error === undefined;

/** Folder of PostgreSQL's server programs if they are not on the PATH. */
function postgresFolders(): string[] {
  const { stdout } = spawnSync('pg_config', ['--bindir'], { encoding: 'utf8' });
  return [stdout?.trim() ?? '', ...globSync('/usr/lib/postgresql/*/bin')];
}

/** The folder on the PATH with a built Terraform provider for any REST API. */
export function providerFolder(): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter);
  return folders.find((folder) => existsSync(join(folder, 'terraform-provider-restapi')));
}

/** Path of a browser for the tests of the console: that of PENSTOCK_TEST_BROWSER, or one of the system. */
export function chromium(): string | undefined {
  const { PENSTOCK_TEST_BROWSER: given, PATH = '' } = process.env;
  const names = [
    'chromium-headless-shell',
    'chromium',
    'chromium-browser',
    'google-chrome',
    'google-chrome-stable',
  ];
  const folders = PATH.split(delimiter);
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name)));
  const mac = ['Chromium', 'Google Chrome'].map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);
  return [given, ...found, ...mac].find((path) => path !== undefined && existsSync(path));
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
    name: 'Chromium',
    present: () => chromium() !== undefined,
    packages: { apt: 'chromium', lighter: 'chromium-headless-shell', brew: 'chromium', dnf: 'chromium' },
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
  {
    name: 'Kafka',
    present: () => kafkaFolder() !== undefined,
    packages: 'node scripts/kafka.ts, with Java and Maven',
    optional: true,
  },
  {
    name: 'Redis',
    present: () => onPath('redis-server'),
    packages: { apt: 'redis-server', brew: 'redis', dnf: 'redis' },
    optional: true,
  },
  {
    name: 'pgbouncer',
    present: () => existsSync('/usr/sbin/pgbouncer') || onPath('pgbouncer'),
    packages: { apt: 'pgbouncer', brew: 'pgbouncer', dnf: 'pgbouncer' },
    optional: true,
  },
  {
    name: 'nginx',
    present: () => existsSync('/usr/sbin/nginx') || onPath('nginx'),
    packages: { apt: 'nginx-light', brew: 'nginx', dnf: 'nginx' },
    optional: true,
  },
  {
    name: 'HAProxy',
    present: () => existsSync('/usr/sbin/haproxy') || onPath('haproxy'),
    packages: { apt: 'haproxy', brew: 'haproxy', dnf: 'haproxy' },
    optional: true,
  },
  {
    name: 'Caddy',
    present: () => onPath('caddy'),
    packages: { apt: 'caddy', brew: 'caddy', dnf: 'caddy' },
    optional: true,
  },
  {
    name: 'Ansible',
    present: () => onPath('ansible-playbook'),
    packages: { apt: 'ansible-core', brew: 'ansible', dnf: 'ansible-core' },
    optional: true,
  },
  {
    name: 'openapi-python-client',
    present: () => onPath('openapi-python-client'),
    packages: 'pip install openapi-python-client',
    optional: true,
  },
  {
    name: 'oapi-codegen',
    present: () => onPath('oapi-codegen') && onPath('go'),
    packages: 'go install github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@latest',
    optional: true,
  },
  {
    name: 'Prism',
    present: () => onPath('prism'),
    packages: 'npm install -g @stoplight/prism-cli',
    optional: true,
  },
  {
    name: 'Helm',
    present: () => onPath('helm'),
    packages: 'go install helm.sh/helm/v4/cmd/helm@latest',
    optional: true,
  },
  {
    name: 'terraform-provider-restapi',
    present: () => providerFolder() !== undefined,
    packages: 'https://github.com/Mastercard/terraform-provider-restapi',
    optional: true,
  },
  {
    name: 'Terraform',
    present: () => onPath('terraform'),
    packages: 'https://developer.hashicorp.com/terraform/install',
    optional: true,
  },
];

/** Why the tests that need a program are skipped, with how to install it; undefined when it is there. */
export function whyMissing(name: string): string | undefined {
  const server = servers.find((one) => one.name === name);
  if (server === undefined) throw new Error(`no server is called ${name}`);
  if (server.present()) return undefined;
  const { packages } = server;
  return `${name} is not installed (${typeof packages === 'string' ? packages : `apt-get install ${packages.apt}`})`;
}

/**
 * Installs what is missing if that is possible without asking; returns an exit code. `all` includes the optional
 * programs, whose absence is not a failure.
 */
export async function installServers(all = false): Promise<number> {
  if (all) fetchKafka();
  const missing = servers
    .filter((server) => (all || !server.optional) && !server.present())
    .flatMap(({ packages, ...server }) => (typeof packages === 'string' ? [] : [{ ...server, packages }]));
  if (missing.length === 0) return 0;
  const names = missing.map(({ name }) => name).join(' and ');
  if (process.platform === 'linux' && process.getuid?.() === 0 && onPath('apt-get')) {
    console.log(`installing ${names}`);
    // RUNLEVEL=1 keeps Debian from starting the servers that it installs.
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
    const stdio: StdioOptions = ['ignore', 'ignore', 'inherit'];
    const apt = (...args: string[]) => once(spawn('apt-get', args, { stdio, env }), 'exit');
    await apt('update', '-qq');
    const has = (name: string) =>
      spawnSync('apt-get', ['install', '-s', name], { stdio: 'ignore' }).status === 0;
    const wanted = missing.map(({ packages: { lighter, apt: usual } }) =>
      lighter !== undefined && has(lighter) ? lighter : usual,
    );
    const [code] = await apt('install', '-y', '-qq', '--no-install-recommends', ...wanted);
    if (code === 0 && missing.every((server) => server.present())) return 0;
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
