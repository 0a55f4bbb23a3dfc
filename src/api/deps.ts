import type { Registry } from '@prometheus-io/client';
import type { FastifyBaseLogger, FastifyPluginAsync } from 'fastify';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { KeyRing } from '../security/api-keys.ts';
import type { Db } from '../store/db.ts';
import type { LimitSettings } from './limits.ts';

export interface Deps {
  db: Db;
  catalog: StoredCatalog;
  logger: FastifyBaseLogger;
  metrics: Registry;
  version: string;
  keys: KeyRing;
  limits: LimitSettings;
  /** Whether the web console is served. */
  console: boolean;
  /** Wakes the worker after a write; without it the worker only notices later. */
  nudge(): void;
}

export type Resource = (deps: Deps) => FastifyPluginAsync;
