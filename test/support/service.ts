import { randomBytes } from 'node:crypto';
import { Registry } from '@prometheus-io/client';
import type { FastifyInstance } from 'fastify';
import { pino } from 'pino';
import supertest from 'supertest';
import { buildApp } from '../../src/api/app.ts';
import type { Logger } from '../../src/connectors/connector.ts';
import { StoredCatalog } from '../../src/definitions/catalog.ts';
import { KeyRing } from '../../src/security/api-keys.ts';
import { certificatesIn } from '../../src/security/certificate-files.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { TargetRules } from '../../src/security/targets.ts';
import type { Db } from '../../src/store/db.ts';
import type { WorkerIdentity } from '../../src/worker/deps.ts';
import { LocalPlacement, type Placement } from '../../src/worker/placement.ts';
import { ThreadPool } from '../../src/worker/thread-pool.ts';
import { Worker } from '../../src/worker/worker.ts';
import { atEnd } from './at-end.ts';
import { openTestStore, type TestStore } from './databases.ts';

export interface Service {
  app: FastifyInstance;
  db: Db;
  catalog: StoredCatalog;
  /** Its origin, without a path. */
  address: string;
  /** Everything it logged, as text. */
  logged(): string;
  request: ReturnType<typeof supertest>;
  close(): Promise<void>;
}

export interface ServiceOptions {
  open?: () => Promise<TestStore>;
  /** Whether jobs run too. */
  worker?: boolean;
  /** The worker's view of the database, if different from the API's. */
  workerDb?: (db: Db) => Db;
  /** Who does what; by default this process does everything. */
  placement?: (seen: { db: Db; logger: Logger }, owner: string) => Placement;
  identity?: Partial<WorkerIdentity>;
  /** Whether the process of that name lives; undefined if only its heartbeats tell. */
  isAlive?: (owner: string) => boolean | undefined;
  adminKey?: string;
  sealState?: boolean;
  /** For services on one database. */
  secretKey?: string;
  requestsPerMinute?: number;
  maxEventLoopDelayMs?: number;
  variables?: Record<string, string>;
  certDir?: string;
  /** The entries of PENSTOCK_TARGETS. */
  targets?: string[];
  fileDir?: string;
  /** Whether the web console is served. */
  console?: boolean;
  /** The threads of tasks, if not the one thread that most services share. */
  threads?: Partial<ConstructorParameters<typeof ThreadPool>[0]>;
  logLevel?: 'trace' | 'debug';
}

/** Starting a thread takes a while, so most tests share one, which ends with the process. */
const sharedThreads = new ThreadPool({ max: 1, targets: [], logger: pino({ level: 'silent' }) });

/**
 * The whole of Penstock in this process, over a database of its own, listening on a free port. It closes by itself: see
 * `atEnd`.
 */
export async function startService(options: ServiceOptions = {}): Promise<Service> {
  const store = await (options.open ?? openTestStore)();
  const { db } = store;
  let log = '';
  const write = (line: string): void => {
    log += line;
  };
  const logger = pino({ level: options.logLevel ?? 'debug' }, { write });
  const variables = (name: string): string => options.variables?.[name] ?? '';
  const secrets = new SecretBox([options.secretKey ?? randomBytes(32).toString('base64')]);
  const catalog = new StoredCatalog(
    db,
    secrets,
    variables,
    new TargetRules(options.targets ?? [], options.fileDir),
    certificatesIn(options.certDir),
  );
  const metrics = new Registry();
  const owner = `test/1/${randomBytes(4).toString('hex')}`;
  const { workerDb = (same) => same } = options;
  const seen = { db: workerDb(db), catalog, logger, metrics };
  const own = options.threads || options.targets || options.fileDir;
  const some = {
    max: 1,
    targets: options.targets ?? [],
    fileDir: options.fileDir,
    logger,
    ...options.threads,
  };
  const threads = own ? new ThreadPool(some) : sharedThreads;
  const { isAlive = () => true } = options;
  const placement = options.placement?.(seen, owner) ?? new LocalPlacement({ db: seen.db, owner });
  const identity = {
    name: owner.replaceAll('/', '-'),
    version: '0.0.0',
    labels: {},
    exclusive: false,
    slots: undefined,
  };
  const sealState = options.sealState ?? false;
  const rest = {
    ...{ owner, identity: { ...identity, ...options.identity }, placement, threads, isAlive, sealState },
  };
  const worker = new Worker({ ...seen, ...rest });
  if (options.worker) worker.start();
  const nudge = (): void => worker.nudge();
  const app = await buildApp({
    db,
    catalog,
    logger,
    metrics,
    version: '0.0.0',
    keys: new KeyRing(db, options.adminKey, false),
    limits: {
      requestsPerMinute: options.requestsPerMinute ?? 0,
      maxEventLoopDelayMs: options.maxEventLoopDelayMs ?? 0,
    },
    console: options.console ?? false,
    nudge,
  });
  const address = await app.listen({ host: '127.0.0.1', port: 0 });
  const closeAll = async (): Promise<void> => {
    await app.close();
    if (options.worker) await worker.stop();
    if (own) await threads.close();
    await store.close();
  };
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closing ??= closeAll();
    return closing;
  };
  atEnd(close);
  return { app, db, catalog, address, logged: () => log, request: supertest(address), close };
}
