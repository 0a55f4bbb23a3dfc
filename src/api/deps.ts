import type { Registry } from '@prometheus-io/client';
import type { FastifyBaseLogger, FastifyPluginAsync } from 'fastify';
import type { StoredCatalog } from '../definitions/catalog.ts';
import type { KeyRing } from '../security/api-keys.ts';
import type { Db } from '../store/db.ts';
import type { LimitSettings } from './limits.ts';

/** What the API is given. */
export interface Deps {
  db: Db;
  catalog: StoredCatalog;
  logger: FastifyBaseLogger;
  metrics: Registry;
  version: string;
  keys: KeyRing;
  limits: LimitSettings;
  /** Tells the worker that something was written. Only makes it look sooner. */
  nudge(): void;
}

/** A plugin of ours, typed by its schemas. */
export type Resource = (deps: Deps) => FastifyPluginAsync;
