import { describe, expect, test } from 'vitest';
import { actionFor, jobStates, shownState } from '../src/jobs/states.ts';

describe('the shown state of a job', () => {
  test.each([
    ['Running', 'none', 'alive', 'Running'],
    ['Running', 'graceful', 'alive', 'Running'],
    ['Running', 'none', 'dead', 'Scheduling'],
    ['Scheduling', 'none', null, 'Scheduling'],
    ['Running', 'force', 'dead', 'Stopped'],
    ['Stopping', 'graceful', null, 'Stopped'],
    ['Running', 'none', null, 'Running'],
    ['Stopping', 'checkpoint', 'dead', 'Stopped'],
    ['Stopping', 'none', 'dead', 'Scheduling'],
    ['Failed', 'none', 'dead', 'Failed'],
    ['Stopped', 'graceful', null, 'Stopped'],
    ['Created', 'none', null, 'Created'],
  ] as const)('is right for %s with stop %s and the worker %s', (state, stop, worker, shown) => {
    expect(shownState({ state, stop, worker }, (id) => id === 'alive')).toBe(shown);
  });
});

describe('the action offered for a job', () => {
  test('is to stop a job that should run, and to start any other', () => {
    expect(actionFor('Running', true)).toMatchObject({ action: 'checkpoint', action_text: 'Stop' });
    for (const state of ['Created', 'Stopped', 'Failed'] as const)
      expect(actionFor(state, false)).toEqual({
        action: 'none',
        action_text: 'Start',
        action_in_progress: false,
      });
  });

  test('has a text for every state', () => {
    for (const state of jobStates)
      for (const running of [true, false])
        expect(actionFor(state, running).action_text).toMatch(/^[A-Z][a-z]+$/);
  });
});
