import type { InsertPlan, TableDefinition } from './plan.ts';

/** All that one source feeds. It is read once: a message is done with when every output has confirmed it. */
export interface SourcePlan {
  source: TableDefinition;
  operatorId: string;
  /** At least one, in the order of the query. */
  outputs: readonly InsertPlan[];
}

/**
 * Groups inserts by the table they read, so that it takes one session with the broker however many there are: that
 * of the first.
 */
export function bySource(inserts: readonly InsertPlan[]): SourcePlan[] {
  const groups = Map.groupBy(inserts, ({ source }) => source.name);
  return [...groups.values()].flatMap((outputs) => {
    const [first] = outputs;
    return first ? [{ source: first.source, operatorId: first.operatorIds.source, outputs }] : [];
  });
}
