/**
 * States of a job, shared by API and worker through the job's database row. The API writes the desired state (`stop`,
 * `restartRequests`, `editRequests`), the worker the actual one (`state` and related columns).
 */

/** Arroyo's names, also on the wire. */
export const jobStates = [
  'Created',
  'Scheduling',
  'Running',
  'Recovering',
  'Restarting',
  'Stopping',
  'Stopped',
  'Finishing',
  'Finished',
  'Failing',
  'Failed',
] as const;
export type JobState = (typeof jobStates)[number];

/**
 * The desired state of a job. `none` runs it. `checkpoint` and `graceful` drain messages in flight first, `immediate` and
 * `force` do not. In every mode unacknowledged messages stay with the broker. Open windows stay in the state of the job, except
 * with `graceful`, which closes them.
 */
export const stopModes = ['none', 'checkpoint', 'graceful', 'immediate', 'force'] as const;
export type StopMode = (typeof stopModes)[number];

/** How a task ends: after the messages in flight, after these and all open windows, or at once. */
export type Ending = 'drain' | 'finish' | 'stop';

const endings: Partial<Record<StopMode, Ending>> = { checkpoint: 'drain', graceful: 'finish' };

export const endingOf = (mode: StopMode): Ending => endings[mode] ?? 'stop';

/** States in which a job stays until a user acts. */
const restingStates: readonly JobState[] = ['Created', 'Stopped', 'Finished', 'Failed'];

export const isResting = (state: JobState): boolean => restingStates.includes(state);

/** State of a task. `ended` was asked for, `finished` means that the source has no more messages. */
export const taskStates = [
  'waiting',
  'starting',
  'running',
  'recovering',
  'ended',
  'finished',
  'failed',
] as const;
export type TaskState = (typeof taskStates)[number];

const taskEnds: readonly TaskState[] = ['ended', 'finished', 'failed'];

export const hasEnded = (state: string): boolean => taskEnds.some((end) => end === state);

/** Selects the rows of tasks that have not ended. */
export const notEnded = { state: { notIn: [...taskEnds] } };

/** A worker whose last heartbeat is older is dead: others take its work. */
export const workerAliveMicros = 10_000_000n;

/**
 * The state to show. A job that no worker controls, or one that is dead, waits for another, or it is stopped, if that is what
 * it should be. Tasks of a job that is handed over go on, so the job keeps its state.
 */
export function shownState(
  job: { state: string; stop: string; worker: string | null },
  isAlive: (worker: string) => boolean,
): JobState {
  const state = job.state as JobState;
  if (isResting(state) || (job.worker !== null && isAlive(job.worker))) return state;
  if (job.stop !== 'none') return 'Stopped';
  return job.worker === null ? state : 'Scheduling';
}

interface Action {
  action_text: string;
  /** Stop mode that the button sends. Null if there is nothing to press. */
  action: StopMode | null;
  action_in_progress: boolean;
}

const stop = (inProgress: boolean): Action => ({
  action_text: 'Stop',
  action: 'checkpoint',
  action_in_progress: inProgress,
});
const start: Action = { action_text: 'Start', action: 'none', action_in_progress: false };
const busy = (text: string): Action => ({ action_text: text, action: null, action_in_progress: true });
const done = (text: string): Action => ({ action_text: text, action: null, action_in_progress: false });

/** The action that a console offers for a job. Values as in Arroyo's `get_action`. */
export function actionFor(state: JobState, runningDesired: boolean): Action {
  switch (state) {
    case 'Created':
      return runningDesired ? stop(true) : start;
    case 'Scheduling':
    case 'Recovering':
    case 'Restarting':
      return runningDesired ? stop(true) : busy('Stopping');
    case 'Running':
      return runningDesired ? stop(false) : busy('Stopping');
    case 'Stopping':
      return busy('Stopping');
    case 'Stopped':
      return runningDesired ? busy('Starting') : start;
    case 'Finishing':
    case 'Failing':
      return busy(state);
    case 'Finished':
      return done('Finished');
    case 'Failed':
      return runningDesired ? done('Failed') : start;
  }
}
