import { type AnyErrorCode, type FieldError, PenstockError } from '../errors.ts';
import type { Ending } from '../jobs/states.ts';
import { printable } from '../jobs/stats.ts';
import type { TaskSpec } from '../runtime/task-spec.ts';
import type { MessagePlace } from './job-record.ts';
import { isFromSink, leftUnconfirmed, markFromSink } from './task.ts';

/** The columns of `Task` in which the controller of a job and the workers of its tasks tell each other something. */

export type WantedState = 'run' | Ending;

/** Why a task is recovering or failed, or which error of the sink left messages unconfirmed. */
export interface TaskFailure {
  code: AnyErrorCode;
  passing: boolean;
  message: string;
  hint: string | undefined;
  errors: FieldError[];
  fromSink: boolean;
  unconfirmed: boolean;
}

export function writeFailure(error: PenstockError): string {
  const { code, passing, message, hint, errors } = error;
  const sink = { fromSink: isFromSink(error), unconfirmed: leftUnconfirmed(error) };
  const failure: TaskFailure = { code, passing, message: printable(message), hint, errors, ...sink };
  return JSON.stringify(failure);
}

export const readFailure = (text: string): TaskFailure => JSON.parse(text) as TaskFailure;

export function errorOf(failure: TaskFailure): PenstockError {
  const { message, hint, errors, fromSink, unconfirmed } = failure;
  const error = new PenstockError(failure, message, { ...(hint ? { hint } : {}), errors });
  if (fromSink) markFromSink(error, unconfirmed ? 1 : 0);
  return error;
}

/** The columns that the controller of the job reads. */
export const seenByController = {
  id: true,
  jobId: true,
  worker: true,
  epoch: true,
  revision: true,
  state: true,
  stateSince: true,
  connections: true,
  failure: true,
} as const;

/** The columns that the worker of the task reads. */
export const seenByRunner = {
  id: true,
  epoch: true,
  revision: true,
  wanted: true,
  allConnected: true,
} as const;

/** The place of an error: the source, unless it is known to be the sink's or the transform's. */
export function placeIn({ insert, taskIndex }: TaskSpec, error: PenstockError): MessagePlace {
  const { source, transform, sink } = insert.operatorIds;
  if (isFromSink(error)) return { operatorId: sink, taskIndex };
  return { operatorId: error.code === 'bad_row' ? transform : source, taskIndex };
}
