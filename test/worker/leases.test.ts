import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { PenstockError } from '../../src/errors.ts';
import { backoffMs, delay } from '../../src/runtime/delay.ts';
import type { Db } from '../../src/store/db.ts';
import { isOwnerAlive, Leases, leaseTtlMs, ownerName, renewEveryMs } from '../../src/worker/leases.ts';
import { databases, type TestStore } from '../support/databases.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

/** Leases keep a job from running twice during a database outage, and free a job whose worker is gone. */

const micros = (ms: number): bigint => BigInt(ms) * 1000n;
const pipeline = (state: string, lease: { worker: string; leaseUntil: bigint } | object) => ({
  ...{ id: 'pl_1', name: 'p', query: 'q', parallelism: 1, checkpointIntervalMicros: 1n, tags: '{}' },
  ...{ graph: '{"nodes":[],"edges":[]}', createdAt: 1n, updatedAt: 1n },
  job: { create: { id: 'job_1', createdAt: 1n, updatedAt: 1n, stateSince: 1n, state, ...lease } },
});

describe.each(databases)('leases on $provider', ({ open }) => {
  let store: TestStore;
  beforeEach(async () => {
    store = await open();
    vi.useFakeTimers({ toFake: ['performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const holder = async () => (await store.db.job.findFirstOrThrow()).worker;

  const watcher = async (leaseUntil: bigint): Promise<Leases> => {
    await store.db.pipeline.create({ data: pipeline('Running', { worker: 'other', leaseUntil }) });
    return new Leases({ db: store.db, owner: 'me/1/n', isDead: () => false });
  };
  const longAgo = () => micros(Date.now() - 3_600_000);
  const look = async (leases: Leases) => {
    await leases.claim();
    return holder();
  };
  /** Polls every second, as a worker does. */
  const watch = async (leases: Leases, ms: number) => {
    for (let left = ms; left > 0; left -= 1000) {
      vi.advanceTimersByTime(Math.min(left, 1000));
      await leases.claim();
    }
    return holder();
  };

  test('are taken after they were watched unchanged for their duration, however old they look', async () => {
    const leases = await watcher(longAgo());
    expect(await look(leases)).toBe('other');
    expect(await watch(leases, leaseTtlMs)).toBe('other');
    expect(await watch(leases, 1)).toBe('me/1/n');
  });

  test('are not taken while they are renewed, whatever the clock', async () => {
    const leases = await watcher(longAgo());
    for (let renewals = 1n; renewals < 6n; renewals += 1n) {
      expect(await watch(leases, leaseTtlMs - 1)).toBe('other');
      await store.db.job.updateMany({ data: { leaseUntil: longAgo() + renewals } });
    }
  });

  test('are watched only by polls', async () => {
    const leases = await watcher(longAgo());
    await look(leases);
    await watch(leases, renewEveryMs);
    vi.advanceTimersByTime(leaseTtlMs * 3);
    expect(await look(leases)).toBe('other');
    expect(await watch(leases, renewEveryMs)).toBe('other');
    expect(await watch(leases, 1)).toBe('me/1/n');
  });

  test('of others that expired during an outage are left alone until they could be renewed', async () => {
    const leases = await watcher(longAgo());
    expect(await look(leases)).toBe('other');
    vi.advanceTimersByTime(leaseTtlMs * 3);
    leases.discardObservations();
    expect(await look(leases)).toBe('other');
    expect(await watch(leases, leaseTtlMs)).toBe('other');
    expect(await watch(leases, 1)).toBe('me/1/n');
  });
});

describe('a worker', { timeout: 120_000 }, () => {
  let service: Service | undefined;
  afterEach(() => {
    vi.useRealTimers();
  });

  test('frees a job whose worker died between writing Failed and releasing it', async () => {
    vi.useFakeTimers({ toFake: ['performance'], shouldAdvanceTime: true });
    service = await startService({ worker: true });
    const { db, request } = service;
    const dead = { worker: 'dead', leaseUntil: micros(Date.now() - 1000) };
    await db.pipeline.create({ data: pipeline('Failed', dead) });
    await until('it is free', async () => {
      vi.advanceTimersByTime(1000);
      return (await db.job.findFirstOrThrow()).worker === null;
    });
    expect(await db.job.findFirst()).toMatchObject({ state: 'Failed', runId: 0 });
    await request.delete('/api/v1/pipelines/pl_1').expect(200);
  });

  test('does not connect again while it cannot know whether it still holds its lease', async () => {
    let down = false;
    let asked = 0;
    const refuses = (): boolean => {
      asked += 1;
      return down;
    };
    vi.useFakeTimers({ toFake: ['performance'], shouldAdvanceTime: true });
    const broker = await Mosquitto.start();
    service = await startService({ worker: true, shared: true, workerDb: (db) => failing(db, refuses) });
    const { db, request } = service;
    await createTables(request, broker.url);
    const query = 'INSERT INTO alerts SELECT * FROM readings';
    const { id } = await created(request, '/pipelines', { name: 'p', query, parallelism: 1 });
    await until('it runs', async () => (await jobOf(request, id)).state === 'Running');
    await until('its session is known', async () => (await db.sourceSession.findFirst())?.established);

    down = true;
    const outage = 'database unavailable; running jobs continue';
    await until('the outage', async () => service?.logged().includes(outage));
    vi.advanceTimersByTime(leaseTtlMs + 1);
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

/** The database. While it is down, every call on a table fails as if it did not respond. */
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
  return new Proxy(db, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name);
      return typeof member === 'object' && member !== null ? guarded(member) : member;
    },
  });
}

describe('the owner of a lease', () => {
  const me = { host: 'a', pid: 10, nonce: 'n1' };
  const gone = (): void => {
    throw Object.assign(new Error('no such process'), { code: 'ESRCH' });
  };
  const forbidden = (): void => {
    throw Object.assign(new Error('not permitted'), { code: 'EPERM' });
  };
  const there = (): void => {};

  test.each([
    ['a process that is gone from this host', { host: 'a', pid: 11, nonce: 'x' }, gone, false],
    ['a process that is on this host', { host: 'a', pid: 11, nonce: 'x' }, there, true],
    ["another user's process", { host: 'a', pid: 11, nonce: 'x' }, forbidden, true],
    ['a process of another host, which cannot be known', { host: 'b', pid: 11, nonce: 'x' }, gone, true],
    ['an earlier process with our id', { host: 'a', pid: 10, nonce: 'n0' }, there, false],
    ['ourselves', me, gone, true],
  ])('is judged correctly: %s', (_name, owner, probe, alive) => {
    expect(isOwnerAlive(ownerName(owner), me, probe)).toBe(alive);
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
