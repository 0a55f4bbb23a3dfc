import type { Registry } from '@prometheus-io/client';
import type { Logger } from '../connectors/connector.ts';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { Db } from '../store/db.ts';
import type { Owner } from './owner.ts';
import type { Threads } from './thread-pool.ts';

/** What a worker is given. */
export interface WorkerDeps {
  db: Db;
  catalog: StoredCatalog;
  logger: Logger;
  metrics: Registry;
  owner: Owner;
  /** Where tasks run. Whoever gives them closes them, after the worker has stopped. */
  threads: Threads;
  /** Whether the worker of that name is known to have died, so that its lease need not run out first. */
  isDead(owner: string): boolean;
  /** Whether other workers may share the database, so that a lease that ran out may be another's by now. */
  shared: boolean;
}
