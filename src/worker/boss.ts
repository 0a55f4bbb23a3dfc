import { createHash } from 'node:crypto';
import pg from 'pg';
import { type CommandResponse, PgBoss } from 'pg-boss';
import type { Logger } from '../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import type { Db } from '../store/db.ts';
import { translateDriver } from '../store/failures.ts';
import { findPostgres } from '../store/postgres.ts';
import {
  claimOwn,
  type HeldItem,
  type Item,
  type ItemKind,
  type Placement,
  releaseRows,
} from './placement.ts';

/**
 * Placement by pg-boss, on the PostgreSQL that is already there, in a schema of its own. The only module that knows pg-boss.
 *
 * An item is a job of pg-boss in a queue with the policy `exclusive` under the id of the item, so there is at most one. A
 * worker has it from `fetch` on, and keeps it by a heartbeat (`touch`). If that stays away, `supervise` of any worker puts it
 * back. A queue holds the items of one kind and placement.
 */

/** pg-boss accepts no less. */
const heartbeatSeconds = 10;
/** The time without a heartbeat after which this worker no longer trusts that it holds anything. */
const trustMs = 9_000;
/** The time without a heartbeat after which those of others may have failed too: shorter than they count. */
const outageMs = 5_000;
const superviseEveryMs = 2_500;
/** The same for workers that do not lead: in case that the leader is the one that died. */
const followEveryMs = 7_500;
/** pg-boss ends an attempt after 24 h. Items are given back and taken again before that. */
const attemptSeconds = 86_400;
const handOverMs = 20 * 3_600_000;
const maxRetries = 2_000_000_000;

const queueOptions = {
  policy: 'exclusive',
  heartbeatSeconds,
  expireInSeconds: attemptSeconds,
  retryLimit: maxRetries,
  retryDelay: 0,
  retentionSeconds: 14 * 86_400,
  deleteAfterSeconds: 60,
} as const;

const hash = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 12);

/** The schema of pg-boss, beside ours: two installations in one database do not meet. */
function schemaOf(schema: string): string {
  if (schema === 'public') return 'penstock_placement';
  return /^[a-z_][a-z0-9_]{0,40}$/.test(schema) ? `${schema}_placement` : `placement_${hash(schema)}`;
}

const queueName = (kind: ItemKind, placement: string): string =>
  placement === '{}' ? kind : `${kind}-${hash(placement)}`;

interface Attempt {
  id: string;
  retryCount: number;
  queue: string;
  since: number;
}

/** The ids of the attempts that were still ours: its types do not name them. */
type TouchResponse = CommandResponse & { settled?: string[] };

interface BossOptions {
  db: Db;
  owner: string;
  url: string;
  logger: Logger;
}

export class BossPlacement implements Placement {
  readonly #options: BossOptions;
  readonly #attempts: Record<ItemKind, Map<string, Attempt>> = { job: new Map(), task: new Map() };
  readonly #queues = new Set<string>();
  #boss: PgBoss | undefined;
  #pool: pg.Pool | undefined;
  #renewedAt = Number.NEGATIVE_INFINITY;
  /** Since when every heartbeat has been written. */
  #steadySince = Number.POSITIVE_INFINITY;
  #supervisedAt = Number.NEGATIVE_INFINITY;
  #supervising: Promise<void> | undefined;

  constructor(options: BossOptions) {
    this.#options = options;
  }

  has(kind: ItemKind, id: string): boolean {
    return this.#attempts[kind].has(id);
  }

  held(kind: ItemKind): string[] {
    return [...this.#attempts[kind].keys()];
  }

  holds(kind: ItemKind, id: string): boolean {
    return this.has(kind, id) && performance.now() - this.#renewedAt < trustMs;
  }

  async start(): Promise<void> {
    if (this.#boss) return;
    const { url, logger } = this.#options;
    const { config, schema: ours } = await findPostgres(url);
    const pool = new pg.Pool({ ...config, max: 2, application_name: 'penstock placement' });
    // A connection that breaks while idle. The next statement opens another.
    pool.on('error', (err) => logger.debug({ err }, 'connection of the placement lost'));
    const schema = schemaOf(ours);
    try {
      const createSchema = await mustCreate(pool, schema);
      const boss = new PgBoss({
        db: { executeSql: (text, values) => pool.query(text, values) },
        schema,
        createSchema,
        supervise: false,
        schedule: false,
        monitorIntervalSeconds: 2,
        maintenanceIntervalSeconds: 600,
        queueCacheIntervalSeconds: 600,
        reindex: false,
        monitorVacuum: false,
      });
      boss.on('error', (err) => logger.debug({ err }, 'pg-boss reports an error'));
      boss.on('warning', (warning) => logger.debug({ warning }, 'pg-boss warns'));
      await translated(() => boss.start());
      this.#boss = boss;
      this.#pool = pool;
    } catch (error) {
      await pool.end();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.#supervising;
    await this.#boss?.stop({ graceful: false }).catch(() => {});
    await this.#pool?.end();
  }

  async offer(kind: ItemKind, items: readonly Item[]): Promise<void> {
    for (const [placement, same] of Map.groupBy(items, (item) => item.placement)) {
      const queue = await this.#queue(kind, placement);
      const jobs = same.map(({ id }) => ({ data: { id }, singletonKey: id }));
      await this.#call((boss) => boss.insert(queue, jobs));
    }
  }

  async take(kind: ItemKind, placement: string, max: number): Promise<HeldItem[]> {
    const queue = await this.#queue(kind, placement);
    const since = performance.now();
    const jobs = await this.#call((boss) =>
      boss.fetch<{ id: string }>(queue, { batchSize: max, includeMetadata: true }),
    );
    // Another worker may have them by now.
    if (performance.now() - since > trustMs) return [];
    const { db, owner } = this.#options;
    const items = jobs.map(({ data }) => data.id);
    const taken = await claimOwn(db, kind, owner, items, placement);
    const known = new Set(taken.map(({ id }) => id));
    const gone: Attempt[] = [];
    for (const { id, retryCount, data } of jobs) {
      const attempt = { id, retryCount, queue, since };
      if (known.has(data.id)) this.#attempts[kind].set(data.id, attempt);
      else gone.push(attempt);
    }
    if (gone.length > 0) await this.#call((boss) => boss.deleteJob(queue, gone));
    return taken;
  }

  async renew(leads: boolean): Promise<Record<ItemKind, string[]>> {
    const at = performance.now();
    const outage = at - this.#renewedAt > outageMs;
    const lost = { job: await this.#renewKind('job'), task: await this.#renewKind('task') };
    // Counts from the time of sending, as the statements may have taken long.
    this.#renewedAt = at;
    if (outage) this.#steadySince = at;
    this.#supervise(leads ? superviseEveryMs : followEveryMs);
    return lost;
  }

  async #renewKind(kind: ItemKind): Promise<string[]> {
    const held = this.#attempts[kind];
    const kept = new Set<string>();
    const before = [...held];
    for (const [queue, same] of Map.groupBy(before, ([, attempt]) => attempt.queue)) {
      const attempts = same.map(([, attempt]) => attempt);
      const response: TouchResponse = await this.#call((boss) => boss.touch(queue, attempts));
      for (const id of response.settled ?? attempts.map((attempt) => attempt.id)) kept.add(id);
    }
    // Items that were given back meanwhile are not lost.
    const lost = before.filter(([item, attempt]) => !kept.has(attempt.id) && held.get(item) === attempt);
    for (const [item] of lost) held.delete(item);
    return lost.map(([item]) => item);
  }

  expiring(kind: ItemKind): string[] {
    const before = performance.now() - handOverMs;
    return [...this.#attempts[kind]].filter(([, { since }]) => since < before).map(([item]) => item);
  }

  /**
   * Puts items of dead workers back. After an outage of the database every worker has time to send its heartbeat first: what
   * the outage made old says nothing.
   */
  #supervise(everyMs: number): void {
    const now = performance.now();
    if (now - this.#steadySince < heartbeatSeconds * 1000) return;
    if (this.#supervising || now - this.#supervisedAt < everyMs) return;
    this.#supervisedAt = now;
    this.#supervising = this.#call((boss) => boss.supervise())
      .catch((err: unknown) =>
        this.#options.logger.warn({ err }, 'tasks of dead workers cannot be freed now; it is tried again'),
      )
      .finally(() => {
        this.#supervising = undefined;
      });
  }

  async release(kind: ItemKind, ids: readonly string[]): Promise<void> {
    // The rows first, so the next holder finds them free.
    await releaseRows(this.#options.db, kind, this.#options.owner, ids);
    await this.#settle(kind, ids, (boss, queue, attempts) => boss.fail(queue, attempts));
  }

  async finish(kind: ItemKind, ids: readonly string[]): Promise<void> {
    // The rows last: an item whose row is free can be offered again.
    await this.#settle(kind, ids, (boss, queue, attempts) => boss.deleteJob(queue, attempts));
    await releaseRows(this.#options.db, kind, this.#options.owner, ids);
  }

  async #settle(
    kind: ItemKind,
    ids: readonly string[],
    settle: (boss: PgBoss, queue: string, attempts: Attempt[]) => Promise<unknown>,
  ): Promise<void> {
    const held = this.#attempts[kind];
    const attempts = ids.flatMap((id) => held.get(id) ?? []);
    for (const [queue, same] of Map.groupBy(attempts, (attempt) => attempt.queue))
      await this.#call((boss) => settle(boss, queue, same));
    for (const id of ids) held.delete(id);
  }

  async #queue(kind: ItemKind, placement: string): Promise<string> {
    const name = queueName(kind, placement);
    if (!this.#queues.has(name)) {
      await this.#call((boss) => boss.createQueue(name, queueOptions));
      this.#queues.add(name);
    }
    return name;
  }

  #call<T>(work: (boss: PgBoss) => Promise<T>): Promise<T> {
    return translated(() => work(this.#boss as PgBoss));
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asPenstockError(translateDriver(error, { name: 'placement' }));
  }
}

/** Whether the schema must be created. Throws `database_forbidden` if it is not there and the role may not create it. */
async function mustCreate(pool: pg.Pool, schema: string): Promise<boolean> {
  const { rows } = await translated(() =>
    pool.query<{ there: boolean; may: boolean; role: string }>(
      `SELECT to_regnamespace($1) IS NOT NULL AS there, current_user AS role,
         has_database_privilege(current_database(), 'CREATE') AS may`,
      [schema],
    ),
  );
  const [{ there, may, role } = { there: false, may: false, role: '' }] = rows;
  if (there || may) return !there;
  throw new PenstockError('database_forbidden', `The role ${role} may not create the schema ${schema}`, {
    hint: `Create it as an administrator: CREATE SCHEMA ${schema} AUTHORIZATION ${role};`,
  });
}
