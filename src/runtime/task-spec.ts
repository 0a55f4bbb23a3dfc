import { isDeepStrictEqual } from 'node:util';
import type { Identity, Usable } from '../connectors/connector.ts';
import type { InsertPlan } from '../sql/plan.ts';

/** One side of a task: a connector with a configuration it can use, secrets opened and variables replaced. */
export interface Endpoint extends Usable {
  operatorId: string;
}

/** What one task does: plain data beside the connectors, so that two can be compared. */
export interface TaskSpec {
  jobId: string;
  taskIndex: number;
  insert: InsertPlan;
  source: Endpoint;
  sink: Endpoint;
}

/** Who a task is towards its source. */
export const sourceIdentity = ({ jobId, taskIndex, source }: TaskSpec): Identity => ({
  jobId,
  operatorId: source.operatorId,
  taskIndex,
});

/** The place of a task in its job: a task of another spec there takes over from it. */
export const placeOf = ({ insert: { operatorIds }, taskIndex }: TaskSpec): string =>
  `${operatorIds.source} ${operatorIds.sink} ${taskIndex}`;

/** Whether two tasks do the same, so that one need not make room for the other. */
export const sameWork = (one: TaskSpec, other: TaskSpec): boolean =>
  isDeepStrictEqual(workOf(one), workOf(other));

export const sameJob = (some: readonly TaskSpec[], others: readonly TaskSpec[]): boolean =>
  some.length === others.length &&
  some.every((spec) => others.some((other) => placeOf(other) === placeOf(spec) && sameWork(other, spec)));

const workOf = ({ insert, source, sink }: TaskSpec) => [
  insert,
  ...[source, sink].map(({ connector, profile, config }) => ({ connector: connector.id, profile, config })),
];
