import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import type { Plan } from '../../sql/plan.ts';

/** Throws `cannot_share` if a source of the plan does not support this parallelism. */
export function checkParallelism(plan: Plan, parallelism: number): void {
  const message = parallelismProblem(plan, parallelism);
  if (message !== undefined)
    throw new PenstockError('cannot_share', message, { errors: [{ path: '/parallelism', message }] });
}

/** Returns the problem of a source that does not support this parallelism; undefined if all do. */
export function parallelismProblem(plan: Plan, parallelism: number): string | undefined {
  if (parallelism === 1) return undefined;
  for (const { source, select } of plan.inserts) {
    // Always one task.
    if (select.kind === 'stateful') continue;
    const { name, shared } = connectorFor(source.connector);
    if (!shared) return `A source of ${name} cannot be read by several tasks; set the parallelism to 1`;
  }
  return undefined;
}
