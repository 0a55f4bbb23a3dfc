import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { availableParallelism, hostname } from 'node:os';
import { parseEnv } from 'node:util';
import type { Registry } from '@prometheus-io/client';
import type { Logger } from 'pino';
import { type Arguments, readArguments, UsageError, usage } from './cli/arguments.ts';
import { type ClientCommand, isClientCommand } from './cli/client/commands.ts';
import { KeysUsageError, keysUsage } from './cli/keys.ts';
import { reexec } from './cli/reexec.ts';
import type { Config } from './config.ts';
import type { StoredCatalog } from './definitions/catalog.ts';
import { asPenstockError, PenstockError } from './errors.ts';
import { hasAdminKey, KeyRing } from './security/api-keys.ts';
import { TargetRules } from './security/targets.ts';
import type { Db } from './store/db.ts';
import type { Worker } from './worker/worker.ts';

/**
 * The process: reads the settings, opens the database, starts the roles asked for, and closes all of it in reverse
 * order on SIGTERM or SIGINT. Everything below gets what it needs as arguments. Each role loads what it uses, and the
 * commands that only speak to a running service next to nothing.
 */

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

/** After this long a shutdown is not waited for any more. */
const shutdownDeadlineMs = 25_000;

/** A process that takes this long to get round to its requests refuses them. */
const maxEventLoopDelayMs = 1_000;

function readEnvironment(): Record<string, string | undefined> {
  const fromFile = existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {};
  return { ...fromFile, ...process.env };
}

async function createLogger(config: Config): Promise<Logger> {
  const { pino } = await import('pino');
  const destination = { dest: 2, sync: false };
  if (!process.stderr.isTTY) return pino({ level: config.logLevel }, pino.destination(destination));
  const target = { target: 'pino-pretty', options: { destination: 2, ignore: 'pid,hostname' } };
  return pino({ level: config.logLevel, transport: target });
}

/** What has been opened, closed again in reverse order. */
class Closing {
  readonly #steps: [string, () => Promise<void>][] = [];

  add(name: string, close: () => Promise<void>): void {
    this.#steps.push([name, close]);
  }

  /** Closes everything, whatever fails on the way; answers what failed. */
  async run(): Promise<unknown[]> {
    const failures: unknown[] = [];
    for (const [name, close] of this.#steps.splice(0).reverse()) {
      await close().catch((cause: unknown) =>
        failures.push(new Error(`closing the ${name} failed`, { cause })),
      );
    }
    return failures;
  }
}

async function startWorker(
  config: Config,
  db: Db,
  catalog: StoredCatalog,
  logger: Logger,
  metrics: Registry,
  closing: Closing,
): Promise<Worker> {
  const [{ Worker }, { ThreadPool }, { isOwnerAlive, ownerName }] = await Promise.all([
    import('./worker/worker.ts'),
    import('./worker/thread-pool.ts'),
    import('./worker/leases.ts'),
  ]);
  const own = { host: hostname(), pid: process.pid, nonce: randomBytes(4).toString('hex') };
  // Behind PostgreSQL two machines may have one name; only a file says that they are the same.
  const sameMachine = config.databaseUrl.startsWith('file:');
  const isDead = (other: string): boolean =>
    sameMachine && !isOwnerAlive(other, own, (pid) => process.kill(pid, 0));
  // One core is left to the API and the database.
  const max = config.workerThreads ?? Math.max(1, availableParallelism() - 1);
  const threads = new ThreadPool({ max, targets: config.targets, logger });
  closing.add('threads', () => threads.close());
  const owner = ownerName(own);
  const worker = new Worker({ db, catalog, logger, metrics, owner, threads, isDead, shared: !sameMachine });
  closing.add('worker', () => worker.stop());
  worker.start();
  return worker;
}

async function serve(
  { role, keys: command }: Arguments,
  config: Config,
  logger: Logger,
  closing: Closing,
): Promise<void> {
  const [{ applyMigrations }, { closeDb, openDb }] = await Promise.all([
    import('./store/migrations.ts'),
    import('./store/db.ts'),
  ]);
  const applied = await applyMigrations(config.databaseUrl);
  if (applied.length > 0) logger.info({ migrations: applied }, 'database brought up to date');
  if (role === 'migrate') return;
  const db = await openDb(config.databaseUrl);
  closing.add('database', () => closeDb(db));
  const [{ loadSecretKeys, SecretBox }, { variablesFrom }, { isLoopback }, { Registry }] = await Promise.all([
    import('./security/secret-box.ts'),
    import('./security/variables.ts'),
    import('./config.ts'),
    import('@prometheus-io/client'),
  ]);
  const secrets = new SecretBox(loadSecretKeys(config.secretKeys, config.dataDir));
  const exposed = !isLoopback(config.host);
  const keys = new KeyRing(db, config.adminKey, exposed);
  const print = (line: string): unknown => process.stdout.write(`${line}\n`);
  if (command) return command.run({ db, keys, secrets, print });
  if (role !== 'worker' && exposed && !config.adminKey && !(await hasAdminKey(db))) throw unguarded(config);
  const { countUnreadable } = await import('./definitions/rotate.ts');
  const unreadable = await countUnreadable(db, secrets);
  if (unreadable > 0)
    logger.warn({ objects: unreadable }, 'there are secrets that no configured key can open');
  const variables = variablesFrom(readEnvironment(), config.allowedVars);
  const [{ StoredCatalog }, { certificatesIn }] = await Promise.all([
    import('./definitions/catalog.ts'),
    import('./security/certificate-files.ts'),
  ]);
  const files = certificatesIn(config.certDir);
  const catalog = new StoredCatalog(db, secrets, variables, new TargetRules(config.targets), files);
  const metrics = new Registry();
  let nudge = (): void => {};
  if (role !== 'api') {
    const worker = await startWorker(config, db, catalog, logger, metrics, closing);
    nudge = () => worker.nudge();
  }
  if (role === 'worker') return;
  const { buildApp } = await import('./api/app.ts');
  const limits = { requestsPerMinute: config.requestsPerMinute, maxEventLoopDelayMs };
  const app = await buildApp({ db, catalog, logger, metrics, version, keys, nudge, limits });
  closing.add('API', () => app.close());
  const address = await app.listen({ host: config.host, port: config.port });
  logger.info({ address, docs: `${address}/api/v1/swagger-ui` }, 'penstock is serving');
}

const unguarded = ({ host }: Config): PenstockError =>
  new PenstockError(
    'invalid_config',
    `PENSTOCK_HOST=${host} is reachable by others, and there is no admin key`,
    {
      hint: 'Make one with penstock keys create <name> --role admin, or set PENSTOCK_ADMIN_KEY.',
    },
  );

/**
 * Resolves with the signal that asks the process to end. The handlers stay: a terminal and whoever started us may both
 * send one, and the second must not cut the first short.
 */
function askedToStop(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, resolve);
  return promise;
}

async function runService(asked: Arguments): Promise<number> {
  const { role } = asked;
  const { loadConfig } = await import('./config.ts');
  const config = loadConfig(readEnvironment());
  const logger = await createLogger(config);
  const closing = new Closing();
  const stop = askedToStop();
  let code = 0;
  try {
    await serve(asked, config, logger, closing);
    flushCompileCache();
    if (role !== 'migrate' && role !== 'keys') logger.info({ signal: await stop }, 'stopping');
  } catch (error) {
    const expected = error instanceof PenstockError && error.code !== 'internal';
    logger.fatal(expected ? {} : { err: error }, startFailure(error, config));
    code = error instanceof PenstockError && error.code === 'invalid_config' ? 2 : 1;
  }
  const late = setTimeout(() => {
    logger.fatal('did not stop in time');
    process.exit(1);
  }, shutdownDeadlineMs);
  const failures = await closing.run();
  clearTimeout(late);
  for (const err of failures) logger.error({ err }, 'not closed cleanly');
  logger.flush();
  return failures.length > 0 ? 1 : code;
}

function startFailure(error: unknown, { host, port, dataDir }: Config): string {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return `port ${port} of ${host} is taken; set PENSTOCK_PORT to another one`;
  if (code === 'EADDRNOTAVAIL') return `there is no address ${host} here; set PENSTOCK_HOST to another one`;
  if (code === 'ENOTDIR' || code === 'EACCES')
    return `${dataDir} cannot be used; set PENSTOCK_DATA_DIR to a folder`;
  const raised = asPenstockError(error);
  return raised.hint ? `${raised.message}. ${raised.hint}` : raised.message;
}

const isUsage = (error: unknown): boolean =>
  error instanceof UsageError ||
  error instanceof KeysUsageError ||
  (error instanceof PenstockError && error.code === 'invalid_config');

/** Speaks to a running service. */
async function runAsClient(command: ClientCommand, args: string[]): Promise<number> {
  const { runClient } = await import('./cli/client/run.ts');
  // Whoever reads what is printed may have seen enough.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  return runClient(command, args, {
    print: (text) => process.stdout.write(`${text}\n`),
    complain: (text) => process.stderr.write(`${text}\n`),
    fancy: process.stdout.isTTY === true && !process.env.NO_COLOR,
    standardInput: async () => {
      const chunks: Buffer[] = [];
      for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks).toString('utf8');
    },
    environment: readEnvironment(),
  });
}

async function main(): Promise<number> {
  try {
    const [command, ...args] = process.argv.slice(2);
    if (isClientCommand(command)) return await runAsClient(command, args);
    const asked = readArguments(process.argv.slice(2), version);
    if ('answer' in asked) {
      process.stdout.write(asked.answer);
      return 0;
    }
    if (asked.role !== 'demo') {
      if (asked.role !== 'keys') reexec(process, readEnvironment());
      return await runService(asked);
    }
    const { runDemo } = await import('./cli/demo/demo.ts');
    return await runDemo({
      exit: asked.exit,
      stop: askedToStop(),
      node: process.execPath,
      environment: process.env,
      print: (line) => process.stdout.write(`${line}\n`),
    });
  } catch (error) {
    process.stderr.write(`penstock: ${(error as Error).message}\n`);
    if (error instanceof UsageError) process.stderr.write(usage);
    if (error instanceof KeysUsageError) process.stderr.write(keysUsage);
    return isUsage(error) ? 2 : 1;
  }
}

process.exitCode = await main();
