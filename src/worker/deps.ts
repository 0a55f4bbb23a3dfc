import type { Registry } from '@prometheus-io/client';
import type { Logger } from '../connectors/connector.ts';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { LabelMap } from '../jobs/placement.ts';
import type { Db } from '../store/db.ts';
import type { Placement } from './placement.ts';
import type { ThreadPool } from './thread-pool.ts';

/** How a worker presents itself. */
export interface WorkerIdentity {
  name: string;
  version: string;
  labels: LabelMap;
  /** Whether it runs only pipelines whose placement names one of its labels. */
  exclusive: boolean;
  /** Maximum number of tasks. */
  slots: number | undefined;
}

export interface WorkerDeps {
  db: Db;
  catalog: StoredCatalog;
  /** Whether the states of jobs are sealed. */
  sealState: boolean;
  logger: Logger;
  metrics: Registry;
  /** Unique name of this process. */
  owner: string;
  identity: WorkerIdentity;
  placement: Placement;
  /** The threads of the tasks. The caller closes it after the worker has stopped. */
  threads: ThreadPool;
  /** Whether a process of this machine lives. Undefined for one that only its heartbeats tell about. */
  isAlive(owner: string): boolean | undefined;
}
