import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type HeldTask, mayTake, toGiveAway, type WorkerLoad } from './balance.ts';

interface Member {
  worker: WorkerLoad;
  tasks: HeldTask[];
}

const worker = (id: string, more: Partial<WorkerLoad> = {}): WorkerLoad => ({
  id,
  load: 0,
  tasks: 0,
  slots: Number.POSITIVE_INFINITY,
  leaving: false,
  labels: {},
  exclusive: false,
  ...more,
});

const task = (id: number, weight = 1, placement = '{}'): HeldTask => ({ id: `t${id}`, weight, placement });

/** Workers that take and give in turns. Each sees the others as they were at the end of the round before. */
class Fleet {
  members: Member[];
  waiting: HeldTask[];
  moves = 0;

  constructor(workers: WorkerLoad[], waiting: HeldTask[]) {
    this.members = workers.map((member) => ({ worker: member, tasks: [] }));
    this.waiting = waiting;
  }

  /** Rounds of taking take 1 s, and every fifth begins by giving away. */
  rounds(count: number, balancing = true): this {
    for (let round = 0; round < count; round++) {
      const seen = this.members.map((member) => ({ ...member.worker, ...loadOf(member) }));
      for (const member of this.members) {
        if (balancing && round % 5 === 0) this.#give(member, seen);
        this.#take(member, seen);
      }
    }
    return this;
  }

  #give(member: Member, seen: WorkerLoad[]): void {
    const given = toGiveAway(own(member), seen, member.tasks);
    this.waiting.push(...member.tasks.filter(({ id }) => given.includes(id)));
    member.tasks = member.tasks.filter(({ id }) => !given.includes(id));
    this.moves += given.length;
  }

  #take(member: Member, seen: WorkerLoad[]): void {
    const { id } = member.worker;
    for (const [placement, same] of Map.groupBy(this.waiting, (one) => one.placement)) {
      const now = own(member);
      const all = seen.map((other) => (other.id === id ? now : other));
      const taken = same.slice(0, mayTake({ own: now, all, alone: false }, placement, same.length));
      member.tasks.push(...taken);
      this.waiting = this.waiting.filter((one) => !taken.includes(one));
    }
  }

  get loads(): number[] {
    return this.members.filter(({ worker: { leaving } }) => !leaving).map((member) => loadOf(member).load);
  }

  get spread(): number {
    return Math.max(...this.loads) - Math.min(...this.loads);
  }
}

const loadOf = ({ tasks }: Member) => ({
  load: tasks.reduce((sum, { weight }) => sum + weight, 0),
  tasks: tasks.length,
});
const own = (member: Member): WorkerLoad => ({ ...member.worker, ...loadOf(member) });
const names = (count: number) => Array.from({ length: count }, (_, nth) => worker(`w${nth}`));
const many = (count: number, weight = (_nth: number) => 1) =>
  Array.from({ length: count }, (_, nth) => task(nth, weight(nth)));

describe('balance', () => {
  test('a worker takes a few at once, and many if it is alone', () => {
    const [own] = names(1) as [WorkerLoad];
    const taken = (alone: boolean) => mayTake({ own, all: [own], alone }, '{}', 1000);
    expect([taken(false), taken(true)]).toEqual([50, 100]);
  });

  test('after a start of all workers each has its share, and nothing moves', () => {
    const fleet = new Fleet(names(4), many(1000)).rounds(30);
    expect(fleet.waiting).toEqual([]);
    expect(fleet.spread).toBeLessThanOrEqual(25);
    const { moves } = fleet.rounds(60);
    expect(fleet.rounds(60).moves).toBe(moves);
  });

  test('a worker that joins gets its share in a minute, and the others keep most of theirs', () => {
    const fleet = new Fleet(names(3), many(68)).rounds(20);
    fleet.members.push({ worker: worker('new'), tasks: [] });
    fleet.rounds(30);
    expect(fleet.members.at(-1)?.tasks.length).toBeGreaterThan(8);
    fleet.rounds(30);
    expect(fleet.spread / (68 / 4)).toBeLessThanOrEqual(0.2);
    expect(fleet.moves).toBeLessThan(30);
    const { moves } = fleet;
    expect(fleet.rounds(60).moves).toBe(moves);
  });

  test('the tasks of a dead worker are shared by the others', () => {
    const fleet = new Fleet(names(4), many(68)).rounds(20);
    const [dead] = fleet.members.splice(0, 1);
    fleet.waiting.push(...(dead?.tasks ?? []));
    fleet.rounds(20);
    expect(fleet.waiting).toEqual([]);
    expect(fleet.spread).toBeLessThanOrEqual(4);
  });

  test('a worker that leaves gives everything away, if others may have it', () => {
    const fleet = new Fleet(names(3), many(30)).rounds(10);
    const [leaving] = fleet.members as [Member];
    leaving.worker.leaving = true;
    fleet.rounds(10);
    expect(leaving.tasks).toEqual([]);
    const alone = new Fleet(names(1), many(3)).rounds(5);
    const [only] = alone.members as [Member];
    only.worker.leaving = true;
    alone.rounds(10);
    expect(only.tasks.length).toBe(3);
  });

  test('slots and labels are kept, and a task waits for a worker that it may have', () => {
    const north = { labels: { site: 'north' }, exclusive: true };
    const workers = [worker('central', { slots: 2 }), worker('other'), worker('edge', north)];
    const placed = Array.from({ length: 5 }, (_, nth) => task(100 + nth, 1, '{"site":"north"}'));
    const nowhere = task(200, 1, '{"site":"south"}');
    const fleet = new Fleet(workers, [...many(10), ...placed, nowhere]).rounds(40);
    const [central, other, edge] = fleet.members as [Member, Member, Member];
    expect(central.tasks.length).toBe(2);
    expect(other.tasks.length).toBe(8);
    expect(edge.tasks).toEqual(expect.arrayContaining(placed));
    expect(edge.tasks.length).toBe(5);
    expect(fleet.waiting).toEqual([nowhere]);
  });

  test('whatever the weights, everything is taken and the moves come to an end', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 80 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), weights, (workers, all) => {
        const waiting = all.map((weight, nth) => task(nth, weight));
        const fleet = new Fleet(names(workers), waiting).rounds(120);
        expect(fleet.waiting).toEqual([]);
        const { moves } = fleet;
        expect(fleet.rounds(100).moves).toBe(moves);
        const average = all.reduce((sum, weight) => sum + weight, 0) / workers;
        expect(fleet.spread).toBeLessThanOrEqual(Math.max(1.5, 0.1 * average) + Math.max(...all));
      }),
      process.env.PENSTOCK_SOAK === '1' ? { numRuns: 5_000 } : { seed: 3, numRuns: 60 },
    );
  });
});
