import type { TObject } from 'typebox';
import { PenstockError } from '../errors.ts';
import type { JsonObject } from '../security/config-secrets.ts';
import type { Tx } from '../store/db.ts';
import { type AffectedPipelines, approve } from './dependents.ts';
import type { Deps } from './deps.ts';
import type { BriefRow, ListQuery } from './labels.ts';
import type { Versioned } from './precondition.ts';
import type { Named } from './schemas.ts';
import { StagedDefinitions } from './staged-definitions.ts';
import { hold, Outdated, type ReadSet, write } from './write.ts';

export type ObjectRow = Versioned & { name: string; createdAt: bigint; labels: string };

/**
 * A kind of object that is created, read, listed, replaced, changed and deleted. `resource` and bundles do what all
 * kinds have in common, such as ETags and dry runs; a kind checks and stores.
 */
export interface Kind<Row extends ObjectRow, Body extends { name: string }> {
  path: 'connection_profiles' | 'connection_tables' | 'pipelines';
  title: 'ConnectionProfile' | 'ConnectionTable' | 'Pipeline';
  noun: string;
  /** The texts of the operations in the OpenAPI document. */
  summaries: { create: string; change: string; delete: string };
  listDescription?: string;
  paged: boolean;
  Response: TObject;
  /** The response to a write, if that has more fields; `Change.shown` has them. */
  Saved?: TObject;
  Body: TObject;
  Patch: TObject;
  /** Fields of a patch that are not part of the definition. */
  besides: readonly string[];
  find(named: Named): Promise<Row | null>;
  rows(query: ListQuery): Promise<Row[]>;
  /** The same rows with only the columns that select them. */
  brief(query: ListQuery): Promise<BriefRow[]>;
  /** The body of a PUT that changes nothing; secrets are masked. */
  toBody(row: Row): JsonObject;
  /** The same with its secrets. */
  toOpenBody(row: Row): JsonObject;
  toWire(row: Row): object;
  toListed(row: Row): object;
  /**
   * Checks a body that satisfies its schema, and stages the change for the others of the same write. `patch` is what a
   * PATCH sent.
   */
  save(
    body: Body,
    current: Row | undefined,
    staged: StagedDefinitions,
    patch?: JsonObject,
  ): Promise<Change<Row>>;
  /** Deletes it; throws when it must not be deleted. */
  remove(row: Row): Change<Row>;
}

/** One object to write, checked but not stored yet. */
export interface Change<Row> {
  reads: ReadSet;
  /** The id of a pipeline that this change compiled, or of an object that it deletes. */
  written?: string;
  /** Whether the worker has something to do. */
  forWorker: boolean;
  /** Fields of the response that are about the write. */
  shown?: object;
  /** Stores it, when the rows of `reads` are locked. `affected` is the pipeline itself, if it runs. */
  store(tx: Tx): Promise<{ row: Row; affected?: AffectedPipelines }>;
}

interface WriteOptions {
  dryRun: boolean;
  /** Whether the change may lose states of jobs. */
  discardState?: boolean;
  /** Whether objects are found by name: one that another writer creates meanwhile is then replaced. */
  byName?: boolean;
  timeoutMs?: number;
}

interface WritePlan<Row, Result> {
  changes: Change<Row>[];
  /** Makes the result, in the transaction: what it throws rolls everything back. */
  finish(rows: Row[], affected: AffectedPipelines): Result;
}

/**
 * The one path of every write, of a single object or a bundle: stage the changes, check all that depends on them,
 * store them in one transaction, tell the worker. Throws what the checks throw, and `changed_meanwhile`.
 */
export async function writeObjects<Row, Result>(
  deps: Deps,
  { dryRun, discardState = false, byName = false, timeoutMs }: WriteOptions,
  plan: (staged: StagedDefinitions) => Promise<WritePlan<Row, Result>>,
): Promise<Result> {
  const prepare = async () => {
    const staged = new StagedDefinitions(deps.db, discardState);
    const { changes, finish } = await plan(staged);
    const written = changes.flatMap(({ written: id }) => id ?? []);
    const approval = await approve(deps, staged, written);
    return async (tx: Tx) => {
      await hold(
        tx,
        changes.map(({ reads }) => reads),
      );
      await approval.announce(tx);
      const rows: Row[] = [];
      const affected = [...approval.affected];
      for (const change of changes) {
        const stored = await change.store(tx).catch((error: unknown) => {
          throw byName && isNameTaken(error) ? new Outdated() : error;
        });
        rows.push(stored.row);
        affected.push(...(stored.affected ?? []));
      }
      const forWorker = affected.length > 0 || changes.some((change) => change.forWorker);
      return { result: finish(rows, affected), forWorker };
    };
  };
  const { result, forWorker } = await write(deps.db, dryRun, prepare, timeoutMs);
  if (forWorker && !dryRun) deps.nudge();
  return result;
}

const isNameTaken = (error: unknown): boolean =>
  error instanceof PenstockError && error.code === 'name_taken';

export function refuseOtherName(sent: string, inPath: string): void {
  if (sent === inPath) return;
  const error = { path: '/name', message: `is not ${JSON.stringify(inPath)}, the name in the path` };
  throw new PenstockError('invalid_request', `/name ${error.message}`, {
    hint: 'To rename it, use PATCH or PUT with its id.',
    errors: [error],
  });
}
