import { existsSync, readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { availableParallelism, hostname } from 'node:os';
import { parseEnv } from 'node:util';
import type { Registry } from '@prometheus-io/client';
import type { Logger } from 'pino';
import { type Invocation, isClientCommand, readCommandLine, reexec, UsageError } from './cli/commands.ts';
import type { Config } from './config.ts';
import type { StoredCatalog } from './definitions/catalog.ts';
import { asPenstockError, PenstockError } from './errors.ts';
import type { SecretBox as Secrets } from './security/secret-box.ts';
import type { Db } from './store/db.ts';
import type { Worker } from './worker/worker.ts';

/**
 * The process: reads the settings, opens the database, starts the roles asked for, and closes everything in reverse
 * order on SIGTERM or SIGINT. Everything below gets what it needs as arguments. Each role loads only what it uses.
 */

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const shutdownDeadlineMs = 25_000;

/** Mean delay of the event loop above which the API refuses requests. */
const maxEventLoopDelayMs = 1_000;

const readFile = (): Record<string, string | undefined> =>
  existsSync('.env') ? parseEnv(readFileSync('.env', 'utf8')) : {};

const readEnvironment = (): Record<string, string | undefined> => ({ ...readFile(), ...process.env });

const print = (line: string): unknown => process.stdout.write(`${line}\n`);

async function createLogger(config: Config): Promise<Logger> {
  const { pino } = await import('pino');
  const destination = { dest: 2, sync: false };
  if (!process.stderr.isTTY) return pino({ level: config.logLevel }, pino.destination(destination));
  const { default: pretty } = await import('pino-pretty');
  return pino({ level: config.logLevel }, pretty({ destination: 2, ignore: 'pid,hostname', sync: true }));
}

class Closing {
  readonly #steps: [string, () => Promise<void>][] = [];

  add(name: string, close: () => Promise<void>): void {
    this.#steps.push([name, close]);
  }

  /** Closes everything, even when a step fails; returns the failures. */
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
  const [{ randomBytes }, { Worker }, { ThreadPool }, { isOwnerAlive, LocalPlacement, ownerName, startOf }] =
    await Promise.all([
      import('node:crypto'),
      import('./worker/worker.ts'),
      import('./worker/thread-pool.ts'),
      import('./worker/placement.ts'),
    ]);
  const { pid } = process;
  const started = (id: number): string | undefined => startOf(id, () => process.kill(id, 0));
  const own = { host: hostname(), pid, nonce: randomBytes(4).toString('hex'), start: started(pid) ?? '' };
  const owner = ownerName(own);
  // Two machines on one PostgreSQL may have the same host name. Processes that share a file are on one machine.
  const sameMachine = config.databaseUrl.startsWith('file:');
  const isAlive = (other: string): boolean | undefined =>
    sameMachine ? isOwnerAlive(other, own, started) : undefined;
  const placement = sameMachine
    ? new LocalPlacement({ db, owner })
    : new (await import('./worker/boss.ts')).BossPlacement({ db, owner, url: config.databaseUrl, logger });
  await placement.start().catch((error: unknown) => {
    // A database that is away for a moment is waited for later.
    if (asPenstockError(error).code !== 'database_unavailable') throw error;
  });
  // One core is left to the API and the database.
  const max = config.workerThreads ?? Math.max(1, availableParallelism() - 1);
  const threads = new ThreadPool({ max, targets: config.targets, fileDir: config.fileDir, logger });
  closing.add('threads', () => threads.close());
  const identity = {
    name: config.workerName ?? `${own.host}-${own.pid}`.replaceAll(/[^A-Za-z0-9._-]/g, '-').slice(-63),
    version,
    labels: config.workerLabels,
    exclusive: config.workerExclusive,
    slots: config.workerSlots,
  };
  const rest = { owner, identity, placement, threads, isAlive, sealState: config.sealState };
  const worker = new Worker({ db, catalog, logger, metrics, ...rest });
  closing.add('worker', () => worker.stop());
  worker.start();
  return worker;
}

async function serve(
  { command, words, values }: Invocation,
  config: Config,
  logger: Logger,
  closing: Closing,
): Promise<void> {
  const [{ applyMigrations }, { closeDb, databaseFailure, openDb }] = await Promise.all([
    import('./store/migrations.ts'),
    import('./store/db.ts'),
  ]);
  const applied = await applyMigrations(config.databaseUrl);
  if (applied.length > 0) logger.info({ migrations: applied }, 'database migrated');
  if (command === 'migrate') return;
  const db = await openDb(config.databaseUrl);
  closing.add('database', () => closeDb(db));
  const failure = await databaseFailure(db);
  // One that is only slow or locked for a moment is waited for later.
  if (failure && failure.code !== 'database_unavailable') throw failure;
  const [
    { loadSecretKeys, SecretBox },
    { variablesFrom },
    { hasAdminKey, KeyRing },
    { isLoopback },
    { Registry },
  ] = await Promise.all([
    import('./security/secret-box.ts'),
    import('./security/variables.ts'),
    import('./security/api-keys.ts'),
    import('./config.ts'),
    import('@prometheus-io/client'),
  ]);
  const secrets = new SecretBox(loadSecretKeys(config.secretKeys, config.dataDir));
  const exposed = !isLoopback(config.host);
  const keys = new KeyRing(db, config.adminKey, exposed);
  if (command === 'keys') {
    const { readKeysCommand } = await import('./cli/keys.ts');
    return readKeysCommand(words, values)({ db, keys, secrets, print });
  }
  if (command !== 'worker' && exposed && !config.adminKey && !(await hasAdminKey(db)))
    throw unguarded(config);
  await checkSecrets(command, db, secrets, logger);
  const variables = variablesFrom(readEnvironment(), config.allowedVars);
  const [{ StoredCatalog }, { certificatesIn }, { TargetRules }] = await Promise.all([
    import('./definitions/catalog.ts'),
    import('./security/certificate-files.ts'),
    import('./security/targets.ts'),
  ]);
  const files = certificatesIn(config.certDir);
  const targets = new TargetRules(config.targets, config.fileDir);
  const catalog = new StoredCatalog(db, secrets, variables, targets, files);
  const metrics = new Registry();
  let nudge = (): void => {};
  if (command !== 'api') {
    const worker = await startWorker(config, db, catalog, logger, metrics, closing);
    nudge = () => worker.nudge();
  }
  const limits = { requestsPerMinute: config.requestsPerMinute, maxEventLoopDelayMs };
  if (command === 'worker') {
    if (config.workerPort === undefined) return;
    const { buildHealthApp } = await import('./api/health.ts');
    const app = await buildHealthApp({ db, logger, metrics, keys, limits });
    closing.add('health checks', () => app.close());
    const address = await app.listen({ host: config.host, port: config.workerPort });
    logger.info({ address }, 'worker serves health checks and metrics');
    return;
  }
  const { buildApp } = await import('./api/app.ts');
  const app = await buildApp({
    ...{ db, catalog, logger, metrics, version, keys, nudge, limits },
    console: config.console,
  });
  closing.add('API', () => app.close());
  const address = await app.listen({ host: config.host, port: config.port });
  logger.info(
    { address, ...(config.console && { console: `${address}/` }), docs: `${address}/api/v1/swagger-ui` },
    'penstock is serving',
  );
}

/** Throws `secret_unreadable` if this process has the key of another database. */
async function checkSecrets(command: string, db: Db, secrets: Secrets, logger: Logger): Promise<void> {
  const { checkKey, countUnreadable } = await import('./definitions/rotate.ts');
  // To count them reads every definition: one kind of process is enough.
  if (command === 'worker') return checkKey(db, secrets);
  const unreadable = await countUnreadable(db, secrets);
  if (unreadable > 0) logger.warn({ objects: unreadable }, 'no configured key can open some stored secrets');
}

const unguarded = ({ host }: Config): PenstockError =>
  new PenstockError(
    'invalid_config',
    `PENSTOCK_HOST=${host} lets other machines connect, and there is no admin key`,
    { hint: 'Create one with penstock keys create <name> --role admin, or set PENSTOCK_ADMIN_KEY.' },
  );

function stopRequested(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, resolve);
  return promise;
}

async function runService(invocation: Invocation): Promise<number> {
  const { command, words, values } = invocation;
  // Wrong use is refused before the database is opened.
  if (command === 'keys') (await import('./cli/keys.ts')).readKeysCommand(words, values);
  const { loadConfig } = await import('./config.ts');
  const config = loadConfig(process.env, readFile());
  if (command === 'health') return runHealth(config, words);
  const logger = await createLogger(config);
  for (const warning of config.warnings) logger.warn({}, warning);
  // Whatever is written, such as the database, is for this user alone.
  process.umask(0o077);
  const closing = new Closing();
  const stop = stopRequested();
  let code = 0;
  try {
    await serve(invocation, config, logger, closing);
    flushCompileCache();
    if (command !== 'migrate' && command !== 'keys') logger.info({ signal: await stop }, 'stopping');
  } catch (error) {
    const expected = error instanceof PenstockError && error.code !== 'internal';
    logger.fatal(expected ? { code: error.code } : { err: error }, startFailure(error, config, command));
    code = error instanceof PenstockError && error.code === 'invalid_config' ? 2 : 1;
  }
  const late = setTimeout(() => {
    logger.fatal('shutdown did not finish in time');
    process.exit(1);
  }, shutdownDeadlineMs);
  const failures = await closing.run();
  clearTimeout(late);
  for (const err of failures) logger.error({ err }, 'shutdown step failed');
  logger.flush();
  return failures.length > 0 ? 1 : code;
}

async function runHealth(config: Config, [role]: string[]): Promise<number> {
  if (role !== undefined && role !== 'api' && role !== 'worker')
    throw new UsageError(`there is no role ${role} to ask: name api or worker`);
  const { checkHealth } = await import('./cli/health.ts');
  return checkHealth(config, role, print, (line) => process.stderr.write(`${line}\n`));
}

function startFailure(error: unknown, config: Config, command: string): string {
  const { host, dataDir } = config;
  const [setting, port] =
    command === 'worker' ? ['PENSTOCK_WORKER_HTTP', config.workerPort] : ['PENSTOCK_PORT', config.port];
  const { code, syscall } = error as NodeJS.ErrnoException;
  if (code === 'EACCES' && syscall === 'listen')
    return `this user may not listen on port ${port}; set ${setting} to 1024 or higher`;
  if (code === 'EADDRINUSE') return `port ${port} of ${host} is in use; set ${setting} to another one`;
  if (code === 'EADDRNOTAVAIL')
    return `this machine has no address ${host}; set PENSTOCK_HOST to another one`;
  if (syscall === 'getaddrinfo')
    return `the name ${host} cannot be resolved; set PENSTOCK_HOST to an address of this machine`;
  if (syscall === 'mkdir' || /^(ENOTDIR|EACCES|EPERM|EROFS|ENOSPC)$/.test(code ?? ''))
    return `${dataDir} is not a usable folder (${code}); set PENSTOCK_DATA_DIR to another one`;
  const { message, hint, facts } = asPenstockError(error);
  const sentence = typeof facts.said === 'string' ? `${message}: ${facts.said}` : message;
  return hint ? `${sentence}. ${hint}` : sentence;
}

async function runAsClient(invocation: Invocation): Promise<number> {
  const { runClient } = await import('./cli/client/run.ts');
  // A reader such as head may close the pipe early.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  return runClient(invocation, {
    print,
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
    const invocation = readCommandLine(process.argv.slice(2), version);
    if ('text' in invocation) {
      process.stdout.write(invocation.text);
      return 0;
    }
    const { command, values } = invocation;
    if (isClientCommand(command)) return await runAsClient(invocation);
    if (command !== 'demo') {
      // The heap sizes pay for long runs only.
      if (command !== 'keys' && command !== 'health') reexec(process, readEnvironment());
      return await runService(invocation);
    }
    const { runDemo } = await import('./cli/demo/demo.ts');
    return await runDemo({
      exit: values.exit ?? false,
      stop: stopRequested(),
      node: process.execPath,
      environment: process.env,
      print,
    });
  } catch (error) {
    process.stderr.write(`penstock: ${(error as Error).message}\n`);
    if (error instanceof UsageError) process.stderr.write(error.usage);
    const wrongUse =
      error instanceof UsageError || (error instanceof PenstockError && error.code === 'invalid_config');
    return wrongUse ? 2 : 1;
  }
}

void main().then((code) => {
  process.exitCode = code;
});
