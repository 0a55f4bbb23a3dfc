import type { Watched } from '../../connectors/connector.ts';
import { openSchemas } from '../../connectors/schema-registry/schemas.ts';
import { maskQuery } from '../../definitions/query-secrets.ts';
import { asPenstockError, type PenstockError } from '../../errors.ts';
import { sourcesOf } from '../../sql/compile.ts';
import type { PreviewPlan, TableDefinition } from '../../sql/plan.ts';
import { nowMicros } from '../../store/clock.ts';
import { newId, newTimedId } from '../../store/id.ts';
import type { Deps } from '../deps.ts';
import { enough, PerSecond, watchSource } from '../live.ts';
import { EventQueue } from '../sse.ts';
import { previewRow } from './preview-pipeline.ts';
import {
  type PreviewBatch,
  type PreviewInput,
  type PreviewListener,
  PreviewRows,
  type PreviewState,
} from './preview-rows.ts';
import { PreviewSink } from './preview-sink.ts';
import type { SchemasOf } from './preview-windows.ts';
import type { PipelineRow } from './wire.ts';

/** How long a preview runs, and how long the output of a running pipeline is shown. */
export const previewMs = 60_000;
export const outputMs = 3_600_000;
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
  readonly #logger: Deps['logger'];
  readonly #maxMs: number;
  readonly #inputs: PreviewInput[] = [];
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

  constructor(query: string, plans: readonly PreviewPlan[], { catalog, logger }: Deps, maxMs = previewMs) {
    this.#query = maskQuery(query);
    this.#plans = plans;
    this.#catalog = catalog;
    this.#logger = logger;
    this.#maxMs = maxMs;
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
    const opened: { close(): Promise<void> }[] = [];
    const watches: Promise<void>[] = [];
    const abandoned = (): void => this.stop();
    gone.addEventListener('abort', abandoned, { once: true });
    const listening = this.#plans.map(async (plan) => {
      const writer = plan.sink && (await this.#openSink(plan, plan.sink));
      if (writer) opened.push(writer);
      const schemasOf = (source: TableDefinition) => {
        const schemas = openSchemas(this.#catalog.usable(source), source.schema, this.#cancel.signal);
        if (schemas) opened.push(schemas);
        return schemas;
      };
      const input = await openInput(plan, this.#listenerFor(plan, writer), schemasOf);
      opened.unshift(input);
      this.#inputs.push(input);
      const subscribed = sourcesOf(plan).map((source, index) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        const watch = this.#watch(source, index, input, resolve);
        watches.push(watch);
        return Promise.race([promise, watch]);
      });
      await Promise.all(subscribed);
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

  /** Shows what is in open windows, and closes them. Returns whether its SELECTs have any, or results that change. */
  async closeWindows(): Promise<boolean> {
    const closing = this.#inputs.flatMap((input) => input.closeWindows?.() ?? []);
    await Promise.all(closing);
    return closing.length > 0;
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
    return previewRow({
      id: this.id,
      jobId: this.jobId,
      query: this.#query,
      plans: this.#plans,
      startedAt: this.#startedAt,
      endedAt: this.#endedAt,
      failure: this.#failure,
    });
  }

  async #watch(
    source: TableDefinition,
    index: number,
    input: PreviewInput,
    listening: () => void,
  ): Promise<void> {
    const { connector, profile, targets, config: table } = this.#catalog.usable(source);
    const { signal } = this.#cancel;
    const deliver = (message: Watched) => input.deliver(message, index);
    const ended = () => input.ended?.(index);
    const { schema } = source;
    await watchSource(connector, { profile, targets, table, schema, signal, listening, deliver, ended });
  }

  /** Waits for the first reason to end, then releases everything. */
  async #untilEnd(
    started: Promise<unknown>,
    watches: Promise<void>[],
    opened: { close(): Promise<void> }[],
  ): Promise<void> {
    await started;
    const timer = setTimeout(() => void this.closeWindows().finally(() => this.stop()), this.#maxMs);
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

  #openSink(plan: PreviewPlan, sink: TableDefinition): Promise<PreviewSink> {
    return PreviewSink.open(sink, {
      catalog: this.#catalog,
      logger: this.#logger,
      identity: { jobId: this.jobId, operatorId: plan.operatorIds.transform, taskIndex: 0 },
      signal: this.#cancel.signal,
      onBad: (error) => this.#noteBad(error, plan.operatorIds.transform),
      onError: (error) => this.#end(error),
    });
  }

  #noteBad(error: PenstockError, operatorId: string): void {
    if (this.errors.length < 100) this.errors.push({ at: nowMicros(), error, operatorId });
  }

  #listenerFor({ operatorIds }: PreviewPlan, writer: PreviewSink | undefined): PreviewListener {
    return {
      onBatch: (batch: PreviewBatch): void => {
        const shown = this.#show(batch, operatorIds);
        writer?.write(batch.values.slice(0, shown));
      },
      onLeftOut: (count: number): void => {
        this.#leftOut += count;
      },
      onState: (state: PreviewState): void =>
        this.#send({ ...this.#empty(), operator_id: operatorIds.transform, state }),
      onError: (error: unknown): void => this.#end(error),
    };
  }

  /** Returns the number of rows that it showed. */
  #show(
    { operatorId, timestamps, rows, bad, partial }: PreviewBatch,
    operatorIds: PreviewPlan['operatorIds'],
  ): number {
    if (this.ended) return 0;
    const left = this.#maxMs === previewMs ? maxRows - this.#rows : rows.length;
    const room = this.#rate.take(Math.min(rows.length, left));
    this.#leftOut += rows.length - room;
    const start = this.#rows;
    this.#rows += room;
    for (const error of bad) {
      this.#noteBad(error, error.code === 'bad_row' ? operatorIds.transform : operatorIds.source);
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
        ...(partial ? { partial } : {}),
      });
    if (this.#rows >= maxRows && this.#maxMs === previewMs) this.stop();
    return room;
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

async function openInput(
  plan: PreviewPlan,
  listener: PreviewListener,
  schemasOf: SchemasOf,
): Promise<PreviewInput> {
  const { select } = plan;
  if (select.kind !== 'stateful') return PreviewRows.open(plan, listener, schemasOf(plan.source));
  const { PreviewWindows } = await import('./preview-windows.ts');
  return PreviewWindows.open(plan, select, listener, schemasOf);
}
