import { expect, test } from 'vitest';
import { PlacedTask } from './placed-task.ts';

test('a task is connected again when the worker that runs it counted as gone and comes back', async () => {
  const gone = new Set<string>();
  const said: string[] = [];
  const db = { task: { findUnique: async () => null, create: async () => ({}) } };
  const offered = Promise.withResolvers<void>();
  const placement = { offer: async () => offered.resolve() };
  const task = new PlacedTask({
    deps: { db, placement, catalog: { sealWork: () => '' } } as never,
    planned: { id: 'tsk_1', spec: { jobId: 'job_1' }, work: {}, place: {}, placement: '{}' } as never,
    events: {
      running: () => said.push('running'),
      recovering: () => said.push('recovering'),
      waiting: () => said.push('waiting'),
      unconfirmed() {},
    },
    controlled: { worker: 'one', epoch: 1 },
    isGone: (worker) => gone.has(worker),
    changed() {},
  });
  void task.run();
  await offered.promise;
  const row = { id: 'tsk_1', jobId: 'job_1', worker: 'two', epoch: 1, revision: 1, state: 'running' };
  const observe = () => task.observe({ ...row, stateSince: 1n, connections: 1, failure: null });
  observe();
  observe();
  expect(said).toEqual(['running']);
  gone.add('two');
  observe();
  gone.delete('two');
  observe();
  expect(said).toEqual(['running', 'waiting', 'running']);
  task.detach();
});
