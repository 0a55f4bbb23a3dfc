import { asPenstockError, PenstockError } from '../errors.ts';
import type { JobState } from '../jobs/states.ts';
import { backoffMs, delay } from '../runtime/backoff.ts';
import type { TaskSession } from '../runtime/operations.ts';
import { sameJob, type TaskSpec } from '../runtime/task-spec.ts';
import { StoredDeadLetters } from './dead-letters.ts';
import type { WorkerDeps } from './deps.ts';
import type { JobRecord, MessagePlace } from './job-record.ts';
import { JobStats } from './job-stats.ts';
import type { WorkerMetrics } from './metrics.ts';
import { Replays } from './replays.ts';
import { Edits } from './rollout.ts';
import { Drains } from './session-drains.ts';
import { JobSessions } from './sessions.ts';
import { compileJob } from './specs.ts';
import { Task, type TaskEvents } from './task.ts';
import { Crew } from './task-group.ts';

/** What the worker that holds a job gives it. */
interface Holder {
  metrics: WorkerMetrics;
  /** Called whenever there is something new to write down. */
  changed(): void;
  /** Whether connecting is safe: nobody else can hold the job. */
  mayConnect(): boolean;
}

/** What was asked of a job, as counted in its row. */
interface Asked {
  restartRequests: number;
  editRequests: number;
}

/**
 * One job while this worker holds it: runs its query as it and its tables are now, follows their edits, and goes back to
 * what ran before when an edit does not start.
 */
export class RunningJob {
  readonly record: JobRecord;
  readonly stats: JobStats;
  readonly id: string;
  /** Whether it has come to its end, by itself or because it was asked to. */
  over = false;
  /** Why it ended by itself. */
  failure: PenstockError | undefined;
  /** Whether it ended because its sources have no more. */
  finished = false;
  readonly #deps: WorkerDeps;
  readonly #holder: Holder;
  readonly #cancel = new AbortController();
  readonly #sessions: JobSessions;
  readonly #crew: Crew;
  readonly #drains: Drains;
  readonly #letters: StoredDeadLetters;
  readonly #replays: Replays;
  readonly #edits: Edits;
  #ending = false;
  #stirred = Promise.withResolvers<void>();
  #done: Promise<void> = Promise.resolve();

  constructor(id: string, deps: WorkerDeps, record: JobRecord, holder: Holder, asked: Asked) {
    this.id = id;
    this.#deps = deps;
    this.record = record;
    this.#holder = holder;
    this.stats = new JobStats(holder.metrics, id);
    this.#edits = new Edits(asked.editRequests);
    this.#sessions = new JobSessions(deps, id);
    this.#letters = new StoredDeadLetters(deps.db, id);
    this.#crew = new Crew((spec, events) => this.#member(spec, events), {
      running: () => this.#running(),
      recovering: (error, retryInMs, spec) => {
        this.#log(error, retryInMs);
        if (!this.#ending) this.#note('Recovering', error, this.#placeIn(spec, error));
      },
      finished: () => this.#finished(),
      failed: (error, spec) => this.#failed(error, this.#placeIn(spec, error)),
      left: (error, spec) => this.record.say('warn', error, this.#placeIn(spec, error)),
    });
    this.#drains = new Drains({
      deps,
      jobId: id,
      sessions: this.#sessions,
      create: (spec, session, events) => this.#task(spec, session, events),
      say: (level, error) => this.record.say(level, error),
    });
    this.#replays = new Replays({
      deps,
      jobId: id,
      tasks: () => (this.#ending ? [] : this.#crew.connected),
      replayed: (count) => holder.metrics.deadLettersReplayed.inc({ job: id }, count),
    });
    this.record.enter('Scheduling', undefined, {
      restartsDone: asked.restartRequests,
      editsDone: asked.editRequests,
      startTime: BigInt(Date.now()) * 1000n,
      finishTime: null,
      runId: { increment: 1 },
    });
  }

  begin(): void {
    this.#done = this.#run().finally(() => {
      this.over = true;
      this.#holder.changed();
    });
  }

  /** Tells it how many edits there were of what it runs. */
  edit(editRequests: number): void {
    if (this.#edits.ask(editRequests)) this.#stirred.resolve();
  }

  /** Tells it that dead letters are to be replayed. Those that cannot be just now wait for the next call. */
  replay(): void {
    this.#replays.begin();
  }

  /** Asks it to end: after what is in flight is done, or at once. A second call can only make it more urgent. */
  askToEnd(drain: boolean, state: JobState = 'Stopping'): void {
    if (!this.#ending) this.record.enter(state);
    if (this.#ending && drain) return;
    this.#end(drain);
  }

  /** Asks it to end and waits until it has. */
  async end(drain: boolean): Promise<void> {
    this.askToEnd(drain);
    await this.#done;
  }

  #end(drain: boolean): void {
    this.#ending = true;
    // Whatever waits to try again need not; the tasks have their own way to end.
    this.#cancel.abort(new Error('the job was stopped'));
    this.#crew.end(drain);
    this.#drains.end(drain);
    this.#stirred.resolve();
  }

  async #run(): Promise<void> {
    try {
      await this.#become(await this.#prepare());
      while (!this.#ending) {
        const before = this.#edits.takeBack();
        if (before) await this.#become(before);
        else if (this.#edits.pending) await this.#edit();
        else {
          await this.#stirred.promise;
          this.#stirred = Promise.withResolvers<void>();
        }
      }
    } catch (error) {
      if (!this.#ending) this.#endedBy(asPenstockError(error));
    }
    await this.#crew.ended();
    await this.#drains.ended();
    await this.#replays.ended();
  }

  /** Reads its sessions and compiles its query; tries again for as long as the database is what is missing. */
  async #prepare(): Promise<TaskSpec[]> {
    const specs = await this.#despiteOutages(
      async () => {
        await this.#sessions.load();
        return compileJob(this.#deps, this.id);
      },
      (error) => this.#note('Recovering', error),
    );
    if (!this.#ending) this.record.enter('Scheduling');
    return specs;
  }

  async #become(specs: TaskSpec[]): Promise<void> {
    // It may have been asked to end while it was being prepared.
    if (this.#ending) return;
    this.record.set({ tasks: specs.length });
    this.stats.become(specs);
    await this.#drains.release(specs);
    await this.#crew.become(specs);
  }

  /** Brings what runs to what is stored now. What does not compile changes nothing but what the job reports. */
  async #edit(): Promise<void> {
    const asked = this.#edits.begin();
    try {
      const specs = await this.#despiteOutages(() => compileJob(this.#deps, this.id));
      this.record.set({ editsDone: asked });
      if (sameJob(specs, this.#crew.specs)) {
        this.#edits.refusal = undefined;
        if (this.record.state === 'Running') this.#note('Running');
        return;
      }
      this.#edits.trying(this.#crew.specs);
      this.#note('Restarting');
      await this.#become(specs);
    } catch (error) {
      if (this.#ending) return;
      this.record.set({ editsDone: asked });
      this.#refused('The edit cannot be run, and what ran before goes on', asPenstockError(error));
    }
  }

  async #despiteOutages<T>(work: () => Promise<T>, failed?: (error: PenstockError) => void): Promise<T> {
    for (let failures = 0; ; failures++) {
      try {
        return await work();
      } catch (error) {
        const raised = asPenstockError(error);
        if (raised.code !== 'database_unavailable') throw raised;
        failed?.(raised);
        await delay(backoffMs(failures), this.#cancel.signal);
      }
    }
  }

  #member(spec: TaskSpec, events: Pick<TaskEvents, 'running' | 'recovering'>): Task {
    const stats = this.stats.of(spec);
    return this.#task(spec, this.#sessions.of(spec), {
      running: () => {
        stats.connected = true;
        events.running();
      },
      recovering: (error, retryInMs) => {
        stats.connected = false;
        events.recovering(error, retryInMs);
      },
    });
  }

  /** Whose error it is: what is not known to be the sink's or the transform's is the source's. */
  #placeIn(spec: TaskSpec, error: PenstockError): MessagePlace {
    const { source, transform, sink } = spec.insert.operatorIds;
    const operatorId = this.stats.of(spec).isOfSink(error)
      ? sink
      : error.code === 'bad_row'
        ? transform
        : source;
    return { operatorId, taskIndex: spec.taskIndex };
  }

  #task(spec: TaskSpec, session: TaskSession, events: Pick<TaskEvents, 'running' | 'recovering'>): Task {
    const warn = (error: PenstockError, operatorId?: string): void => {
      const place = this.#placeIn(spec, error);
      this.record.say('warn', error, operatorId === undefined ? place : { ...place, operatorId });
    };
    const stats = this.stats.of(spec);
    const mayConnect = (): boolean => this.#holder.mayConnect();
    const { metrics } = this.#holder;
    const { threads } = this.#deps;
    const letters = this.#letters;
    const tools = { session, letters, metrics, stats, threads };
    return new Task(spec, { events: { ...events, warn, mayConnect }, ...tools });
  }

  #running(): void {
    if (this.#ending) return;
    this.#edits.ran();
    this.#note('Running');
    this.#drains.begin(this.#crew.specs);
  }

  #finished(): void {
    this.finished = true;
    this.askToEnd(true, 'Finishing');
  }

  /** What is passing is the business of an operator; what is internal is ours, with all there is to know. */
  #log(error: PenstockError, retryInMs: number): void {
    const details = { job: this.id, code: error.code, retryInMs };
    if (error.code === 'internal')
      this.#deps.logger.error({ ...details, err: error }, 'a task failed; it tries again');
    else this.#deps.logger.warn(details, error.message);
  }

  #note(state: JobState, error?: PenstockError, place?: MessagePlace): void {
    this.record.enter(state, error, {}, place);
    if (!error && this.#edits.refusal) this.record.blame(this.#edits.refusal);
    this.#holder.changed();
  }

  /** A task has failed for good: an edit that has never run is taken back, any other job ends. */
  #failed(error: PenstockError, place: MessagePlace): void {
    if (this.#ending || !this.#edits.canGoBack) {
      this.#endedBy(error, place);
    } else if (this.#edits.goBack()) {
      this.#refused('The edit did not start and was taken back', error);
      this.#stirred.resolve();
    }
  }

  #refused(what: string, error: PenstockError): void {
    const { message, hint, errors } = error;
    const refusal = new PenstockError(error, `${what}: ${message}`, { ...(hint ? { hint } : {}), errors });
    this.#edits.refusal = refusal;
    this.record.say('error', refusal);
    this.record.blame(refusal);
    this.#holder.changed();
  }

  /** One task failed for good, so the job did: the others stop too. */
  #endedBy(raised: PenstockError, place?: MessagePlace): void {
    if (this.failure) return;
    if (raised.code === 'internal') this.#deps.logger.error({ err: raised, job: this.id }, 'the job failed');
    this.failure = raised;
    this.record.enter('Failed', raised, {}, place);
    this.#end(false);
  }
}
