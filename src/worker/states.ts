import { PenstockError } from '../errors.ts';
import type { StateStore } from '../runtime/operations.ts';

const refused = async (): Promise<never> => {
  throw new PenstockError('internal', 'This task has no state');
};

/** The store of a task that keeps none. */
export const noStates: StateStore = { load: refused, read: refused, commit: refused };
