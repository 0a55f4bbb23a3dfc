import type { Registry } from '@prometheus-io/client';
import type { Logger } from '../connectors/connector.ts';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { Db } from '../store/db.ts';
import type { ThreadPool } from './thread-pool.ts';

export interface WorkerDeps {
  db: Db;
  catalog: StoredCatalog;
  logger: Logger;
  metrics: Registry;
  owner: string;
  /** The threads of the tasks. The caller closes it after the worker has stopped. */
  threads: ThreadPool;
  /** Whether the worker of that name is known to be dead, so its leases need not expire first. */
  isDead(owner: string): boolean;
  /** Whether other workers may share the database, so an expired lease may be held by another. */
  shared: boolean;
}
