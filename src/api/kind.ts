import type { TObject } from 'typebox';
import type { JsonObject } from '../security/config-secrets.ts';
import type { Tx } from '../store/db.ts';
import type { Drains } from './dependents.ts';
import type { Versioned } from './precondition.ts';

/** What was written, and the running pipelines that take it over. */
export interface Saved<Row> {
  row: Row;
  drains: Drains;
  /** Whether there may be something to do for a worker. */
  forWorker: boolean;
}

/** One way of naming an object. */
export type Named = { id: string } | { name: string };

/**
 * A kind of object that is created, read, replaced, changed and deleted by itself. What is the same for all kinds,
 * such as ETags and dry runs, is done here; checking and storing is theirs.
 */
export interface Kind<Row extends Versioned, Body extends { name: string }> {
  /** In the path, and the tag. */
  path: 'connection_profiles' | 'connection_tables' | 'pipelines';
  /** Part of the operation ids. */
  title: 'ConnectionProfile' | 'ConnectionTable' | 'Pipeline';
  noun: string;
  /** What POST, PATCH and DELETE do, in the document. */
  creates: string;
  changes: string;
  deletes: string;
  Answer: TObject;
  Body: TObject;
  Patch: TObject;
  /** Fields of a patch that are not part of the definition. */
  besides: readonly string[];
  find(named: Named): Promise<Row | null>;
  /** What would have to be sent in a PUT to change nothing. */
  toBody(row: Row): JsonObject;
  /** Checks a body that satisfies its schema; answers how to store it. `patch` is what was sent in a PATCH. */
  save(
    body: Body,
    current: Row | undefined,
    patch: JsonObject | undefined,
  ): Promise<(tx: Tx) => Promise<Saved<Row>>>;
  /** Checks that it may go; answers how to delete it. */
  remove(row: Row): Promise<(tx: Tx) => Promise<void>>;
  toWire(row: Row): object;
}
