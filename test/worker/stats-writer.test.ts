import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { TaskCounters } from '../../src/worker/counters.ts';
import { StatsWriter } from '../../src/worker/reporting.ts';
import { StepRecorder } from '../../src/worker/series.ts';
import { databasesOfSoak, type TestStore } from '../support/databases.ts';
import { until } from '../support/until.ts';

/** Replaces the counters of a task. */
class FakeCounters {
  version = 1;
  lastTurn = 0;
  touches = 0;
  readonly recorder = new StepRecorder();
  #written = 0;
  sample(_seconds: number): void {}
  touch(): void {
    this.touches++;
    this.#written = 0;
  }
  get changed(): boolean {
    return this.version !== this.#written;
  }
  take(): string {
    this.#written = this.version;
    return JSON.stringify({ version: this.version });
  }
}

const owner = 'me/1/n';
/** More than are written together. */
const count = process.env.PENSTOCK_SOAK === '1' ? 450 : 250;

describe.each(databasesOfSoak)('statistics on $provider', ({ open }) => {
  let store: TestStore;
  let writer: StatsWriter | undefined;
  beforeEach(async () => {
    store = await open();
  });
  afterEach(async () => {
    await writer?.stop();
  });

  const seed = async (count: number, worker = 'me/1/n') => {
    const ids = Array.from({ length: count }, (_, nth) => `${worker.slice(0, 2)}_${nth}`);
    const times = { createdAt: 1n, updatedAt: 1n };
    const common = { query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}', graph: '{}' };
    await store.db.pipeline.createMany({ data: ids.map((id) => ({ id, name: id, ...common, ...times })) });
    const job = { stateSince: 1n, state: 'Running' };
    await store.db.job.createMany({ data: ids.map((id) => ({ id, pipelineId: id, ...job, ...times })) });
    const task = { place: '{}', work: '', stateSince: 1n, worker };
    await store.db.task.createMany({ data: ids.map((id) => ({ id, jobId: id, ...task })) });
    return ids;
  };
  const begin = (tasks: Map<string, FakeCounters>) => {
    const identity = { name: 'me', version: '1', labels: {}, exclusive: false, slots: undefined };
    const deps = { db: store.db, owner, identity, logger: pino({ level: 'silent' }) };
    const counted = [...tasks].map(([id, fake]) => {
      const place = { sourceId: 's', sinkId: 'k', index: 0 };
      return { id, jobId: id, ...place, counters: fake as unknown as TaskCounters };
    });
    writer = new StatsWriter(deps, () => counted);
    writer.start();
  };
  const written = async () => {
    const rows = await store.db.taskStats.findMany();
    return new Map(rows.map(({ taskId, stats }) => [taskId, JSON.parse(stats).version as number]));
  };

  test('of more tasks than are written together are all written in turn', async () => {
    const ids = await seed(count);
    const jobs = new Map(ids.map((id) => [id, new FakeCounters()]));
    const counting = setInterval(() => {
      for (const job of jobs.values()) job.version++;
    }, 100);
    begin(jobs);
    await until('every task has its row', async () => (await written()).size === count, 60_000);
    const first = await written();
    await until(
      'every row was written again',
      async () => [...(await written())].every(([id, version]) => version > (first.get(id) ?? 0)),
      60_000,
    );
    clearInterval(counting);
  });

  test('are written only of tasks that this worker still holds', async () => {
    const [mine = ''] = await seed(1);
    const [other = ''] = await seed(1, 'another');
    begin(new Map([mine, other, 'task_gone'].map((id) => [id, new FakeCounters()])));
    await until('ours is written', async () => (await written()).size > 0);
    expect([...(await written()).keys()]).toEqual([mine]);
  });

  test('are sampled late when the process is busy, and never for a moment, whose rates would be far too high', () => {
    let now = 0;
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    const restore = () => {
      vi.useRealTimers();
      clock.mockRestore();
    };
    onTestFinished(restore);
    const sampled: number[] = [];
    const counters = Object.assign(new FakeCounters(), {
      sample: (seconds: number) => sampled.push(seconds),
    });
    begin(new Map([['task_gone', counters]]));
    // One tick is 950 ms late.
    for (now of [1000, 2950, 3000, 4010, 5000]) vi.runOnlyPendingTimers();
    restore();
    expect(sampled).toEqual([1, 1.95, 1.06, 0.99]);
  });

  test('that the database refused are written later, even if nothing has changed', async () => {
    const [id = ''] = await seed(1);
    const counters = new FakeCounters();
    await store.db.$executeRawUnsafe('ALTER TABLE "TaskStats" RENAME TO "Away"');
    begin(new Map([[id, counters]]));
    await until('two refusals', () => counters.touches >= 2);
    await store.db.$executeRawUnsafe('ALTER TABLE "Away" RENAME TO "TaskStats"');
    await until('it is written', async () => (await written()).get(id) === 1);
  });
});
