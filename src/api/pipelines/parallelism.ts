import { connectorFor } from '../../connectors/registry.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import type { Plan } from '../../pipeline/plan.ts';

/** Throws `cannot_share`, at `/parallelism`, when a source of the plan cannot be read by so many tasks. */
export function checkParallelism(plan: Plan, parallelism: number): void {
  if (parallelism === 1) return;
  for (const { source } of plan.inserts) {
    const { name, shared } = connectorFor(source.connector);
    if (!shared) throw cannotShare(`A source of ${name} cannot be read by several tasks`, 'Set it to 1.');
    try {
      shared(source.config, 'x');
    } catch (error) {
      const { message, hint } = asPenstockError(error);
      throw cannotShare(`${source.name}: ${message}`, hint);
    }
  }
}

const cannotShare = (message: string, hint: string | undefined): PenstockError =>
  new PenstockError('cannot_share', message, {
    ...(hint ? { hint } : {}),
    errors: [{ path: '/parallelism', message }],
  });
