/**
 * What the API and the worker both say about a job. They meet in its database row: the API writes the desired state
 * (`stop`, `restartRequests`, `editRequests`), the worker writes the actual one (`state` and what goes with it).
 */

/** Arroyo's names, on the wire too. */
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
 * What is wanted of a job. `none` = run. `checkpoint` and `graceful` drain what is in flight first; `immediate` and
 * `force` do not wait. In every mode unacknowledged messages stay with the broker.
 */
export const stopModes = ['none', 'checkpoint', 'graceful', 'immediate', 'force'] as const;
export type StopMode = (typeof stopModes)[number];

export const drains = (mode: StopMode): boolean => mode === 'checkpoint' || mode === 'graceful';

/** States in which nothing runs and nothing will until somebody asks. */
export const restingStates: readonly JobState[] = ['Created', 'Stopped', 'Finished', 'Failed'];

export const isResting = (state: JobState): boolean => restingStates.includes(state);

/** The state to show at `now` (unix microseconds): a job whose worker has died waits for another one. */
export function shownState(job: { state: string; leaseUntil: bigint | null }, now: bigint): JobState {
  const state = job.state as JobState;
  const held = job.leaseUntil !== null && job.leaseUntil >= now;
  return held || isResting(state) ? state : 'Scheduling';
}

interface Action {
  /** The caption of the one button that makes sense now. */
  action_text: string;
  /** The stop mode that button sends; null when there is nothing to press. */
  action: StopMode | null;
  /** Whether the job is on its way to another state. */
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

/** What a console offers for a job in `state`, by whether it is meant to run. Values as Arroyo's `get_action`. */
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
