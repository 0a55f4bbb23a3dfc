import { expect, test, vi } from 'vitest';
import { PenstockError } from '../errors.ts';
import { PlacedTask } from './placed-task.ts';
import { leftUnconfirmed, markFromSink } from './task.ts';
import { errorOf, placeIn, readFailure, writeFailure } from './task-row.ts';

test('a task waits while no worker that lives runs it, also if the next one runs it before that is seen', async () => {
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
  const observe = (now = row) => task.observe({ ...now, stateSince: 1n, connections: 1, failure: null });
  observe();
  observe();
  expect(said).toEqual(['running']);
  gone.add('two');
  observe();
  gone.delete('two');
  observe();
  expect(said).toEqual(['running', 'waiting', 'running']);
  said.length = 0;
  observe({ ...row, worker: 'one', epoch: 2 });
  expect(said).toEqual(['waiting', 'running']);
  task.detach();
});

test('an error of a sink is still one of the sink after it was written into the row', () => {
  const operatorIds = { source: 'in', transform: 'sql', sink: 'out' };
  const spec = { insert: { operatorIds }, taskIndex: 3 } as never;
  const asRead = (error: PenstockError) => errorOf(readFailure(writeFailure(error)));
  const refused = new PenstockError('connection_refused', 'The server refused the connection');
  expect(placeIn(spec, asRead(refused))).toEqual({ operatorId: 'in', taskIndex: 3 });
  markFromSink(refused, 0);
  expect(placeIn(spec, asRead(refused))).toEqual({ operatorId: 'out', taskIndex: 3 });
  expect(leftUnconfirmed(asRead(refused))).toBe(false);
  markFromSink(refused, 20);
  expect(leftUnconfirmed(asRead(refused))).toBe(true);
  expect(asRead(refused)).toMatchObject({ code: 'connection_refused', passing: true });
});

test('a task that closes its windows is still drained only, until it is stopped', async () => {
  const wanted: string[] = [];
  const offered = Promise.withResolvers<void>();
  const task = new PlacedTask({
    deps: {
      db: {
        task: {
          findUnique: async () => null,
          create: async () => ({}),
          findMany: async () => [],
          updateMany: async ({ data }: { data: { wanted?: string } }) => {
            if (data.wanted) wanted.push(data.wanted);
          },
        },
      },
      placement: { offer: async () => offered.resolve() },
      catalog: { sealWork: () => '' },
    } as never,
    planned: { id: 'tsk_1', spec: { jobId: 'job_1' }, work: {}, place: {}, placement: '{}' } as never,
    events: { running() {}, recovering() {}, waiting() {}, unconfirmed() {} },
    controlled: { worker: 'one', epoch: 1 },
    isGone: () => false,
    changed() {},
  });
  void task.run();
  await offered.promise;
  void task.finish();
  void task.drain();
  await vi.waitFor(() => expect(wanted).toEqual(['finish']));
  task.stop();
  await vi.waitFor(() => expect(wanted).toEqual(['finish', 'stop']));
  task.detach();
});
