import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PenstockError } from '../../src/errors.ts';
import { backoffMs, delay } from '../../src/runtime/delay.ts';
import type { Db } from '../../src/store/db.ts';
import { BossPlacement } from '../../src/worker/boss.ts';
import {
  isOwnerAlive,
  LocalPlacement,
  ownerName,
  type Placement,
  startOf,
} from '../../src/worker/placement.ts';
import { databases, type TestStore } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { created, createPipeline, createTables, jobOf } from '../support/resources.ts';
import { refusingLogins, ScriptedBroker } from '../support/scripted-broker.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Placement keeps a task from running twice, and frees what a worker had that is gone. */

const logger = pino({ level: 'silent' });

const pipeline = (state: string, more: object = {}, id = '1') => ({
  ...{ id: `pl_${id}`, name: id, query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}' },
  ...{ graph: '{"nodes":[],"edges":[]}', createdAt: 1n, updatedAt: 1n },
  job: { create: { id: `job_${id}`, createdAt: 1n, updatedAt: 1n, stateSince: 1n, state, ...more } },
});

const anywhere = '{}';
const unheld = (id: string, worker: string | null = null) => ({ id, worker, placement: '{}' });
const ids = ['job_1', 'job_2', 'job_3'];
const jobs = ids.map((id) => unheld(id));
const item = (id: string, placement = '{}') => ({ id, placement });

describe.each(databases)('placement on $provider', ({ provider, open }) => {
  let store: TestStore;
  const opened: Placement[] = [];
  beforeEach(async () => {
    store = await open();
    for (const id of ['1', '2', '3']) await store.db.pipeline.create({ data: pipeline('Running', {}, id) });
  });
  afterEach(async () => {
    for (const placement of opened.splice(0)) await placement.stop();
  });

  const join = async (owner: string): Promise<Placement> => {
    const { db, url } = store;
    const placement =
      provider === 'sqlite'
        ? new LocalPlacement({ db, owner })
        : new BossPlacement({ db, owner, url, logger });
    await placement.start();
    await placement.renew(true);
    opened.push(placement);
    return placement;
  };
  const holders = async () => {
    const rows = await store.db.job.findMany({ orderBy: { id: 'asc' } });
    return rows.map(({ worker, epoch }) => `${worker} ${epoch}`);
  };

  test('resets the state of a task whose worker has died, unless it has ended', async () => {
    const two = await join('two');
    const row = { jobId: 'job_1', worker: 'gone', revision: 1, place: '{}', work: '{}', placement: anywhere };
    for (const state of ['running', 'recovering', 'failed'])
      await store.db.task.create({ data: { id: state, ...row, wanted: 'run', state, stateSince: 1n } });
    const tasks = ['failed', 'recovering', 'running'];
    await two.offer(
      'task',
      tasks.map((id) => item(id)),
    );
    const taken = await two.take(
      'task',
      anywhere,
      3,
      tasks.map((id) => unheld(id, 'gone')),
    );
    expect(taken.length).toBe(3);
    const rows = await store.db.task.findMany({ orderBy: { id: 'asc' } });
    expect(rows.map(({ id, state }) => `${id}: ${state}`)).toEqual([
      'failed: failed',
      'recovering: starting',
      'running: starting',
    ]);
  });

  test('gives each item to one worker, and counts how often it was given', async () => {
    const [one, two] = await Promise.all([join('one'), join('two')]);
    const items = ids.map((id) => item(id));
    await Promise.all([one.offer('job', items), two.offer('job', items)]);
    const taken = await Promise.all([one.take('job', anywhere, 2, jobs), two.take('job', anywhere, 3, jobs)]);
    expect(taken.flat().length).toBe(3);
    expect(new Set(taken.flat().map(({ id }) => id)).size).toBe(3);
    expect(taken.flat().every(({ epoch }) => epoch === 1)).toBe(true);
    expect(await one.take('job', anywhere, 10, jobs)).toEqual([]);
    expect(await one.renew(true)).toEqual({ job: [], task: [] });
    const ofOne = provider === 'sqlite' ? ids : taken[0].map(({ id }) => id);
    expect(ids.filter((id) => one.holds('job', id)).sort()).toEqual(ofOne.toSorted());

    const first = taken[0].length > 0 ? { by: one, of: taken[0] } : { by: two, of: taken[1] };
    const [{ id } = { id: '' }] = first.of;
    await first.by.release('job', [id]);
    await two.offer('job', [item(id)]);
    expect(await two.take('job', anywhere, 1, [unheld(id)])).toEqual([{ id, epoch: 2 }]);
    await two.finish('job', [id]);
    await one.offer('job', [item(id)]);
    expect(await one.take('job', anywhere, 1, [unheld(id)])).toEqual([{ id, epoch: 3 }]);
    expect(await holders()).toContain('one 3');
  });

  test('gives an item only to those who ask for its placement, and none that is gone', async () => {
    const one = await join('one');
    await one.offer('job', [item('job_1', '{"site":"north"}'), item('job_gone'), item('job_2')]);
    expect(
      await one.take(
        'job',
        anywhere,
        9,
        ['job_gone', 'job_2'].map((id) => unheld(id)),
      ),
    ).toEqual([{ id: 'job_2', epoch: 1 }]);
    expect(await one.take('job', '{"site":"south"}', 9, [])).toEqual([]);
    const north = '{"site":"north"}';
    // Its pipeline has another placement by now.
    if (provider === 'postgresql') expect(await one.take('job', north, 9, [])).toEqual([]);
    await store.db.pipeline.updateMany({ where: { name: '1' }, data: { placement: north } });
    await one.offer('job', [item('job_1', north)]);
    expect(await one.take('job', north, 9, [unheld('job_1')])).toEqual([{ id: 'job_1', epoch: 1 }]);
  });

  test.runIf(provider === 'sqlite')('takes what a process had that has ended', async () => {
    const dead = await join('dead');
    await dead.offer('job', [item('job_1')]);
    await dead.take('job', anywhere, 1, [unheld('job_1')]);
    const one = await join('one');
    await one.offer('job', [item('job_1')]);
    expect(await one.take('job', anywhere, 1, [unheld('job_1', 'dead')])).toEqual([
      { id: 'job_1', epoch: 2 },
    ]);
  });

  test.runIf(provider === 'postgresql')(
    'frees what a worker had that sends no heartbeat, and tells it when it does again',
    async () => {
      const [frozen, one] = await Promise.all([join('frozen'), join('one')]);
      await frozen.offer('job', [item('job_1'), item('job_2')]);
      expect(await frozen.take('job', anywhere, 2, jobs)).toHaveLength(2);
      await frozen.finish('job', ['job_2']);
      let taken: unknown[] = [];
      await until(
        'the other takes it',
        async () => {
          expect(await one.renew(true)).toEqual({ job: [], task: [] });
          taken = await one.take('job', anywhere, 2, jobs);
          return taken.length > 0;
        },
        60_000,
      );
      expect(taken).toEqual([{ id: 'job_1', epoch: 2 }]);
      expect(frozen.holds('job', 'job_1')).toBe(false);
      expect(await frozen.renew(true)).toEqual({ job: ['job_1'], task: [] });
      // It may connect for what it still has, and not for what it lost.
      expect(frozen.holds('job', 'job_1')).toBe(false);
      expect(await frozen.renew(true)).toEqual({ job: [], task: [] });
      await frozen.release('job', ['job_1']);
      expect(await one.renew(true)).toEqual({ job: [], task: [] });
      expect((await holders())[0]).toBe('one 2');
    },
    300_000,
  );
});

describe('a worker', () => {
  let service: Service | undefined;
  afterEach(() => {
    vi.useRealTimers();
  });

  test('frees a job whose worker died between writing Failed and releasing it', async () => {
    service = await startService({ worker: true, isAlive: (owner) => owner !== 'dead' });
    const { db, request } = service;
    await db.pipeline.create({ data: pipeline('Failed', { worker: 'dead' }) });
    await until('it is free', async () => (await db.job.findFirstOrThrow()).worker === null);
    expect(await db.job.findFirst()).toMatchObject({ state: 'Failed', runId: 0 });
    await request.delete('/api/v1/pipelines/pl_1').expect(200);
  });

  test('ends a task of a worker that is gone when nobody may take it', async () => {
    service = await startService({
      worker: true,
      isAlive: (owner) => owner !== 'dead',
      identity: { slots: 0 },
    });
    const { db } = service;
    await db.pipeline.create({ data: pipeline('Running', { worker: 'dead', stop: 'graceful' }) });
    const row = {
      placement: '{}',
      place: '{}',
      work: '{}',
      stateSince: 1n,
      state: 'running',
      worker: 'dead',
    };
    await db.task.create({ data: { id: 'tsk_1', jobId: 'job_1', ...row } });
    await until('it stops', async () => (await db.job.findFirstOrThrow()).state === 'Stopped');
    expect(await db.task.findFirst()).toMatchObject({ state: 'ended', worker: null, epoch: 1 });
  });

  test('begins again what it took when the database failed meanwhile', async () => {
    const broker = await Mosquitto.start();
    const store = await databases[1].open();
    let failures = 0;
    service = await startService({
      worker: true,
      open: async () => store,
      placement: ({ db, logger }, owner) => {
        const boss = new BossPlacement({ db, owner, url: store.url, logger });
        const take: Placement['take'] = async (kind, placement, max) => {
          const taken = await boss.take(kind, placement, max);
          if (taken.length === 0 || kind !== 'task' || failures++ > 0) return taken;
          throw new PenstockError('database_unavailable', 'The database does not respond');
        };
        return new Proxy(boss, {
          get: (target, name) => {
            const member: unknown = name === 'take' ? take : Reflect.get(target, name);
            return typeof member === 'function' ? member.bind(target) : member;
          },
        });
      },
    });
    const { request } = service;
    await createTables(request, broker.url);
    const id = await createPipeline(request, 'INSERT INTO alerts SELECT * FROM readings');
    await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
    expect(failures).toBeGreaterThan(1);
  });

  test('does not connect again while it cannot know whether another worker has its tasks', async () => {
    let down = false;
    let asked = 0;
    const refuses = (): boolean => {
      asked += 1;
      return down;
    };
    vi.useFakeTimers({ toFake: ['performance'], shouldAdvanceTime: true });
    const broker = await Mosquitto.start();
    const { open } = databases[1];
    const store = await open();
    service = await startService({
      worker: true,
      open: async () => store,
      workerDb: (db) => failing(db, refuses),
      placement: ({ db, logger }, owner) => {
        const boss = new BossPlacement({ db, owner, url: store.url, logger });
        return unlessDown(boss, () => down);
      },
    });
    const { db, request } = service;
    await createTables(request, broker.url);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
    await until('its session is known', async () => (await db.sourceSession.findFirst())?.established);

    down = true;
    const outage = 'database unavailable; running jobs continue';
    await until('the outage', async () => service?.logged().includes(outage));
    vi.advanceTimersByTime(10_000);
    await broker.kill('SIGTERM');
    await broker.resume();
    const connected = () => broker.log.split('as penstock_job_').length - 1;
    const before = connected();
    await until('the loss', async () => service?.logged().includes('connection_lost'));
    // It polls about once a second, which is longer than any first back-off.
    const noticed = asked;
    await until('it has asked again and again', async () => asked >= noticed + 6);
    expect(connected()).toBe(before);

    down = false;
    await until('it is back', async () => connected() > before);
    await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
  });

  test('keeps trying what another worker has run before it, if that is refused', async () => {
    let isLocked = false;
    const broker = await ScriptedBroker.start(refusingLogins(() => isLocked));
    const store = await databases[0].open();
    const options = { worker: true, secretKey: randomBytes(32).toString('base64') };
    const stays = { ...store, close: async () => {} };
    const first = await startService({ ...options, open: async () => stays });
    await createTables(first.request, broker.url);
    const id = await createPipeline(first.request, 'INSERT INTO alerts SELECT * FROM readings');
    await until('it runs', async () => (await jobOf(first.request, id)).state === 'Running');
    await first.close();
    isLocked = true;
    service = await startService({ ...options, open: async () => store });
    const { request } = service;
    const refused = async () => {
      const { state, failure_reason } = await jobOf(request, id);
      return failure_reason?.code === 'mqtt_not_authorized' && state;
    };
    expect(await until('it is refused', refused)).toBe('Recovering');
    isLocked = false;
    await until('it runs again', async () => (await jobOf(request, id)).state === 'Running');
  });

  test('does not wait for messages in flight when a restart is forced', async () => {
    const broker = await Mosquitto.start();
    service = await startService({ worker: true });
    const { request } = service;
    await createTables(request, broker.url);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    /** How the source's connections have ended, from the log of the broker. */
    const endings = () =>
      broker.log
        .split('\n')
        .map((line) => /Client penstock_\w+_source_\w+ (disconnected|closed its connection)/.exec(line)?.[1])
        .filter((ending) => ending !== undefined);
    const run = (count: number) =>
      until(`run ${count}`, async () => {
        const job = await jobOf(request, id);
        return job.state === 'Running' && job.run_id === count;
      });
    await run(1);
    await request.post(`/api/v1/pipelines/${id}/restart`).send({}).expect(200);
    await run(2);
    await request.post(`/api/v1/pipelines/${id}/restart`).send({ force: true }).expect(200);
    await run(3);
    await request.post(`/api/v1/pipelines/${id}/restart`).send({ force: false }).expect(200);
    await run(4);
    expect(endings()).toEqual(['disconnected', 'closed its connection', 'disconnected']);
  });
});

/** The database. While it is down, every call on a table, and every statement, fails as if it did not respond. */
function failing(db: Db, down: () => boolean): Db {
  const refuse = (): never => {
    throw new PenstockError('database_unavailable', 'The database does not respond');
  };
  const guarded = (model: object): object =>
    new Proxy(model, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name);
        if (typeof member !== 'function') return member;
        return async (...args: unknown[]) => (down() ? refuse() : member.apply(target, args));
      },
    });
  const statements = ['$executeRaw', '$queryRaw'];
  return new Proxy(db, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member === 'function' && statements.includes(String(name)))
        return async (...args: unknown[]) => (down() ? refuse() : member.apply(target, args));
      // The client's own parts begin with an underscore.
      const isModel = typeof member === 'object' && member !== null && /^[a-z]/.test(String(name));
      return isModel ? guarded(member) : member;
    },
  });
}

/** A placement. While the database is down, every call fails as if that did not respond. */
function unlessDown(placement: Placement, down: () => boolean): Placement {
  return new Proxy(placement, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      if (typeof member !== 'function') return member;
      if (name === 'has' || name === 'holds' || name === 'held') return member.bind(target);
      return async (...args: unknown[]) => {
        if (down()) throw new PenstockError('database_unavailable', 'The database does not respond');
        return member.apply(target, args);
      };
    },
  });
}

describe('the name of a process', () => {
  const me = { host: 'a', pid: 10, nonce: 'n1', start: '100' };
  const other = { host: 'a', pid: 11, nonce: 'x', start: '200' };

  test.each([
    ['a process that is gone from this host', other, undefined, false],
    ['a process that is on this host', other, '200', true],
    ['a process whose start nobody knows', other, '', true],
    ['a process of a version that did not tell its start', { ...other, start: '' }, '300', true],
    ['a process whose id another has now', other, '300', false],
    ['a process of another host, which cannot be known', { ...other, host: 'b' }, undefined, undefined],
    ['an earlier process with our id', { ...me, nonce: 'n0' }, '100', false],
    ['ourselves', me, '100', true],
  ])('is judged correctly: %s', (_name, owner, started, alive) => {
    expect(isOwnerAlive(ownerName(owner), me, () => started)).toBe(alive);
  });

  test('has the start of a real process', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const [pid, gone] = [child.pid as number, once(child, 'exit')];
    const started = (id: number) => startOf(id, () => process.kill(id, 0));
    const owner = { host: 'a', pid, nonce: 'x', start: started(pid) ?? '' };
    expect(isOwnerAlive(ownerName(owner), me, started)).toBe(true);
    // On Linux it is known that another process has the id now.
    const earlier = ownerName({ ...owner, start: String(Number(owner.start) - 1) });
    if (process.platform === 'linux') expect(isOwnerAlive(earlier, me, started)).toBe(false);
    child.kill('SIGKILL');
    await gone;
    expect(isOwnerAlive(ownerName(owner), me, started)).toBe(false);
  });
});

describe('back-off', () => {
  test('doubles up to its cap, with full jitter', () => {
    expect([0, 1, 2, 10, 1000].map((attempt) => backoffMs(attempt, () => 0.999_999))).toEqual([
      499, 999, 1999, 29_999, 29_999,
    ]);
    expect(backoffMs(5, () => 0)).toBe(0);
  });

  test('ends at once when it is cancelled', async () => {
    const cancel = new AbortController();
    const waiting = delay(60_000, cancel.signal);
    cancel.abort(new Error('stop'));
    await expect(waiting).rejects.toThrow('stop');
    await expect(delay(60_000, cancel.signal)).rejects.toThrow('stop');
  });
});
