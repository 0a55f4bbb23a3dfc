import type { Registry } from '@prometheus-io/client';
import type { Logger } from '../connectors/connector.ts';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { Db } from '../store/db.ts';
import type { Placement } from './placement.ts';
import type { WorkerIdentity } from './roster.ts';
import type { ThreadPool } from './thread-pool.ts';

export interface WorkerDeps {
  db: Db;
  catalog: StoredCatalog;
  logger: Logger;
  metrics: Registry;
  /** Unique name of this process. */
  owner: string;
  identity: WorkerIdentity;
  placement: Placement;
  /** The threads of the tasks. The caller closes it after the worker has stopped. */
  threads: ThreadPool;
  /** Whether the process of that name, on this machine, is known to have ended. */
  isDead(owner: string): boolean;
  /** Whether workers on other machines may share the database. */
  shared: boolean;
}
