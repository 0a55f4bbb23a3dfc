import { expect, test } from 'vitest';
import { RunningJob } from './running-job.ts';

const row = {
  id: 'job_1',
  epoch: 2,
  stop: 'none',
  state: 'Running',
  stateSince: 10n,
  restartRequests: 0,
  restartForce: false,
  restartsDone: 0,
  editRequests: 0,
};
const task = { id: 'tsk_1', worker: 'two', state: 'running', stateSince: 9n };

test.each([
  { tasks: [task], told: [] },
  { tasks: [task, { ...task, stateSince: 11n }], told: ['The job is Scheduling; it was Running'] },
  { tasks: [task, { ...task, state: 'starting' }], told: ['The job is Scheduling; it was Running'] },
  { tasks: [task, { ...task, worker: 'gone' }], told: ['The job is Scheduling; it was Running'] },
  { tasks: [{ ...task, worker: null }], state: 'Recovering', told: [] },
])(
  'a new controller goes on with a running job, and tells what moved while there was none: $told',
  ({ tasks, state = 'Running', told }) => {
    const said: string[] = [];
    const log = { add: ({ message }: { message: string }) => said.push(message) };
    const tools = { local: { log }, isGone: (worker: string) => worker === 'gone', changed() {} };
    const deps = { owner: 'one' };
    const adopted = { adopted: true, tasks: tasks as never };
    const job = new RunningJob({ ...row, state }, deps as never, tools as never, adopted);
    expect(said).toEqual(told);
    expect(job.record.state).toBe(told.length > 0 ? 'Scheduling' : state);
  },
);
