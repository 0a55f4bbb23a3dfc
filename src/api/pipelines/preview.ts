import { maskQuery } from '../../definitions/query-secrets.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { graphOf } from '../../sql/graph.ts';
import type { InsertPlan, PreviewPlan } from '../../sql/plan.ts';
import { newId } from '../../store/id.ts';
import type { Deps } from '../deps.ts';
import { EventQueue } from '../event-queue.ts';
import { nowMicros } from '../schemas.ts';
import { PreviewRows, type Shown } from './preview-rows.ts';
import type { PipelineRow } from './wire.ts';

const maxMs = 60_000;
/** A preview that nobody looks at ends. */
const unseenMs = 10_000;
const maxRows = 10_000;
const maxRowsPerSecond = 100;
/** So many bad messages are told in an event. */
const maxBad = 20;
/** So many characters wait for a client that reads slowly. */
const maxWaiting = 1024 * 1024;

/** Why a preview ends that has not failed. */
const enough = new Error('enough');

/** The SELECTs of a query over live messages, for a minute at most. It exists in the memory of this process alone. */
export class Preview {
  readonly id = newId('pl');
  readonly jobId = newId('job');
  /** Resolves when it has ended and let go of everything. */
  readonly over: Promise<void>;
  readonly errors: { at: bigint; error: PenstockError; operatorId: string }[] = [];
  readonly #query: string;
  readonly #plans: readonly PreviewPlan[];
  readonly #catalog: Deps['catalog'];
  readonly #cancel = new AbortController();
  readonly #listeners = new Set<EventQueue<string>>();
  readonly #startedAt = nowMicros();
  /** What was said before anybody looked. */
  #backlog: EventQueue<string> | undefined = new EventQueue((json) => json.length);
  #unseen: NodeJS.Timeout | undefined;
  /** Whether the last event was told. */
  #closed = false;
  #endedAt: bigint | null = null;
  #failure: PenstockError | undefined;
  #rows = 0;
  #leftOut = 0;
  #second = 0;
  #inSecond = 0;

  constructor(query: string, plans: readonly PreviewPlan[], catalog: Deps['catalog']) {
    this.#query = maskQuery(query);
    this.#plans = plans;
    this.#catalog = catalog;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#resolveOver = resolve;
  }

  readonly #resolveOver: () => void;

  get ended(): boolean {
    return this.#endedAt !== null;
  }

  /** Resolves when messages can arrive from every source; rejects with what is in the way, and has ended then. */
  async start(gone: AbortSignal): Promise<void> {
    const opened: PreviewRows[] = [];
    const watches: Promise<void>[] = [];
    const left = (): void => this.stop();
    gone.addEventListener('abort', left, { once: true });
    const listening = this.#plans.map(async (plan) => {
      const rows = await PreviewRows.open(plan, this.#told(plan));
      opened.push(rows);
      const { promise, resolve } = Promise.withResolvers<void>();
      const watch = this.#watch(plan, rows, resolve);
      watches.push(watch);
      await Promise.race([promise, watch]);
    });
    const started = Promise.all(listening.map((each) => each.catch((error: unknown) => this.#end(error))));
    void this.#untilEnd(started, watches, opened);
    await started;
    gone.removeEventListener('abort', left);
    if (this.#failure) throw this.#failure;
    this.#waitForListener();
  }

  stop(): void {
    this.#cancel.abort(enough);
  }

  /** What it answers, to one more caller, until that goes away. */
  output(gone: AbortSignal): EventQueue<string> {
    const backlog = this.#backlog;
    const events = backlog ?? new EventQueue<string>((json) => json.length);
    this.#backlog = undefined;
    if (this.#closed) {
      if (!backlog) this.#close(events);
      return events;
    }
    clearTimeout(this.#unseen);
    this.#listeners.add(events);
    gone.addEventListener(
      'abort',
      () => {
        events.end();
        this.#listeners.delete(events);
        if (this.#listeners.size === 0) this.#waitForListener();
      },
      { once: true },
    );
    return events;
  }

  /** As a stored pipeline would look. */
  get row(): PipelineRow {
    const inserts = this.#plans.map((plan, nth) => {
      const name = this.#plans.length > 1 ? `preview ${nth + 1}` : 'preview';
      return { ...plan, sink: { name, connector: 'preview' } } as unknown as InsertPlan;
    });
    const times = { createdAt: this.#startedAt, updatedAt: this.#endedAt ?? this.#startedAt };
    return {
      id: this.id,
      name: `preview_${this.#startedAt / 1000n}`,
      query: this.#query,
      parallelism: 1,
      checkpointIntervalMicros: 10_000_000n,
      tags: '{}',
      graph: JSON.stringify(graphOf(inserts)),
      version: 1,
      labels: '{}',
      ...times,
      job: { ...this.#job(), ...times },
    };
  }

  #job(): Omit<PipelineRow['job'], 'createdAt' | 'updatedAt'> {
    const state = this.#failure ? 'Failed' : this.ended ? 'Finished' : 'Running';
    return {
      id: this.jobId,
      pipelineId: this.id,
      stop: this.ended && !this.#failure ? 'immediate' : 'none',
      restartRequests: 0,
      restartForce: false,
      editRequests: 0,
      state,
      stateSince: this.#endedAt ?? this.#startedAt,
      failureCode: this.#failure?.code ?? null,
      failureMessage: this.#failure?.message ?? null,
      failureDomain: this.#failure ? 'external' : null,
      restartsDone: 0,
      editsDone: 0,
      runId: 1,
      tasks: this.ended ? null : this.#plans.length,
      startTime: this.#startedAt,
      finishTime: this.#endedAt,
      worker: null,
      leaseUntil: this.ended ? null : this.#startedAt + BigInt(maxMs) * 2000n,
      recoveries: 0,
      recoveringSince: null,
      deadLetters: 0,
      deadLetterBytes: 0n,
    };
  }

  async #watch(plan: PreviewPlan, rows: PreviewRows, listening: () => void): Promise<void> {
    const { connector, profile, targets, config: table } = this.#catalog.usable(plan.source);
    if (!connector.watch)
      throw new PenstockError('invalid_request', `Messages of ${connector.id} cannot be looked at`);
    const { signal } = this.#cancel;
    const deliver = rows.deliver.bind(rows);
    await connector.watch({ profile, targets, table, signal, listening, deliver });
  }

  /** Waits for the first thing that ends it, then for all of it to be gone. */
  async #untilEnd(started: Promise<unknown>, watches: Promise<void>[], opened: PreviewRows[]): Promise<void> {
    await started;
    const timer = setTimeout(() => this.stop(), maxMs);
    const telling = setInterval(() => this.#tellLeftOut(), 1000);
    // A watch never resolves.
    await Promise.race(watches).catch((error: unknown) => this.#end(error));
    await Promise.allSettled(watches);
    for (const each of [timer, telling, this.#unseen]) clearInterval(each);
    for (const rows of opened) await rows.close().catch(() => {});
    this.#tellLeftOut();
    for (const events of this.#queues()) this.#close(events);
    this.#closed = true;
    this.#resolveOver();
  }

  #end(error: unknown): void {
    if (this.ended) return;
    this.#endedAt = nowMicros();
    if (error !== enough) this.#failure = asPenstockError(error);
    this.#cancel.abort(enough);
  }

  #waitForListener(): void {
    clearTimeout(this.#unseen);
    if (!this.ended) this.#unseen = setTimeout(() => this.stop(), unseenMs);
  }

  #close(events: EventQueue<string>): void {
    events.add(this.#last());
    events.end();
  }

  #queues(): EventQueue<string>[] {
    return this.#backlog ? [this.#backlog] : [...this.#listeners];
  }

  #told({ operatorIds }: PreviewPlan) {
    return {
      shown: (shown: Shown): void => this.#show(shown, operatorIds),
      leftOut: (count: number): void => {
        this.#leftOut += count;
      },
      failed: (error: unknown): void => this.#end(error),
    };
  }

  #show({ operatorId, timestamps, rows, bad }: Shown, operatorIds: PreviewPlan['operatorIds']): void {
    if (this.ended) return;
    const room = this.#room(rows.length);
    this.#leftOut += rows.length - room;
    const start = this.#rows;
    this.#rows += room;
    for (const error of bad) {
      const at = error.code === 'bad_row' ? operatorIds.transform : operatorIds.source;
      if (this.errors.length < 100) this.errors.push({ at: nowMicros(), error, operatorId: at });
    }
    const told = bad.slice(0, maxBad).map(({ code, message, errors }) => ({ code, message, errors }));
    this.#leftOut += bad.length - told.length;
    if (room > 0 || told.length > 0)
      this.#say({
        operator_id: operatorId,
        timestamps: timestamps.slice(0, room),
        start_id: start,
        batch: `[${rows.slice(0, room).join(',')}]`,
        ...(told.length > 0 ? { bad: told } : {}),
      });
    if (this.#rows >= maxRows) this.stop();
  }

  /** How many of so many rows may be shown. */
  #room(rows: number): number {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    const room = Math.min(rows, maxRowsPerSecond - this.#inSecond, maxRows - this.#rows);
    this.#inSecond += room;
    return room;
  }

  #tellLeftOut(): void {
    if (this.#leftOut === 0) return;
    const left_out = this.#leftOut;
    this.#leftOut = 0;
    this.#say({ ...this.#empty(), left_out });
  }

  #empty() {
    return { operator_id: '', timestamps: [], start_id: this.#rows, batch: '[]' };
  }

  #say(event: object): void {
    const json = JSON.stringify({ subtask_idx: 0, ...event });
    for (const events of this.#queues()) if (events.size < maxWaiting) events.add(json);
  }

  #last(): string {
    const error = this.#failure && { code: this.#failure.code, message: this.#failure.message };
    return JSON.stringify({ subtask_idx: 0, ...this.#empty(), done: true, error: error ?? null });
  }
}
