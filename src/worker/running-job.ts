import { asPenstockError, PenstockError } from '../errors.ts';
import type { JobState } from '../jobs/states.ts';
import { despiteOutages } from '../runtime/delay.ts';
import type { TaskSession } from '../runtime/operations.ts';
import { sameJob, type TaskSpec } from '../runtime/task-spec.ts';
import { nowMicros } from '../store/clock.ts';
import type { JobCounters } from './counters.ts';
import { Replays, StoredDeadLetters } from './dead-letters.ts';
import type { WorkerDeps } from './deps.ts';
import { JobRecord, type MessagePlace, noFailure } from './job-record.ts';
import type { HeldJob } from './leases.ts';
import { positionsOf } from './positions.ts';
import { SessionDrains } from './session-cleanup.ts';
import { JobSessions } from './sessions.ts';
import { isFromSink, leftUnconfirmed, Task } from './task.ts';
import { compileJob, type MemberEvents, Rollout, TaskGroup } from './task-group.ts';

interface RunningJobTools {
  counters: JobCounters;
  /** Called when there is something to write. */
  changed(): void;
  /** Whether it is safe to connect because no other worker can hold the job. */
  mayConnect(): boolean;
}

/** One job while this worker holds it. Runs the stored definitions, follows edits, and rolls back one that does not start. */
export class RunningJob {
  readonly id: string;
  readonly record: JobRecord;
  readonly counters: JobCounters;
  /** Whether it has ended, on its own or by request. */
  over = false;
  /** Why it ended on its own. */
  failure: PenstockError | undefined;
  finished = false;
  readonly #deps: WorkerDeps;
  readonly #tools: RunningJobTools;
  readonly #cancel = new AbortController();
  readonly #sessions: JobSessions;
  readonly #tasks: TaskGroup;
  readonly #drains: SessionDrains;
  readonly #deadLetters: StoredDeadLetters;
  readonly #replays: Replays;
  readonly #rollout: Rollout;
  /** The last error of a sink that left messages unconfirmed. A new connection proves nothing: a confirmed message does. */
  #sinkError: PenstockError | undefined;
  #ending = false;
  #changed = Promise.withResolvers<void>();
  #done: Promise<void> = Promise.resolve();

  constructor(
    id: string,
    deps: WorkerDeps,
    tools: RunningJobTools,
    requests: Pick<HeldJob, 'restartRequests' | 'editRequests'>,
  ) {
    this.id = id;
    this.#deps = deps;
    this.#tools = tools;
    this.record = new JobRecord(deps, id);
    this.counters = tools.counters;
    this.#rollout = new Rollout(requests.editRequests);
    this.#sessions = new JobSessions(deps, id);
    this.#deadLetters = new StoredDeadLetters(deps.db, id);
    this.#tasks = new TaskGroup((spec, events) => this.#member(spec, events), {
      running: () => this.#running(),
      recovering: (error, retryInMs, spec) => {
        this.#log(error, retryInMs);
        if (!this.#ending) this.#note('Recovering', error, placeIn(spec, error));
      },
      finished: () => this.#finished(),
      failed: (error, spec) => this.#failed(error, placeIn(spec, error)),
      replacedFailed: (error, spec) => this.record.say('warn', error, placeIn(spec, error)),
    });
    this.#drains = new SessionDrains({
      deps,
      jobId: id,
      sessions: this.#sessions,
      create: (spec, session, events) => this.#task(spec, session, events),
      say: (level, error) => this.record.say(level, error),
    });
    this.#replays = new Replays({
      deps,
      jobId: id,
      tasks: () => (this.#ending ? [] : this.#tasks.connected),
      replayed: (count) => {
        this.counters.counts.dead_letters_replayed += count;
      },
    });
    this.record.enter('Scheduling', undefined, {
      restartsDone: requests.restartRequests,
      editsDone: requests.editRequests,
      startTime: nowMicros(),
      finishTime: null,
      runId: { increment: 1 },
    });
  }

  begin(): void {
    this.#done = this.#run().finally(() => {
      this.over = true;
      this.#tools.changed();
    });
  }

  edit(editRequests: number): void {
    this.#rollout.requested = editRequests;
    if (this.#rollout.pending) this.#changed.resolve();
  }

  /** Starts to replay dead letters. Those that cannot be replayed now wait for the next call. */
  replay(): void {
    this.#replays.begin();
  }

  /** Asks it to end, after draining or at once. A second call can only make it end sooner. */
  askToEnd(drain: boolean, state: JobState = 'Stopping'): void {
    if (!this.#ending) this.record.enter(state);
    if (this.#ending && drain) return;
    this.#end(drain);
  }

  async end(drain: boolean): Promise<void> {
    this.askToEnd(drain);
    await this.#done;
  }

  #end(drain: boolean): void {
    this.#ending = true;
    // Cancels retries. Tasks end in their own way.
    this.#cancel.abort(new Error('the job was stopped'));
    this.#tasks.end(drain);
    this.#drains.end(drain);
    this.#changed.resolve();
  }

  async #run(): Promise<void> {
    try {
      await this.#apply(await this.#prepare());
      while (!this.#ending) {
        const fallback = this.#rollout.takeFallback();
        if (fallback) await this.#apply(fallback);
        else if (this.#rollout.pending) await this.#edit();
        else {
          await this.#changed.promise;
          this.#changed = Promise.withResolvers<void>();
        }
      }
    } catch (error) {
      if (!this.#ending) this.#endedBy(asPenstockError(error));
    }
    await this.#tasks.ended();
    await this.#drains.ended();
    await this.#replays.ended();
  }

  async #prepare(): Promise<TaskSpec[]> {
    const work = async (): Promise<TaskSpec[]> => {
      await this.#sessions.load();
      return compileJob(this.#deps, this.id);
    };
    const specs = await despiteOutages(work, this.#cancel.signal, (error) => this.#note('Recovering', error));
    if (!this.#ending) this.record.enter('Scheduling');
    return specs;
  }

  async #apply(specs: readonly TaskSpec[]): Promise<void> {
    if (this.#ending) return;
    this.record.set({ tasks: specs.length });
    this.counters.apply(specs);
    await this.#drains.release(specs);
    await this.#tasks.apply(specs);
  }

  /** Applies the stored version. If it does not compile, the current one continues and the job reports the error. */
  async #edit(): Promise<void> {
    const editsDone = this.#rollout.start();
    try {
      const specs = await despiteOutages(() => compileJob(this.#deps, this.id), this.#cancel.signal);
      this.record.set({ editsDone });
      if (sameJob(specs, this.#tasks.specs)) {
        this.#rollout.refusal = undefined;
        if (this.record.state === 'Running') this.#note('Running');
        return;
      }
      // Arroyo's clients wait for a new run after a rescale.
      if (specs.length !== this.#tasks.specs.length) this.record.set({ runId: { increment: 1 } });
      this.#rollout.replace(this.#tasks.specs);
      this.#note('Restarting');
      await this.#apply(specs);
    } catch (error) {
      if (this.#ending) return;
      this.record.set({ editsDone });
      this.#refused('The edit cannot run. The previous version continues', asPenstockError(error));
    }
  }

  #member(spec: TaskSpec, events: MemberEvents): Task {
    const counters = this.counters.of(spec);
    return this.#task(spec, this.#sessions.of(spec), {
      running: () => {
        counters.connected = true;
        events.running();
      },
      recovering: (error, retryInMs) => {
        counters.connected = false;
        if (leftUnconfirmed(error)) {
          this.#sinkError = error;
          counters.nextConfirmed = () => this.#disproven(error);
        }
        events.recovering(error, retryInMs);
      },
    });
  }

  #task(spec: TaskSpec, session: TaskSession, events: MemberEvents): Task {
    const warn = (error: PenstockError, operatorId?: string): void => {
      const place = placeIn(spec, error);
      this.record.say('warn', error, operatorId === undefined ? place : { ...place, operatorId });
    };
    return new Task(spec, {
      events: { ...events, warn, mayConnect: this.#tools.mayConnect },
      session,
      positions: positionsOf(this.#deps.db, spec),
      deadLetters: this.#deadLetters,
      counters: this.counters.of(spec),
      threads: this.#deps.threads,
    });
  }

  #running(): void {
    if (this.#ending) return;
    this.#rollout.connected();
    this.#note('Running');
    for (const { task } of this.#tasks.connected) task.allConnected();
    this.#drains.begin(this.#tasks.specs);
  }

  #finished(): void {
    this.finished = true;
    this.askToEnd(true, 'Finishing');
  }

  /** Internal errors are logged with all details, passing ones for the operator. */
  #log(error: PenstockError, retryInMs: number): void {
    const details = { job: this.id, code: error.code, retryInMs };
    if (error.code === 'internal')
      this.#deps.logger.error({ ...details, err: error }, 'task failed; it tries again');
    else this.#deps.logger.warn(details, error.message);
  }

  #note(state: JobState, error?: PenstockError, place?: MessagePlace): void {
    this.record.enter(state, error, {}, place);
    const shown = this.#rollout.refusal ?? (state === 'Running' ? this.#sinkError : undefined);
    if (!error && shown) this.record.blame(shown);
    this.#tools.changed();
  }

  /** Shows an error of a sink no longer, as rows are confirmed again. */
  #disproven(error: PenstockError): void {
    if (this.#sinkError !== error) return;
    this.#sinkError = undefined;
    if (this.record.state !== 'Running' || this.#rollout.refusal) return;
    this.record.set(noFailure);
    this.#tools.changed();
  }

  /** A task failed for good: rolls back an edit that has never run completely. Otherwise the job ends. */
  #failed(error: PenstockError, place: MessagePlace): void {
    if (this.#ending || !this.#rollout.canRollBack) {
      this.#endedBy(error, place);
    } else if (this.#rollout.rollBack()) {
      this.#refused('The edit did not start and was rolled back', error);
      this.#changed.resolve();
    }
  }

  #refused(what: string, error: PenstockError): void {
    const { message, hint, errors } = error;
    const refusal = new PenstockError(error, `${what}: ${message}`, { ...(hint ? { hint } : {}), errors });
    this.#rollout.refusal = refusal;
    this.record.say('error', refusal);
    this.record.blame(refusal);
    this.#tools.changed();
  }

  #endedBy(raised: PenstockError, place?: MessagePlace): void {
    if (this.failure) return;
    if (raised.code === 'internal') this.#deps.logger.error({ err: raised, job: this.id }, 'job failed');
    this.failure = raised;
    this.record.enter('Failed', raised, {}, place);
    this.#end(false);
  }
}

/** The place of an error: the source, unless it is known to be the sink's or the transform's. */
function placeIn({ insert, taskIndex }: TaskSpec, error: PenstockError): MessagePlace {
  const { source, transform, sink } = insert.operatorIds;
  if (isFromSink(error)) return { operatorId: sink, taskIndex };
  return { operatorId: error.code === 'bad_row' ? transform : source, taskIndex };
}
