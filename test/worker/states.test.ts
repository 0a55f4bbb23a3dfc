import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StoredCatalog } from '../../src/definitions/catalog.ts';
import { checkKey, countUnreadable, rotateSecrets } from '../../src/definitions/rotate.ts';
import { PenstockError } from '../../src/errors.ts';
import type { StoredCheckpoint } from '../../src/jobs/stats.ts';
import type { StateStore } from '../../src/runtime/operations.ts';
import type { TaskSpec } from '../../src/runtime/task-spec.ts';
import { certificatesIn } from '../../src/security/certificate-files.ts';
import { SecretBox } from '../../src/security/secret-box.ts';
import { TargetRules } from '../../src/security/targets.ts';
import type { StatefulSelect } from '../../src/sql/plan.ts';
import type { Db, Tx } from '../../src/store/db.ts';
import { statesOf } from '../../src/worker/states.ts';
import { databases, type TestStore } from '../support/databases.ts';

const key = () => randomBytes(32).toString('base64');

const select: StatefulSelect = {
  kind: 'stateful',
  window: { kind: 'tumble', width: 60_000_000 },
  leaves: [],
  clocks: [],
  sql: '',
  key: undefined,
  limits: { maxStateBytes: 1, whenFull: 'wait', ttl: 0 },
};

const wider: StatefulSelect = { ...select, window: { kind: 'tumble', width: 120_000_000 } };

describe.each(databases)('the state of a task on $provider', ({ open }) => {
  let store: TestStore;
  let db: Db;
  /** The task's epoch in the database. */
  const worker = 'w';

  beforeEach(async () => {
    store = await open();
    db = store.db;
    const times = { createdAt: 1n, updatedAt: 1n };
    const pipeline = { query: '', parallelism: 1, checkpointIntervalMicros: 1n, tags: '[]', graph: '{}' };
    await db.pipeline.create({ data: { id: 'p', name: 'p', ...pipeline, ...times } });
    await db.job.create({ data: { id: 'j', pipelineId: 'p', stateSince: 1n, ...times } });
    const task = { place: '{}', work: '', stateSince: 1n };
    await db.task.create({ data: { id: 't', jobId: 'j', worker, epoch: 1, ...task } });
  });
  afterEach(() => store.close());

  const catalogWith = (...keys: string[]) =>
    new StoredCatalog(db, new SecretBox(keys), () => '', new TargetRules([]), certificatesIn(undefined));

  const own = (epoch: number) => async (tx: Tx) => {
    const { count } = await tx.task.updateMany({ where: { id: 't', worker, epoch }, data: { epoch } });
    if (count === 0) throw new PenstockError('task_taken', 'Another worker has taken over the task');
  };

  function statesIn(
    epoch = 1,
    { query = select, keys = [key()], sealState = false, operator = 'op' } = {},
  ): StateStore {
    const insert = { select: query, operatorIds: { source: 's', transform: operator, sink: 'k' } };
    const spec = { jobId: 'j', taskIndex: 0, insert } as unknown as TaskSpec;
    return statesOf(spec, { db, catalog: catalogWith(...keys), sealState, own: own(epoch) });
  }

  let epoch = 0;
  const checkpoint = (startTime = Date.now() * 1000) => ({
    ...{ epoch: ++epoch, startTime, bytes: 1, stateBytes: 2, kind: 'delta' as const },
  });
  const lasts = new WeakMap<StateStore, number>();
  const commit = (
    states: StateStore,
    control: string,
    add: Record<number, Uint8Array> = {},
    remove: number[] = [],
  ) => {
    const lastSegment = Math.max(lasts.get(states) ?? 0, ...Object.keys(add).map(Number));
    lasts.set(states, lastSegment);
    return states.commit({
      ...{ control, remove, lastSegment, checkpoint: checkpoint() },
      add: Object.entries(add).map(([segment, data]) => ({ segment: Number(segment), data })),
    });
  };
  const segments = async () =>
    (await db.statePart.groupBy({ by: ['segment'], orderBy: { segment: 'asc' } })).map(
      ({ segment }) => segment,
    );

  test('counts staged segments once a commit names them, and leaves the others to be removed', async () => {
    const states = statesIn();
    await states.load();
    await commit(states, '{"staging":[1,2]}');
    await states.stage([
      { segment: 1, data: randomBytes(100) },
      { segment: 2, data: randomBytes(100) },
    ]);
    // None has counted yet.
    await db.task.updateMany({ data: { epoch: 2 } });
    const next = statesIn(2);
    await next.load();
    expect(await segments()).toEqual([]);
    const data = randomBytes(100);
    await next.stage([
      { segment: 3, data },
      { segment: 4, data },
    ]);
    await next.commit({ control: '{}', add: [], remove: [4], lastSegment: 4, checkpoint: checkpoint() });
    await next.load();
    expect(await segments()).toEqual([3]);
    expect(Buffer.compare(await next.read(3), data)).toBe(0);
  });

  test('is there for the next worker, small or large, and ends with its job', async () => {
    const states = statesIn();
    expect(await states.load()).toBeUndefined();
    const large = randomBytes(40 * 1024 * 1024 + 17);
    const small = randomBytes(1000);
    await commit(states, '{"n":1}', { 0: small, 1: new Uint8Array() });
    await commit(states, '{"n":"größer"}', { 2: large }, [1]);
    await db.task.updateMany({ data: { epoch: 2 } });

    const next = statesIn(2);
    expect(await next.load()).toBe('{"n":"größer"}');
    expect(Buffer.compare(await next.read(0), small)).toBe(0);
    expect(Buffer.compare(await next.read(2), large)).toBe(0);
    expect(await segments()).toEqual([0, 2]);
    await expect(next.read(1)).rejects.toThrow('missing');
    expect((await statesIn(2, { operator: 'other' }).load()) ?? 'none').toBe('none');

    await db.pipeline.delete({ where: { id: 'p' } });
    expect([await db.taskState.count(), await db.statePart.count()]).toEqual([0, 0]);
  });

  test('takes no commit of a worker that has lost the task, and keeps nothing of it', async () => {
    const states = statesIn();
    await states.load();
    await commit(states, 'first', { 0: randomBytes(10) });
    await db.task.updateMany({ data: { epoch: 2 } });
    await expect(commit(states, 'late', { 1: randomBytes(10) }, [0])).rejects.toMatchObject({
      code: 'task_taken',
    });
    await expect(commit(states, 'late', { 1: randomBytes(600_000) }, [0])).rejects.toMatchObject({
      code: 'task_taken',
    });
    await expect(states.load()).rejects.toMatchObject({ code: 'task_taken' });
    expect(await statesIn(2).load()).toBe('first');
    expect(await segments()).toEqual([0]);
  });

  test('is that of the last commit after a crash within one', async () => {
    const states = statesIn();
    await states.load();
    await commit(states, 'first', { 0: randomBytes(10) });
    // The worker loses the task between the parts of a large commit.
    let parts = 0;
    const interrupted = statesOf(
      { jobId: 'j', insert: { select, operatorIds: { transform: 'op' } } } as unknown as TaskSpec,
      {
        ...{ db, catalog: catalogWith(key()), sealState: false },
        own: async () => {
          if (++parts > 3) throw new PenstockError('database_unavailable', 'gone');
        },
      },
    );
    await interrupted.load();
    await expect(commit(interrupted, 'second', { 1: randomBytes(5 * 1024 * 1024) }, [0])).rejects.toThrow(
      'gone',
    );
    expect(await segments()).toEqual([0, 1]);

    const next = statesIn();
    expect(await next.load()).toBe('first');
    expect(await segments()).toEqual([0]);
    const again = randomBytes(2 * 1024 * 1024);
    await commit(next, 'third', { 1: again });
    expect(Buffer.compare(await next.read(1), again)).toBe(0);
  });

  test('removes many segments at once', async () => {
    const states = statesIn();
    await states.load();
    const many = Array.from({ length: 1500 }, (_, n) => n);
    const [id, rest] = [
      { jobId: 'j', operatorId: 'op' },
      { part: 0, parts: 1, data: randomBytes(8) },
    ];
    await db.statePart.createMany({ data: many.map((segment) => ({ ...id, ...rest, segment })) });
    await commit(states, 'all', { 1500: randomBytes(8) }, many);
    expect(await segments()).toEqual([1500]);
  });

  test('has the latest checkpoints, one for each second', async () => {
    const states = statesIn();
    await states.load();
    const times = [
      0,
      10,
      900,
      1100,
      1200,
      1950,
      2300,
      ...Array.from({ length: 30 }, (_, n) => 4000 + n * 1500),
    ];
    for (const ms of times)
      await states.commit({
        control: '',
        add: [],
        remove: [],
        lastSegment: 0,
        checkpoint: checkpoint(ms * 1000),
      });
    const stored = async () =>
      JSON.parse((await db.taskState.findFirstOrThrow()).checkpoints) as StoredCheckpoint[];
    const shown = await stored();
    expect(shown).toHaveLength(20);
    expect(shown.at(-1)?.startTime).toBe(47_500_000);
    const again = statesIn();
    await again.load();
    await again.commit({
      control: '',
      add: [],
      remove: [],
      lastSegment: 0,
      checkpoint: checkpoint(60_000_000),
    });
    expect((await stored()).map(({ epoch: at }) => at)).toEqual([
      ...shown.slice(1).map(({ epoch: at }) => at),
      epoch,
    ]);
  });

  test('is not lost to a query of another shape, unless that was allowed', async () => {
    const states = statesIn();
    await states.load();
    await commit(states, 'kept', { 0: randomBytes(10), 1: randomBytes(10) });
    await expect(statesIn(1, { query: wider }).load()).rejects.toMatchObject({ code: 'state_would_be_lost' });
    // What the windows give out is no part of the shape.
    expect(await statesIn(1, { query: { ...select, sql: 'SELECT 1' } }).load()).toBe('kept');

    const { shape } = await db.taskState.findFirstOrThrow();
    const other = statesIn(1, { query: wider, operator: 'other' });
    await other.load();
    await commit(other, '');
    const { shape: next } = await db.taskState.findFirstOrThrow({ where: { operatorId: 'other' } });
    await db.taskState.updateMany({ where: { operatorId: 'op' }, data: { discardFor: next } });
    const changed = statesIn(1, { query: wider });
    expect(await changed.load()).toBeUndefined();
    expect(await statesIn().load()).toBe('kept');
    await commit(changed, 'fresh', { 0: randomBytes(600_000) });
    expect(await segments()).toEqual([0]);
    expect(await statesIn(1, { query: wider }).load()).toBe('fresh');
    expect(await db.taskState.findFirst({ where: { operatorId: 'op' } })).toMatchObject({ discardFor: null });
    await expect(statesIn().load()).rejects.toMatchObject({ code: 'state_would_be_lost' });
    expect(shape).not.toBe(next);
  });

  test('is sealed if that is set, and readable after the setting or the key changes', async () => {
    const [first, second] = [key(), key()];
    await db.task.updateMany({ data: { work: new SecretBox([first]).seal('{}', 'task/t') } });
    const data = randomBytes(2_000_000);
    const clear = statesIn(1, { keys: [first] });
    await clear.load();
    await commit(clear, 'clear', { 0: Buffer.from('clear') });
    const sealed = statesIn(1, { keys: [first], sealState: true });
    expect(await sealed.load()).toBe('clear');
    await commit(sealed, 'a secret', { 1: data });
    const row = await db.taskState.findFirstOrThrow();
    expect(Buffer.from(row.control).includes('secret')).toBe(false);
    const part = await db.statePart.findFirstOrThrow({ where: { segment: 1, part: 0 } });
    expect(Buffer.from(part.data).includes(data.subarray(0, 64))).toBe(false);

    await expect(statesIn(1, { keys: [second] }).load()).rejects.toMatchObject({ code: 'secret_unreadable' });
    await expect(checkKey(db, new SecretBox([second]))).rejects.toMatchObject({ code: 'secret_unreadable' });
    const both = new SecretBox([second, first]);
    expect(await countUnreadable(db, both)).toBe(0);
    // The task, the control, and two parts.
    expect(await rotateSecrets(db, both)).toBe(4);
    expect(await rotateSecrets(db, both)).toBe(0);
    const after = statesIn(1, { keys: [second] });
    expect(await after.load()).toBe('a secret');
    expect(Buffer.compare(await after.read(1), data)).toBe(0);
    expect(Buffer.from(await after.read(0)).toString()).toBe('clear');
    await commit(after, 'clear again');
    expect(Buffer.from((await db.taskState.findFirstOrThrow()).control).toString()).toBe('clear again');
  });

  test('commits of several tasks at once are all kept, and one that fails harms no other', async () => {
    const all = Array.from({ length: 8 }, (_, n) => statesIn(1, { operator: `op${n}` }));
    await Promise.all(all.map((states) => states.load()));
    const lost = statesIn(7, { operator: 'lost' });
    const results = await Promise.allSettled(
      [...all, lost].map((states, n) => commit(states, `control ${n}`, { [n]: randomBytes(n) })),
    );
    expect(results.map(({ status }) => status)).toEqual([...all.map(() => 'fulfilled'), 'rejected']);
    expect(await segments()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(await db.taskState.count()).toBe(8);
  });
});
