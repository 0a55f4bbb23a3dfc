import { expect } from 'vitest';
import { atEnd } from '../support/at-end.ts';
import { BrokerClients } from '../support/broker-clients.ts';
import { databases, type TestDatabase } from '../support/databases.ts';
import { FaultyLink } from '../support/faulty-link.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, tableBody } from '../support/resources.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';
import type { Model, Step, Wanted } from './model.ts';

const [, postgresql] = databases;

/** An expiring lease, a broker's back-off and busy processors, all together. */
const patienceMs = 120_000;

/** After a silent database processes hang on dead connections for a while, whose locks remain. */
const aftermathMs = 45_000;

/** One pipeline, with messages while it has a session. */
interface Piece {
  id: string;
  job: string;
  source: string;
  traffic: Traffic;
  endPublishing: () => Promise<void>;
}

/** Processes of Penstock on one PostgreSQL, reached over a link that can be cut, and a broker that reports its clients. */
export class Cluster {
  readonly #clients: BrokerClients;
  readonly #broker: Mosquitto;
  readonly #database: TestDatabase;
  readonly #link: FaultyLink;
  readonly #processes: Penstock[];
  readonly #pieces = new Map<number, Piece>();
  #silentUntil = 0;
  #profile = '';
  #made = 0;
  #asked = 0;
  #edits = 0;

  private constructor(parts: [BrokerClients, Mosquitto, TestDatabase, FaultyLink], processes: Penstock[]) {
    [this.#clients, this.#broker, this.#database, this.#link] = parts;
    this.#processes = processes;
  }

  static async start(processes: number): Promise<Cluster> {
    const clients = new BrokerClients();
    const config = ['max_queued_messages 0'];
    const broker = await Mosquitto.start({ config, quiet: true, logged: clients.read });
    const database = await postgresql.create();
    const behind = new URL(database.url);
    const link = await FaultyLink.start(Number(behind.port), () => () => {});
    behind.port = new URL(link.url).port;
    const settings = {
      PENSTOCK_DATABASE_URL: behind.href,
      PENSTOCK_SECRET_KEY: Buffer.alloc(32, 7).toString('base64'),
    };
    const started = await Promise.all(Array.from({ length: processes }, () => Penstock.start(settings)));
    const cluster = new Cluster([clients, broker, database, link], started);
    const profile = { name: 'plant', connector: 'mqtt', config: { url: broker.url, keepAliveSecs: 5 } };
    cluster.#profile = (await created(cluster.#client([true]), '/connection_profiles', profile)).id;
    atEnd(() => cluster.stop());
    return cluster;
  }

  async stop(): Promise<void> {
    for (const { traffic, endPublishing } of this.#pieces.values()) {
      void endPublishing();
      await traffic.close();
    }
    await Promise.all(this.#processes.map((process) => process.stop()));
    await this.#link.stop();
    await this.#database.drop();
    await this.#broker.stop();
  }

  /** The last errors of the processes. */
  get warnings(): string {
    const serious = (line: string) => /"level":[456]0|job lost|available again/.test(line);
    return this.#processes
      .map(({ log }, nth) => `process ${nth}:\n${log.split('\n').filter(serious).slice(-25).join('\n')}`)
      .join('\n');
  }

  /** Performs a step that the model allows. Returns whether it was done or rightly refused. */
  async perform(step: Step, model: Model): Promise<boolean> {
    switch (step.do) {
      case 'kill':
        await this.#process(step.nth).kill('SIGKILL');
        return true;
      case 'revive':
        await this.#process(step.nth).resume();
        return true;
      case 'lose database':
        if (step.how === 'cut') this.#link.cut();
        else {
          this.#link.blackhole();
          this.#silentUntil = Number.POSITIVE_INFINITY;
        }
        return true;
      case 'find database':
        await this.#link.heal();
        if (this.#silentUntil > performance.now()) this.#silentUntil = performance.now() + aftermathMs;
        await this.#ready(model);
        return true;
      case 'settle':
        await this.settle(model);
        return true;
      case 'create':
        await this.#quietly(() => this.#create(step.slot, model));
        return true;
      case 'delete':
        return this.#delete(step.slot, model);
      default:
        await this.#change(step, model);
        return true;
    }
  }

  /** Waits for the desired state, and compares it with the broker's view. */
  async settle(model: Model): Promise<void> {
    for (const [slot, wanted] of model.pipelines) await this.#settled(this.#piece(slot), wanted, model);
    this.#expectNoOffence();
  }

  /** Ends all faults and all pipelines. Every message must have arrived. */
  async finish(model: Model): Promise<void> {
    if (!model.database) await this.#act({ do: 'find database' }, model);
    for (const [nth, alive] of model.alive.entries())
      if (!alive) await this.#act({ do: 'revive', nth }, model);
    await this.settle(model);
    for (const [slot] of [...model.pipelines]) {
      const { traffic, endPublishing } = this.#piece(slot);
      await endPublishing();
      if (!model.pipelines.get(slot)?.runs) await this.#act({ do: 'start', slot }, model);
      await until('every message arrives', () => traffic.arrived === traffic.sent, patienceMs).catch(
        () => {},
      );
      expect({ slot, missing: traffic.missing.slice(0, 10), of: traffic.sent }).toMatchObject({
        missing: [],
      });
    }
    await this.settle(model);
    for (const [slot] of [...model.pipelines]) {
      await this.#act({ do: 'stop', slot, mode: 'graceful' }, model);
      await this.#act({ do: 'delete', slot }, model);
    }
    this.#expectNoOffence();
  }

  #expectNoOffence(): void {
    const [first] = this.#clients.offences;
    const [job = ''] = /job_\w{10}/.exec(first ?? '') ?? [];
    expect(first, this.#clients.history(job).join('\n')).toBeUndefined();
  }

  /** Retries until the aftermath of a silence is over, because a half-done step would disturb later ones. */
  async #quietly(work: () => Promise<void>): Promise<void> {
    const over = () => performance.now() >= this.#silentUntil;
    await until('the aftermath is over', over, aftermathMs * 2);
    await work();
  }

  async #act(step: Step, model: Model): Promise<void> {
    await this.perform(step, model);
    model.follow(step);
  }

  #process(nth: number): Penstock {
    return this.#processes[nth] as Penstock;
  }

  #piece(slot: number): Piece {
    return this.#pieces.get(slot) as Piece;
  }

  /** The processes that live take turns. */
  #client(alive: boolean[]): Penstock['request'] {
    const living = this.#processes.filter((_, nth) => alive[nth] !== false);
    this.#asked += 1;
    return (living[this.#asked % living.length] as Penstock).request;
  }

  async #ready(model: Model): Promise<void> {
    for (const [nth, process] of this.#processes.entries()) {
      if (!model.alive[nth]) continue;
      const ready = async () => (await process.request.get('/readyz')).status === 200;
      await until('the database is found again', ready, patienceMs);
    }
  }

  async #create(slot: number, model: Model): Promise<void> {
    const client = this.#client(model.alive);
    this.#made += 1;
    const name = `p${this.#made}`;
    const table = (which: string, type: object) =>
      tableBody(`${name}_${which}`, this.#profile, { topic: `${name}/${which}`, type });
    const { id: source } = await created(client, '/connection_tables', table('in', {}));
    await created(client, '/connection_tables', table('out', { retain: false }));
    const { id } = await created(client, '/pipelines', { name, query: queryOf(name, 0), parallelism: 1 });
    const running = async () => (await jobOf(client, id)).state === 'Running';
    await until('the pipeline has a session', running, patienceMs);
    const { url } = this.#broker;
    const traffic = await Traffic.open({ url, topic: `${name}/in` }, { url, topic: `${name}/out` }, 1);
    const { id: job } = await jobOf(client, id);
    this.#pieces.set(slot, { id, job, source, traffic, endPublishing: traffic.keepPublishing(40) });
  }

  /** A pipeline that is not stopped cannot be deleted. */
  async #delete(slot: number, model: Model): Promise<boolean> {
    const piece = this.#piece(slot);
    const wanted = model.pipelines.get(slot) as Wanted;
    if (!wanted.runs) await this.#settled(piece, wanted, model);
    // Its sessions are removed under their own client ids.
    this.#clients.allow(piece.job);
    const remove = async () => this.#client(model.alive).delete(`/api/v1/pipelines/${piece.id}`);
    let { status, body } = await remove();
    while (status === 503 && performance.now() < this.#silentUntil) ({ status, body } = await remove());
    if (status === 409 && wanted.runs) expect(body.code).toBe('pipeline_running');
    else expect({ status, body }).toMatchObject({ status: 200 });
    if (status !== 200) return false;
    await piece.endPublishing();
    await piece.traffic.close();
    this.#pieces.delete(slot);
    return true;
  }

  async #change(step: Step & { slot: number }, model: Model): Promise<void> {
    const piece = this.#piece(step.slot);
    const client = this.#client(model.alive);
    const at = `/api/v1/pipelines/${piece.id}`;
    if (model.database && (step.do === 'start' || step.do === 'restart')) this.#clients.allow(piece.job);
    const send = async () => {
      if (step.do === 'restart') return client.post(`${at}/restart`).send({ force: step.force });
      if (step.do === 'edit') return this.#edit(step.what, piece, client);
      if (step.do === 'rescale') return client.patch(at).send({ parallelism: step.parallelism });
      return client.patch(at).send({ stop: step.do === 'stop' ? step.mode : 'none' });
    };
    let { status, headers, body } = await send();
    while (model.database && status === 503 && performance.now() < this.#silentUntil)
      ({ status, headers, body } = await send());
    if (model.database) expect({ step, status, body }).toMatchObject({ status: 200 });
    else
      expect({ status, after: headers['retry-after'], body }).toMatchObject({
        status: 503,
        after: expect.stringMatching(/^\d+$/),
        body: { code: 'database_unavailable' },
      });
  }

  async #edit(what: 'query' | 'table' | 'profile', { id, source }: Piece, client: Penstock['request']) {
    this.#edits += 1;
    if (what === 'query') {
      const { body } = await client.get(`/api/v1/pipelines/${id}`);
      return client.patch(`/api/v1/pipelines/${id}`).send({ query: queryOf(String(body.name), this.#edits) });
    }
    if (what === 'table') {
      const { body } = await client.get(`/api/v1/connection_tables/${source}`);
      const [name] = String(body.name).split('_');
      const topic = body.config?.topic === `${name}/in` ? `${name}/in/#` : `${name}/in`;
      return client.patch(`/api/v1/connection_tables/${source}`).send({ config: { topic } });
    }
    // Every second time, another address of the same broker.
    const { port } = new URL(this.#broker.url);
    const url = `mqtt://${this.#edits % 2 === 0 ? 'localhost' : '127.0.0.1'}:${port}`;
    const config = { url, keepAliveSecs: 5 + (this.#edits % 7) };
    return client.patch(`/api/v1/connection_profiles/${this.#profile}`).send({ config });
  }

  async #settled({ id, job }: Piece, wanted: Wanted, model: Model): Promise<void> {
    const { runs, parallelism } = wanted;
    let seen: unknown;
    const asWanted = async () => {
      const found = await jobOf(this.#client(model.alive), id);
      const connected = this.#clients.with(job);
      seen = { state: found?.state, tasks: found?.tasks, failure: found?.failure_reason, connected };
      if (!runs) return found?.state === 'Stopped' && connected.length === 0;
      const sources = connected.filter((client) => client.includes('_source_'));
      return found?.state === 'Running' && found.tasks === parallelism && sources.length === parallelism;
    };
    await until(`${job} is as wanted`, asWanted, patienceMs).catch((cause: unknown) => {
      throw new Error(`wanted ${JSON.stringify(wanted)}, found ${JSON.stringify(seen)}`, { cause });
    });
    // It has stopped, and stays stopped until a request.
    if (!runs) this.#clients.forbid(job);
  }
}

const queryOf = (name: string, edit: number): string =>
  `INSERT INTO ${name}_out SELECT * FROM ${name}_in${edit === 0 ? '' : ` WHERE seq > -${edit + 1}`}`;
