import { randomInt } from 'node:crypto';
import { expect, test } from 'vitest';
import { BrokerClients } from '../support/broker-clients.ts';
import { databases, execute } from '../support/databases.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { clockAt, Penstock } from '../support/penstock.ts';
import { PostgresProcess } from '../support/postgres-process.ts';
import { created, profileBody, tableBody } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { Topics } from '../support/topics.ts';
import { until } from '../support/until.ts';

/**
 * Four workers with wrong clocks run many pipelines, and random faults hit them. PENSTOCK_SEED repeats the faults of a run,
 * PENSTOCK_FAULTS names their kinds in order, and PENSTOCK_PIPELINES is the number of pipelines of the soak.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const size = soak
  ? { pipelines: Number(process.env.PENSTOCK_PIPELINES ?? 60), parallelism: 8, faults: 10, freezeMs: 40_000 }
  : { pipelines: 6, parallelism: 4, faults: 1, freezeMs: 0 };
const [, postgresql] = databases;

/** A reproducible source of random numbers below `max`. */
function randomFrom(seed: number): (max: number) => number {
  let state = seed >>> 0;
  return (max) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * max);
  };
}
const seed = Number(process.env.PENSTOCK_SEED ?? (soak ? randomInt(2 ** 31) : 5115));
const random = randomFrom(seed);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (text: string): void => console.log(`fleet: ${text}`);

interface Member {
  name: string;
  penstock: Penstock;
  link: FaultyLink;
}

interface TaskRow {
  id: string;
  worker: string | null;
  name: string | null;
  state: string;
  connections: number;
  job: string;
}

interface FaultKind {
  /** Whether the tasks of the worker begin elsewhere while it lives. */
  replaces?: boolean;
  /** Whether they begin elsewhere because it was heard no more. */
  silent?: boolean;
  begin(member: Member): unknown;
  /** How long it lasts at least. One that replaces lasts until all tasks of the worker run elsewhere. */
  ms?: number;
  end?(member: Member): unknown;
}

class Fleet {
  readonly clients = new BrokerClients();
  readonly members: Member[] = [];
  readonly pipelines: string[] = [];
  readonly moves: number[] = [];
  broker!: Mosquitto;
  server: PostgresProcess | undefined;
  url!: string;
  api!: Penstock;
  topics!: Topics;

  async start(): Promise<void> {
    const config = ['max_queued_messages 0', 'max_inflight_messages 0'];
    this.broker = await Mosquitto.start({ config, quiet: true, logged: this.clients.read });
    if (soak) this.server = await PostgresProcess.start();
    this.url = this.server?.url ?? (await postgresql.create()).url;
    const settings = { PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64') };
    this.api = await Penstock.start({ ...settings, PENSTOCK_DATABASE_URL: this.url }, 'api');
    const join = async (name: string, clockMs: number): Promise<void> => {
      const url = new URL(this.url);
      const link = await FaultyLink.start(Number(url.port), () => () => {});
      url.port = new URL(link.url).port;
      const own = { PENSTOCK_DATABASE_URL: url.href, PENSTOCK_WORKER_NAME: name, PENSTOCK_LOG_LEVEL: 'warn' };
      const penstock = await Penstock.start({ ...settings, ...own, ...clockAt(clockMs) }, 'worker');
      this.members.push({ name, penstock, link });
    };
    const minutes = [10, -10, 0, 5];
    await Promise.all(minutes.map((each, index) => join(`w${index}`, each * 60_000)));
    this.members.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async createPipelines(): Promise<void> {
    const { request } = this.api;
    const { id: profile } = await created(request, '/connection_profiles', profileBody(this.broker.url));
    this.topics = await Topics.open(this.broker.url);
    const create = async (name: string, qos: 1 | 2, parallelism: number): Promise<void> => {
      const level = qos === 1 ? 'AtLeastOnce' : 'ExactlyOnce';
      const table = (end: string, type: object) =>
        tableBody(`${end}_${name}`, profile, { topic: `${end}/${name}`, type, qos: level });
      await created(request, '/connection_tables', table('in', {}));
      await created(request, '/connection_tables', table('out', { retain: false }));
      const query = `INSERT INTO out_${name} SELECT * FROM in_${name}`;
      this.pipelines.push((await created(request, '/pipelines', { name, query, parallelism })).id);
      this.topics.add(name, qos, parallelism);
    };
    for (let index = 0; index < size.pipelines; index += 1) await create(`p${index}`, index % 2 ? 1 : 2, 1);
    await create('wide', 1, size.parallelism);
    await this.allRun('at the start');
    this.topics.start();
  }

  async tasks(): Promise<TaskRow[]> {
    const rows = await execute(
      this.url,
      `SELECT t.id, t.worker, w.name, t.state, t.connections, t."jobId" AS job
       FROM "Task" t LEFT JOIN "Worker" w ON w.id = t.worker`,
    );
    return rows as unknown as TaskRow[];
  }

  async allRun(when: string, ms = 90_000): Promise<void> {
    const total = size.pipelines + size.parallelism;
    let rows: TaskRow[] = [];
    const jobs = () => execute(this.url, `SELECT id, state, worker FROM "Job" WHERE state <> 'Running'`);
    const done = async (): Promise<boolean> => {
      rows = await this.tasks();
      const running = rows.filter(({ state, name }) => state === 'running' && name !== null);
      return running.length === total && rows.length === total && (await jobs()).length === 0;
    };
    await until(`all run ${when}`, done, ms).catch(async (error: unknown) => {
      const others = rows.filter(({ state, name }) => state !== 'running' || name === null);
      throw new Error(`${error}: ${JSON.stringify([rows.length, others, await jobs()])}`);
    });
  }

  /** Waits until each of these tasks is connected anew, and notes how long that took. */
  async movedFrom(before: readonly TaskRow[], since: number): Promise<void> {
    const took = new Map<string, number>();
    const check = async (): Promise<boolean> => {
      const now = new Map((await this.tasks()).map((row) => [row.id, row]));
      for (const { id, worker, connections } of before) {
        const row = now.get(id);
        const moved =
          row && row.worker !== worker && row.state === 'running' && row.connections > connections;
        if (moved && !took.has(id)) took.set(id, performance.now() - since);
      }
      await sleep(100);
      return took.size === before.length;
    };
    await until('tasks run elsewhere', check, 90_000).catch(async (error: unknown) => {
      const left = before.filter(({ id }) => !took.has(id)).map(({ id }) => id);
      throw new Error(
        `${error}: ${JSON.stringify((await this.tasks()).filter(({ id }) => left.includes(id)))}`,
      );
    });
    say(`  ${before.length} tasks run elsewhere: ${figures([...took.values()])}`);
    this.moves.push(...took.values());
  }

  async balance(): Promise<void> {
    const since = performance.now();
    let seen = '';
    const even = async (): Promise<boolean> => {
      const names = this.members.map(({ name }) => name);
      const rows = (await this.tasks()).map(({ name }) => name);
      const counts = names.map((name) => rows.filter((each) => each === name).length);
      seen = counts.join(' ');
      const gap = Math.max(...counts) - Math.min(...counts);
      return gap <= Math.max(2, (0.2 * rows.length) / names.length);
    };
    await until('balance', even, soak ? 60_000 : 1).catch((error: unknown) => {
      if (soak) throw new Error(`${error}: ${seen}`);
    });
    say(`  tasks per worker ${seen} after ${Math.round(performance.now() - since)} ms`);
  }

  /** Changes a pipeline while the fault lasts. */
  async meddle(pipeline: string): Promise<string> {
    const { request } = this.api;
    const path = `/api/v1/pipelines/${pipeline}`;
    const kind = ['edit', 'restart', 'stop and start'][random(3)] as string;
    if (kind === 'edit') {
      const { body } = await request.get(path);
      const query = `${body.query.split(' WHERE ')[0]} WHERE celsius < ${1000 + random(1000)}`;
      await request.patch(path).send({ query }).expect(200);
    } else if (kind === 'restart') await request.post(`${path}/restart`).send({}).expect(200);
    else {
      await request.patch(path).send({ stop: 'graceful' }).expect(200);
      await sleep(random(5_000));
      await request.patch(path).send({ stop: 'none' }).expect(200);
    }
    return kind;
  }
}

const figures = (times: readonly number[]): string => {
  const sorted = times.toSorted((a, b) => a - b);
  const median = sorted[sorted.length >> 1] ?? 0;
  return `median ${(median / 1000).toFixed(1)} s, maximum ${((sorted.at(-1) ?? 0) / 1000).toFixed(1)} s`;
};

/** Clients that replaced a connected one since then: how often, by client id. */
const replacements = (lines: readonly string[]): Map<string, number> => {
  const ids = lines.map((line) => /\b[Cc]lient (\S+?):? /.exec(line)?.[1] ?? line);
  return new Map([...Map.groupBy(ids, (id) => id)].map(([id, same]) => [id, same.length]));
};

test.skipIf(!soak)(
  skipping('nothing is lost and no task has two runners while workers and database fail', onlyInSoak),
  async () => {
    say(`PENSTOCK_SEED=${seed}`);
    const fleet = new Fleet();
    await fleet.start();
    await fleet.createPipelines();
    await fleet.balance();
    const frozen: FaultKind = {
      replaces: true,
      silent: true,
      begin: ({ penstock }) => penstock.signal('SIGSTOP'),
      ms: size.freezeMs,
      end: ({ penstock }) => penstock.signal('SIGCONT'),
    };
    const kinds: Record<string, FaultKind> = {
      frozen,
      killed: {
        silent: true,
        begin: ({ penstock }) => penstock.kill('SIGKILL'),
        ms: random(5_000),
        end: ({ penstock }) => penstock.resume(),
      },
      'cut off from the database': {
        replaces: true,
        silent: true,
        begin: ({ link }) => link.blackhole(),
        ms: size.freezeMs,
        end: ({ link }) => link.heal(),
      },
      ended: {
        begin: ({ penstock }) => penstock.kill('SIGTERM'),
        end: ({ penstock }) => penstock.resume(),
      },
      ...(fleet.server && {
        'database paused': {
          begin: () => fleet.server?.signal('SIGSTOP'),
          ms: 30_000,
          end: () => fleet.server?.signal('SIGCONT'),
        },
      }),
    };
    const names = Object.keys(kinds);
    const asked = process.env.PENSTOCK_FAULTS?.split(',');
    const rounds = asked ?? Array.from({ length: size.faults }, () => '');
    let left: string[] = [];
    for (const wanted of rounds) {
      if (left.length === 0) left = [...names];
      const [kind] = wanted === '' ? left.splice(random(left.length), 1) : [wanted];
      const fault = kinds[kind as string] as FaultKind;
      const member = fleet.members[random(fleet.members.length)] as Member;
      const offences = fleet.clients.offences.length;
      const before = (await fleet.tasks()).filter(({ name }) => name === member.name);
      const since = performance.now();
      say(`${member.name} ${kind}, with ${before.length} tasks`);
      await fault.begin(member);
      const elsewhere = Promise.withResolvers<void>();
      if (!fault.replaces) elsewhere.resolve();
      const over = Promise.all([sleep(fault.ms ?? 0), elsewhere.promise]).then(() => fault.end?.(member));
      if (kind !== 'database paused') {
        // Late enough that what it needs may be on the worker that fails.
        await sleep(random(4_000));
        const meddled = fleet.pipelines[random(size.pipelines)] as string;
        say(`  meanwhile: ${await fleet.meddle(meddled)}`);
        const [row] = await execute(fleet.url, `SELECT id FROM "Job" WHERE "pipelineId" = '${meddled}'`);
        const others = before.filter(({ job }) => job !== row?.id);
        if (fault.silent) await fleet.movedFrom(others, since);
      }
      elsewhere.resolve();
      const logged = member.penstock.log.length;
      await over;
      const knows = () => member.penstock.log.slice(logged).includes('task lost');
      if (fault.replaces && before.length > 0) await until('the worker knows what it lost', knows, 30_000);
      // Long enough that what begins only now is seen: heartbeats count 10 s.
      if (soak) await sleep(15_000);
      await fleet.allRun(`after ${kind}`);
      say(`  all run after ${Math.round(performance.now() - since)} ms`);
      await fleet.balance();
      await fleet.topics.allArrive(60_000);
      const replaced = replacements(fleet.clients.offences.slice(offences));
      const tooMany = [...replaced].filter(([, count]) => count > (fault.replaces ? 1 : 0));
      expect(tooMany, `clients replaced by others: ${kind}`).toEqual([]);
      say(`  ${replaced.size} connections taken over`);
    }
    await fleet.topics.stop();
    await fleet.topics.allArrive(60_000);
    const { sent, duplicated } = fleet.topics.counts;
    say(`${sent} messages, ${duplicated} twice; moved after a loss: ${figures(fleet.moves)}`);
  },
  1_800_000,
);
