import type { StateSession } from '../engine/state-session.ts';
import type { LeafTable } from './leaf-table.ts';

/** Bytes of a part of a snapshot, roughly at most. */
const partBytes = 48 * 1024 * 1024;

/** Parquet data of rows of a leaf. */
export interface LeafSegment {
  leaf: number;
  data: Uint8Array;
}

/** Snapshots that are being written, each by a session of its own. */
export class Snapshots {
  readonly #session: StateSession;
  readonly #running = new Map<StateSession, Promise<unknown>>();

  constructor(session: StateSession) {
    this.#session = session;
  }

  /** Returns how to write the rows as they are now. */
  async begin(leaves: readonly LeafTable[]): Promise<() => Promise<LeafSegment[]>> {
    const session = await this.#session.fork();
    const selects = leaves.map(({ select }) => select);
    try {
      await session.run('BEGIN TRANSACTION');
      // The transaction sees the rows of the moment when it reads first.
      for (const { table } of leaves) await session.run(`SELECT 1 FROM ${table} LIMIT 0`);
    } catch (error) {
      session.close();
      throw error;
    }
    return () => {
      const written = write(session, selects).finally(() => {
        session.close();
        this.#running.delete(session);
      });
      this.#running.set(
        session,
        written.catch(() => undefined),
      );
      return written;
    };
  }

  async stop(): Promise<void> {
    for (const session of this.#running.keys()) session.interrupt();
    await Promise.all(this.#running.values());
  }
}

async function write(session: StateSession, selects: readonly string[]): Promise<LeafSegment[]> {
  const segments: LeafSegment[] = [];
  for (const [leaf, select] of selects.entries())
    for (const data of await session.writeParts(select, partBytes)) segments.push({ leaf, data });
  return segments;
}
