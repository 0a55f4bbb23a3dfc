import { maskQuery } from '../../definitions/query-secrets.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import { graphOf } from '../../sql/graph.ts';
import type { InsertPlan, PreviewPlan } from '../../sql/plan.ts';
import { newId, newTimedId } from '../../store/id.ts';
import { type PreviewBatch, PreviewRows } from '../connection-tables/message-event.ts';
import type { Deps } from '../deps.ts';
import { enough, PerSecond, watchSource } from '../live.ts';
import { nowMicros } from '../schemas.ts';
import { EventQueue } from '../sse.ts';
import type { PipelineRow } from './wire.ts';

const maxMs = 60_000;
/** A preview without a reader ends after this time. */
const unseenMs = 10_000;
const maxRows = 10_000;
const maxRowsPerSecond = 100;
const maxBad = 20;
/** Maximum number of characters that wait for a slow client. */
const maxWaiting = 1024 * 1024;

const newQueue = () => new EventQueue<string>((json) => json.length);

/** Runs the SELECTs of a query on live messages, for at most a minute. It exists only in the memory of this process. */
export class Preview {
  readonly id = newTimedId('pl', nowMicros());
  readonly jobId = newId('job');
  /** Resolves when it has ended and released everything. */
  readonly over: Promise<void>;
  readonly errors: { at: bigint; error: PenstockError; operatorId: string }[] = [];
  readonly #query: string;
  readonly #plans: readonly PreviewPlan[];
  readonly #catalog: Deps['catalog'];
  readonly #cancel = new AbortController();
  readonly #listeners = new Set<EventQueue<string>>();
  readonly #startedAt = nowMicros();
  /** Events from before the first reader. */
  #backlog: EventQueue<string> | undefined = newQueue();
  #unseen: NodeJS.Timeout | undefined;
  #closed = false;
  #endedAt: bigint | null = null;
  #failure: PenstockError | undefined;
  #rows = 0;
  #leftOut = 0;
  readonly #rate = new PerSecond(maxRowsPerSecond);

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

  /** Resolves when every source is subscribed; rejects if that fails, and has ended then. */
  async start(gone: AbortSignal): Promise<void> {
    const opened: PreviewRows[] = [];
    const watches: Promise<void>[] = [];
    const abandoned = (): void => this.stop();
    gone.addEventListener('abort', abandoned, { once: true });
    const listening = this.#plans.map(async (plan) => {
      const rows = await PreviewRows.open(plan, this.#listenerFor(plan));
      opened.push(rows);
      const { promise, resolve } = Promise.withResolvers<void>();
      const watch = this.#watch(plan, rows, resolve);
      watches.push(watch);
      await Promise.race([promise, watch]);
    });
    const started = Promise.all(listening.map((each) => each.catch((error: unknown) => this.#end(error))));
    void this.#untilEnd(started, watches, opened);
    await started;
    gone.removeEventListener('abort', abandoned);
    if (this.#failure) throw this.#failure;
    this.#waitForListener();
  }

  stop(): void {
    this.#cancel.abort(enough);
  }

  output(gone: AbortSignal): EventQueue<string> {
    const backlog = this.#backlog;
    const events = backlog ?? newQueue();
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

  /** The preview as if it were a stored pipeline. */
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
    const { signal } = this.#cancel;
    const deliver = rows.deliver.bind(rows);
    await watchSource(connector, { profile, targets, table, signal, listening, deliver });
  }

  /** Waits for the first reason to end, then releases everything. */
  async #untilEnd(started: Promise<unknown>, watches: Promise<void>[], opened: PreviewRows[]): Promise<void> {
    await started;
    const timer = setTimeout(() => this.stop(), maxMs);
    const reporting = setInterval(() => this.#reportLeftOut(), 1000);
    // A watch never resolves.
    await Promise.race(watches).catch((error: unknown) => this.#end(error));
    await Promise.allSettled(watches);
    for (const each of [timer, reporting, this.#unseen]) clearInterval(each);
    for (const rows of opened) await rows.close().catch(() => {});
    this.#reportLeftOut();
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

  #listenerFor({ operatorIds }: PreviewPlan) {
    return {
      onBatch: (batch: PreviewBatch): void => this.#show(batch, operatorIds),
      onLeftOut: (count: number): void => {
        this.#leftOut += count;
      },
      onError: (error: unknown): void => this.#end(error),
    };
  }

  #show({ operatorId, timestamps, rows, bad }: PreviewBatch, operatorIds: PreviewPlan['operatorIds']): void {
    if (this.ended) return;
    const room = this.#rate.take(Math.min(rows.length, maxRows - this.#rows));
    this.#leftOut += rows.length - room;
    const start = this.#rows;
    this.#rows += room;
    for (const error of bad) {
      const at = error.code === 'bad_row' ? operatorIds.transform : operatorIds.source;
      if (this.errors.length < 100) this.errors.push({ at: nowMicros(), error, operatorId: at });
    }
    const shownBad = bad.slice(0, maxBad).map(({ code, message, errors }) => ({ code, message, errors }));
    this.#leftOut += bad.length - shownBad.length;
    if (room > 0 || shownBad.length > 0)
      this.#send({
        operator_id: operatorId,
        timestamps: timestamps.slice(0, room),
        start_id: start,
        batch: `[${rows.slice(0, room).join(',')}]`,
        ...(shownBad.length > 0 ? { bad: shownBad } : {}),
      });
    if (this.#rows >= maxRows) this.stop();
  }

  #reportLeftOut(): void {
    if (this.#leftOut === 0) return;
    const left_out = this.#leftOut;
    this.#leftOut = 0;
    this.#send({ ...this.#empty(), left_out });
  }

  #empty() {
    return { operator_id: '', timestamps: [], start_id: this.#rows, batch: '[]' };
  }

  #send(event: object): void {
    const json = JSON.stringify({ subtask_idx: 0, ...event });
    for (const events of this.#queues()) if (events.size < maxWaiting) events.add(json);
  }

  #last(): string {
    const error = this.#failure && { code: this.#failure.code, message: this.#failure.message };
    return JSON.stringify({ subtask_idx: 0, ...this.#empty(), done: true, error: error ?? null });
  }
}
