import type { InsertPlan, TableDefinition } from './plan.ts';

/** All that one source feeds. It is read once: a message is done with when every output has confirmed it. */
export interface SourcePlan {
  source: TableDefinition;
  operatorId: string;
  /** At least one, in the order of the query. */
  outputs: readonly InsertPlan[];
}

/** Groups inserts by the table they read, which is one session with the broker however many there are. */
export function bySource(inserts: readonly InsertPlan[]): SourcePlan[] {
  const groups = Map.groupBy(inserts, ({ operatorIds }) => operatorIds.source);
  return [...groups].flatMap(([operatorId, outputs]) => {
    const [first] = outputs;
    return first ? [{ source: first.source, operatorId, outputs }] : [];
  });
}
