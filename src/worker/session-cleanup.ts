import { connectorFor } from '../connectors/registry.ts';
import { asPenstockError } from '../errors.ts';
import { backoffMs } from '../runtime/backoff.ts';
import type { WorkerDeps } from './deps.ts';

/** A broker that does not answer for a day keeps what it has; its own session expiry ends it then. */
const maxAgeMicros = 86_400_000_000n;
const deadlineMs = 5000;

/** Removes what deleted pipelines left on brokers, one at a time, trying again with back-off. */
export async function clearLeftovers({ db, catalog, logger }: WorkerDeps): Promise<void> {
  const due = await db.sourceSession.findFirst({
    where: { state: 'leftover', nextTry: { lte: BigInt(Date.now()) * 1000n } },
  });
  if (!due) return;
  const { id, jobId, operatorId, taskIndex } = due;
  // Of several workers one goes there: two at once would throw each other out.
  const ours = BigInt(Date.now() + 2 * deadlineMs) * 1000n;
  const where = { id, state: 'leftover', nextTry: due.nextTry };
  const { count } = await db.sourceSession.updateMany({ where, data: { nextTry: ours } });
  if (count === 0) return;
  try {
    const connector = connectorFor(due.connector);
    const { profile, tables } = catalog.openSession(due);
    const reachable = catalog.resolve(connector, profile);
    const signal = AbortSignal.timeout(deadlineMs);
    const identity = { jobId, operatorId, taskIndex };
    await connector.forget?.({ ...reachable, table: tables[0], identity, signal, logger });
    await db.sourceSession.deleteMany({ where: { id } });
  } catch (error) {
    const { code, message } = asPenstockError(error);
    if (BigInt(Date.now()) * 1000n - due.stateSince > maxAgeMicros) {
      logger.warn(
        { job: jobId, code },
        `gave up removing the broker session of a deleted pipeline: ${message}`,
      );
      await db.sourceSession.deleteMany({ where: { id } });
      return;
    }
    const nextTry = BigInt(Date.now() + 1000 + backoffMs(due.attempts + 4)) * 1000n;
    await db.sourceSession.updateMany({ where: { id }, data: { attempts: due.attempts + 1, nextTry } });
  }
}
