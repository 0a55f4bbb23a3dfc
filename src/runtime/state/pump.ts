import type { Delivery, Sink } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import type { Change } from '../../formats/json/changes.ts';
import type { StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import { endOfTime, watermarkOf } from '../../sql/state/source-clock.ts';
import type { StateTables } from '../../sql/state/tables.ts';
import { closedBy } from '../../sql/state/windows.ts';
import { type BadMessages, deadLetterFailure } from '../bad-messages.ts';
import type { Batch, InputMessage } from '../batch-processor.ts';
import type { AttemptCounts } from '../counts.ts';
import { delay } from '../delay.ts';
import type { DeadLetterFailure, StateStore } from '../operations.ts';
import { type Control, microsOf, type OutboxEntry } from './control.ts';
import { CommittedIdentifiers } from './identifiers.ts';
import { Outbox } from './outbox.ts';
import { SourceInput } from './source-input.ts';
import { outboxBytes, type RestoredState, restoreState, Segments } from './state.ts';

/** A commit follows once as many messages wait for it, or bytes. */
const fullMessages = 2000;
const fullBytes = 4 * 1024 * 1024;
/** A commit follows that long after the first message, or the last one of several. */
const fewWaitMs = 200;
const someWaitMs = 50;
const some = 10;
const quietMs = 5;
/** Interval of looking whether windows close by the clock, and of computing results that change. */
const clockEveryMs = 100;
const updateEveryMs = 1000;
const measureEveryMs = 1000;
const maxPendingMessages = 10_000;
const roomEveryMs = 20;
const forgetEveryMs = 60_000;

export interface PumpedSource {
  table: TableDefinition;
  bad: BadMessages;
  /** Name of its session with the other side. */
  session: string | null;
}

interface PumpTools {
  select: StatefulSelect;
  sources: readonly PumpedSource[];
  sink: TableDefinition;
  store: StateStore;
  counts: AttemptCounts;
  warn(error: PenstockError): void;
  signal: AbortSignal;
}

interface PumpRun {
  sink: Sink;
  /** Maximum number of messages that wait for the sink's confirmation. */
  window: number;
  /** Whether the sources end by request. */
  isDrained(): boolean;
  /** Aborted when the sink is lost. */
  failed: AbortSignal;
  /** Marks an error as one of the sink. */
  sinkError(error: unknown): unknown;
}

interface Pending {
  source: number;
  batch: Batch<Delivery>;
  acknowledged(): void;
}

/**
 * The path of messages through a stateful select. A commit stores the rows that arrived, the results of windows that closed, and
 * what identifies the messages; then the messages are acknowledged and the results are written. One commit runs at a time, while
 * the next rows are computed.
 */
export class StatefulPump {
  readonly identifiers: readonly CommittedIdentifiers[];
  readonly #tools: PumpTools;
  readonly #state: RestoredState;
  readonly #inputs: readonly SourceInput[];
  readonly #segments: Segments;
  readonly #control: Control;
  #outbox: Outbox | undefined;
  #pending: Pending[] = [];
  #pendingMessages = 0;
  #pendingBytes = 0;
  #firstAt = 0;
  #lastAt = 0;
  #until: bigint | undefined;
  #taking: Promise<void> | undefined;
  #committing: Promise<void> = Promise.resolve();
  #waiters: PromiseWithResolvers<void>[] = [];
  #wake = Promise.withResolvers<void>();
  #urgent = false;
  #evaluatedAt = 0;
  #isOld = false;
  #measuredAt = 0;
  #measuring: NodeJS.Timeout | undefined;
  #forgotAt = performance.now();
  #stateBytes = 0;
  #checkpointMs = 0;
  #fullSince: number | undefined;
  /** The end of the last window that there can be. */
  readonly #lastEnd: bigint;
  #snapshot: Promise<void> | undefined;
  #replacing: { upTo: number; segments: { leaf: number; data: Uint8Array }[] } | undefined;
  #closesEarly = false;
  #isDrained = () => false;
  #ending = false;

  static async open(tools: PumpTools): Promise<StatefulPump> {
    const { select, sources, sink, store } = tools;
    const tables = sources.map(({ table }) => table);
    const state = await restoreState(select, tables, sink.schema.fields ?? [], store);
    const inputs: SourceInput[] = [];
    try {
      for (const [index, source] of tables.entries()) {
        const clock = state.clocks[index] as RestoredState['clocks'][number];
        const nextChange = () => BigInt(state.control.nextChange++);
        const given = { index, source, clock };
        inputs.push(await SourceInput.open(select, given, state.duplicates[index], nextChange));
      }
      return new StatefulPump(tools, state, inputs);
    } catch (error) {
      for (const input of inputs) await input.close();
      await state.tables.close();
      throw error;
    }
  }

  private constructor(tools: PumpTools, state: RestoredState, inputs: readonly SourceInput[]) {
    this.#tools = tools;
    this.#state = state;
    this.#inputs = inputs;
    this.#control = state.control;
    this.#segments = new Segments(state.control);
    this.#until = microsOf(state.control.until);
    this.#lastEnd = closedBy(tools.select.window, endOfTime);
    const changed = () => this.#soon();
    this.identifiers = state.control.sources.map(({ received, session }, index) => {
      const isSame = session === (tools.sources[index]?.session ?? null);
      return new CommittedIdentifiers(isSame ? received : [], changed);
    });
  }

  /** Whether nothing is committed yet. */
  get isNew(): boolean {
    return this.#control.epoch === 0;
  }

  get #tables(): StateTables {
    return this.#state.tables;
  }

  /** Commits while work is done, such as opening sources and reading them. Ends when the work does. */
  async commitDuring<T>(work: () => Promise<T>): Promise<T> {
    const stop = new AbortController();
    const commits = this.#commits(stop.signal);
    try {
      return await Promise.race([work(), commits.then(() => never<T>())]);
    } finally {
      stop.abort();
      this.#soon();
      await commits.catch(() => {});
    }
  }

  /** Reads the sources until all have ended, and writes the results. `isDrained` says whether a source ended by request. */
  async run(
    sources: readonly AsyncIterable<Delivery[]>[],
    { sink, window, isDrained, failed, sinkError }: PumpRun,
  ): Promise<void> {
    this.#isDrained = isDrained;
    this.#outbox = new Outbox(
      {
        sink,
        sinkError,
        table: this.#tools.sink,
        window,
        read: (entry) => this.#results(entry),
        refused: (error) => this.#refused(error),
        wrote: (messages) => {
          const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
          this.#tools.counts.add({ messages_out: messages.length, bytes_out: bytes });
        },
        commit: () => this.#nextCommit(),
        changed: () => this.#changed(),
      },
      this.#control.outbox,
      this.#control.nextIdentifier,
    );
    const writing = this.#outbox.run();
    writing.catch(() => {});
    const reading = Promise.all(
      sources.map(async (source, index) => {
        await this.#read(index, source);
        const clock = this.#state.clocks[index];
        if (clock && !isDrained()) clock.ended = true;
      }),
    );
    const lost = whenAborted(failed);
    await Promise.race([reading, writing.then(() => never()), lost]);
    this.#ending = true;
    await this.#nextCommit();
    if (this.#closesEarly) {
      // What the watermark has passed is closed by the commit before.
      for (const clock of this.#state.clocks) clock.ended = true;
      await this.#nextCommit();
    }
    this.#outbox.end();
    await Promise.race([writing, lost]);
    await this.#nextCommit();
  }

  /** Handles dead letters again. Returns the failure of each, in order. */
  async replay(
    messages: readonly (InputMessage & { source: number })[],
  ): Promise<(DeadLetterFailure | undefined)[]> {
    const failures = new Map<InputMessage, DeadLetterFailure | undefined>();
    const receivedAt = performance.timeOrigin + performance.now();
    for (const [source, some] of Map.groupBy(messages, (message) => message.source)) {
      const input = this.#inputs[source] as SourceInput;
      const deliveries = some.map((message) => ({ ...message, message, receivedAt, ack() {} }));
      for (const batch of input.reader.batches(deliveries, () => {})) {
        const prepared = await input.prepare(batch);
        await this.#taken();
        input.add(this.#tables, prepared, this.#until);
        for (const [index, { message }] of batch.messages.entries())
          failures.set(message, deadLetterFailure(batch, index));
      }
    }
    await this.#nextCommit();
    return messages.map((message) => failures.get(message));
  }

  /** Closes all windows at the end, as if all sources had ended. */
  closeEarly(): void {
    this.#closesEarly = true;
  }

  async close(): Promise<void> {
    clearTimeout(this.#measuring);
    await this.#committing.catch(() => {});
    await this.#snapshot?.catch(() => {});
    for (const input of this.#inputs) await input.close();
    await this.#tables.close();
  }

  /** Handles messages that acknowledge nothing, such as dead letters. */
  async #read(index: number, deliveries: AsyncIterable<Delivery[]>): Promise<void> {
    const { sources, counts } = this.#tools;
    const input = this.#inputs[index] as SourceInput;
    const { bad } = sources[index] as PumpedSource;
    for await (const messages of deliveries) {
      if (messages.length === 0) {
        input.clock.heard();
        continue;
      }
      counts.add({ batches: 1, messages_in: messages.length, bytes_in: bytesOf(messages) });
      for (const batch of input.reader.batches(messages, bad.failed)) {
        const prepared = await input.prepare(batch);
        this.#tools.signal.throwIfAborted();
        await this.#room(index);
        await this.#taken();
        const added = input.add(this.#tables, prepared, this.#until);
        counts.add({ rows_in: batch.rows.length, in_flight: batch.messages.length });
        this.#control.late += added.late;
        this.#control.duplicates += added.duplicates;
        const first = batch.messages[0]?.receivedAt ?? 0;
        this.#pend({ source: index, batch, acknowledged: counts.waiting(first) });
      }
    }
  }

  /** Waits while rows are taken: batches must not be added meanwhile. */
  async #taken(): Promise<void> {
    while (this.#taking !== undefined) await this.#taking;
  }

  #pend(pending: Pending): void {
    const now = performance.now();
    if (this.#pending.length === 0) this.#firstAt = now;
    this.#lastAt = now;
    this.#pending.push(pending);
    this.#pendingMessages += pending.batch.messages.length;
    this.#pendingBytes += bytesOf(pending.batch.messages);
    this.#changed();
  }

  /**
   * Waits while too much is on its way: messages to the commit, results to the sink, or rows in open windows. A source that waits
   * here is not idle: its windows stay open for what it has.
   */
  async #room(index: number): Promise<void> {
    while (this.#pendingMessages > maxPendingMessages || this.#outbox?.isFull || this.#mustWait(index)) {
      this.#state.clocks[index]?.heard();
      await delay(roomEveryMs, this.#tools.signal);
    }
  }

  /** Rows of the source that is behind the others let windows close, and what was read goes in before a stop. */
  #mustWait(index: number): boolean {
    if (!this.#isStateFull() || this.#isDrained()) return false;
    const { clocks } = this.#state;
    const own = clocks[index]?.now() ?? -endOfTime;
    return !clocks.some((clock) => !clock.ended && (clock.now() ?? -endOfTime) > own);
  }

  #isStateFull(): boolean {
    const { limits } = this.#tools.select;
    if (this.#stateBytes <= limits.maxStateBytes) {
      this.#fullSince = undefined;
      return false;
    }
    const megabytes = Math.round(limits.maxStateBytes / 1e6);
    const error = new PenstockError('state_full', `The open windows hold more than ${megabytes} MB`);
    if (limits.whenFull === 'fail') throw error;
    if (this.#fullSince === undefined) this.#tools.warn(error);
    this.#fullSince ??= performance.now();
    return true;
  }

  #refused(error: PenstockError): void {
    const { sink, sources, counts } = this.#tools;
    const policy = sink.schema.bad_data ?? sources[0]?.table.schema.bad_data;
    if ((policy?.behavior ?? 'fail') === 'fail') throw error;
    counts.bad(error);
    counts.add({ dropped: 1 });
    this.#tools.warn(error);
  }

  async *#results({ segment }: OutboxEntry): AsyncGenerator<readonly Change[]> {
    const data = this.#unread.get(segment) ?? (await this.#tools.store.read(segment));
    this.#unread.delete(segment);
    if (this.#tools.select.window) yield* this.#windowResults(data);
    else yield* this.#tables.readChanges(data);
  }

  /** Results come in the order of their windows' ends. */
  async *#windowResults(data: Uint8Array): AsyncGenerator<readonly Change[]> {
    let last: bigint | undefined;
    for await (const { rows, ends } of this.#tables.readResults(data)) {
      for (const end of ends) {
        if (end !== last) this.#control.closed += 1;
        last = end;
      }
      yield rows.map((after) => ({ after }));
    }
  }

  /** Results that were committed and are not read yet. */
  readonly #unread = new Map<number, Uint8Array>();

  #soon(): void {
    this.#urgent = true;
    this.#wake.resolve();
  }

  #changed(): void {
    this.#wake.resolve();
  }

  /** Resolves with a commit that begins now or later. */
  #nextCommit(): Promise<void> {
    const waiter = Promise.withResolvers<void>();
    this.#waiters.push(waiter);
    this.#soon();
    return waiter.promise;
  }

  async #commits(stop: AbortSignal): Promise<void> {
    try {
      while (!stop.aborted) {
        const wait = this.#waitMs();
        if (wait > 0) {
          await this.#sleep(wait);
          continue;
        }
        this.#committing = this.#commit();
        await this.#committing;
      }
    } catch (error) {
      for (const { reject } of this.#waiters.splice(0)) reject(error);
      throw error;
    }
  }

  async #sleep(ms: number): Promise<void> {
    const timer = Number.isFinite(ms) ? setTimeout(() => this.#wake.resolve(), ms) : undefined;
    await this.#wake.promise;
    clearTimeout(timer);
    this.#wake = Promise.withResolvers<void>();
  }

  /** Milliseconds until a commit is due, or until that has to be looked at again. */
  #waitMs(): number {
    if (this.#urgent) return 0;
    const now = performance.now();
    let wait = this.#pending.length > 0 ? this.#pendingWait(now) : Number.POSITIVE_INFINITY;
    if (this.#outbox?.hasDone) wait = Math.min(wait, fewWaitMs);
    if (this.#replacing) return 0;
    const { window } = this.#tools.select;
    if (!window)
      return this.#isOld ? Math.min(wait, Math.max(0, this.#evaluatedAt + updateEveryMs - now)) : wait;
    if (this.#mayClose()) return 0;
    return this.#tables.earliest().some((time) => time !== undefined) ? Math.min(wait, clockEveryMs) : wait;
  }

  #pendingWait(now: number): number {
    if (this.#pendingMessages >= fullMessages || this.#pendingBytes >= fullBytes) return 0;
    const age = now - this.#firstAt;
    if (this.#pendingMessages < some) return Math.max(0, fewWaitMs - age);
    return Math.max(0, Math.min(someWaitMs - age, quietMs - (now - this.#lastAt)));
  }

  /** Whether the watermark has passed the end of a window that may have rows. */
  #mayClose(): boolean {
    const { select } = this.#tools;
    const until = this.#closing();
    if (until === undefined || (this.#until !== undefined && until <= this.#until)) return false;
    const length = select.window?.kind === 'session' ? BigInt(select.window.gap) : 0n;
    // A session that goes on has an early row for long.
    const step = select.window?.kind === 'session' ? length / 10n : 0n;
    if (this.#until !== undefined && until < this.#until + step) return false;
    return this.#tables.earliest().some((time) => time !== undefined && time + length < until);
  }

  #closing(): bigint | undefined {
    const { select } = this.#tools;
    const watermark = select.window && watermarkOf(this.#state.clocks);
    return watermark === undefined ? undefined : closedBy(select.window, watermark);
  }

  async #commit(): Promise<void> {
    this.#urgent = false;
    const startTime = Math.round((performance.timeOrigin + performance.now()) * 1000);
    const began = performance.now();
    const waiters = this.#waiters.splice(0);
    try {
      const taken = await this.#take();
      const { pending, add, remove, entry } = taken;
      // A dead letter may come twice, but is not lost.
      const acknowledged: Delivery[] = [];
      for (const { source, batch } of pending) {
        keepAcknowledgements(batch, acknowledged);
        await (this.#tools.sources[source] as PumpedSource).bad.settle(batch, this.#tools.signal);
      }
      const released = this.identifiers.some(({ hasChanged }) => hasChanged);
      const commits = this.identifiers.map((identifiers, source) =>
        identifiers.commit(identifiersOf(pending.filter((one) => one.source === source))),
      );
      const control = this.#write(
        commits.map(({ received }) => received),
        entry,
      );
      const bytes = add.reduce((sum, { data }) => sum + data.byteLength, 0);
      const stateBytes = this.#segments.bytes + outboxBytes(control.outbox);
      const kind = taken.isSnapshot ? 'snapshot' : 'delta';
      const checkpoint = { epoch: control.epoch, startTime, bytes, stateBytes, kind } as const;
      const isNeeded = pending.length + add.length + remove.length + waiters.length > 0;
      if (isNeeded || released)
        await this.#tools.store.commit({ control: JSON.stringify(control), add, remove, checkpoint });
      for (const { done } of commits) done();
      if (entry) this.#outbox?.add(entry);
      this.#acknowledge(pending, acknowledged);
      this.#checkpointMs = performance.now() - began;
      await this.#measure(performance.now());
      for (const { resolve } of waiters) resolve();
    } catch (error) {
      for (const { reject } of waiters) reject(error);
      throw error;
    }
  }

  /** Takes the rows that arrived, and the results of windows that close. */
  async #take() {
    const taking = Promise.withResolvers<void>();
    this.#taking = taking.promise;
    try {
      const pending = this.#pending;
      this.#pending = [];
      this.#pendingMessages = 0;
      this.#pendingBytes = 0;
      const add: { segment: number; data: Uint8Array }[] = [];
      const remove: number[] = this.#outbox?.takeDone() ?? [];
      for (const { leaf, data, lastTime } of await this.#tables.take()) {
        this.#isOld = true;
        const segment = this.#segments.number();
        add.push({ segment, data });
        const last = String(lastTime);
        this.#segments.add({ segment, kind: 'rows', of: leaf, bytes: data.byteLength, last, base: false });
      }
      this.#keys(add);
      const isSnapshot = this.#replace(add, remove);
      const entry = await (this.#tools.select.window ? this.#closeWindows(add) : this.#update(add));
      remove.push(...this.#expire());
      if (this.#segments.wantsSnapshot && !this.#snapshot && !this.#isOld) this.#beginSnapshot();
      return { pending, add, remove, entry, isSnapshot };
    } finally {
      this.#taking = undefined;
      taking.resolve();
    }
  }

  #keys(add: { segment: number; data: Uint8Array }[]): void {
    for (const [of, duplicates] of this.#state.duplicates.entries()) {
      const taken = duplicates?.take();
      if (!taken) continue;
      const segment = this.#segments.number();
      add.push({ segment, data: taken.data });
      const last = String(taken.last);
      this.#segments.add({ segment, kind: 'keys', of, bytes: taken.data.byteLength, last, base: false });
    }
  }

  async #closeWindows(add: { segment: number; data: Uint8Array }[]): Promise<OutboxEntry | undefined> {
    this.#isOld = false;
    const until = this.#closing();
    if (until === undefined || (this.#until !== undefined && until <= this.#until)) return undefined;
    const { count, data } = await this.#tables.closeWindows(
      this.#until,
      until,
      this.#closesEarly && until >= this.#lastEnd,
    );
    await this.#tables.trim(until);
    // Nothing comes after the end of all sources, and rows of a later run may.
    if (until < this.#lastEnd) this.#until = until;
    return data && this.#entry(count, data, add);
  }

  async #update(add: { segment: number; data: Uint8Array }[]): Promise<OutboxEntry | undefined> {
    const now = performance.now();
    if (!this.#isOld || (now - this.#evaluatedAt < updateEveryMs && !this.#ending)) return undefined;
    this.#evaluatedAt = now;
    this.#isOld = false;
    const { count, data } = await this.#tables.changes();
    this.#control.evaluated = this.#segments.next - 1;
    await this.#forget(now);
    return data && this.#entry(count, data, add);
  }

  /** Forgets rows that are older than the query wants them. A snapshot makes that last. */
  async #forget(now: number): Promise<void> {
    if (now - this.#forgotAt < forgetEveryMs) return;
    this.#forgotAt = now;
    const { ttl } = this.#tools.select.limits;
    const olderThan = BigInt(Math.round((performance.timeOrigin + now) * 1000)) - BigInt(ttl);
    if ((await this.#tables.forget(olderThan)) > 0 && !this.#snapshot) this.#beginSnapshot();
  }

  #entry(count: number, data: Uint8Array, add: { segment: number; data: Uint8Array }[]): OutboxEntry {
    const segment = this.#segments.number();
    add.push({ segment, data });
    this.#unread.set(segment, data);
    this.#tools.counts.add({ rows_out: count });
    return { segment, bytes: data.byteLength, count, done: 0, flying: null };
  }

  /** Segments whose rows or keys are needed no more. */
  #expire(): number[] {
    const earliest = this.#tables.earliest();
    const hasWindow = this.#tools.select.window !== undefined;
    return this.#segments.remove(({ kind, of, last }) => {
      if (kind === 'keys') return this.#state.duplicates[of]?.isOver(Number(last)) ?? true;
      const first = earliest[of];
      return hasWindow && (first === undefined || BigInt(last) < first);
    });
  }

  /** Writes all rows anew while commits go on. A later commit puts them in place of what they replace. */
  #beginSnapshot(): void {
    const upTo = this.#segments.next - 1;
    this.#snapshot = this.#tables
      .snapshot()
      .then((segments) => {
        this.#replacing = { upTo, segments };
        this.#soon();
      })
      .finally(() => {
        this.#snapshot = undefined;
      });
    this.#snapshot.catch((error: unknown) => this.#fail(error));
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    this.#tools.warn(error instanceof PenstockError ? error : new PenstockError('internal', String(error)));
  }

  #replace(add: { segment: number; data: Uint8Array }[], remove: number[]): boolean {
    const replacing = this.#replacing;
    if (!replacing) return false;
    this.#replacing = undefined;
    const { upTo, segments } = replacing;
    const replaced = this.#segments.all.filter(({ kind, segment }) => kind === 'rows' && segment <= upTo);
    const lastOf = (leaf: number) =>
      replaced.reduce(
        (last, one) => (one.of === leaf && BigInt(one.last) > last ? BigInt(one.last) : last),
        0n,
      );
    const lasts = segments.map(({ leaf }) => String(lastOf(leaf)));
    remove.push(...this.#segments.remove((one) => replaced.includes(one)));
    for (const [index, { leaf, data }] of segments.entries()) {
      const segment = this.#segments.number();
      add.push({ segment, data });
      const last = lasts[index] as string;
      this.#segments.add({ segment, kind: 'rows', of: leaf, bytes: data.byteLength, last, base: true });
    }
    return true;
  }

  #write(received: readonly number[][], entry: OutboxEntry | undefined): Control {
    const control = this.#control;
    control.epoch += 1;
    control.until = this.#until === undefined ? null : String(this.#until);
    control.sources = this.#state.clocks.map(({ own }, index) => ({
      watermark: own === undefined ? null : String(own),
      session: this.#tools.sources[index]?.session ?? null,
      received: received[index] ?? [],
    }));
    control.segments = [...this.#segments.all];
    control.nextSegment = this.#segments.next;
    control.outbox = [...(this.#outbox?.entries() ?? control.outbox), ...(entry ? [entry] : [])];
    control.nextIdentifier = this.#outbox?.nextIdentifier ?? control.nextIdentifier;
    return control;
  }

  #acknowledge(pending: readonly Pending[], others: readonly Delivery[]): void {
    for (const { batch, acknowledged } of pending) {
      const { messages, failures } = batch;
      messages.forEach((delivery, index) => {
        if (!failures.has(index)) delivery.ack();
      });
      acknowledged();
      this.#tools.counts.add({ in_flight: -messages.length });
      this.#tools.counts.confirmed(messages.length, messages[0]?.receivedAt ?? 0);
    }
    for (const delivery of others) delivery.ack();
  }

  async #measure(now: number): Promise<void> {
    clearTimeout(this.#measuring);
    if (now - this.#measuredAt < measureEveryMs) {
      // A job may fall quiet now.
      this.#measuring = setTimeout(
        () => void this.#measure(performance.now()).catch(() => {}),
        measureEveryMs,
      );
      return;
    }
    this.#measuredAt = now;
    const { bytes } = await this.#tables.size();
    this.#stateBytes = bytes + this.#state.duplicates.reduce((sum, one) => sum + (one?.bytes ?? 0), 0);
    const watermark = watermarkOf(this.#state.clocks);
    const known = watermark === undefined || watermark >= endOfTime ? null : Number(watermark);
    const { count } = await this.#tables.openWindows(this.#until ?? -endOfTime);
    this.#tools.counts.state({
      watermark: known,
      watermarkLagMs: known === null ? null : performance.timeOrigin + now - known / 1000,
      openWindows: count,
      closedWindows: this.#control.closed,
      lateRows: this.#control.late,
      stateBytes: this.#segments.bytes,
      checkpointMs: this.#checkpointMs,
    });
  }
}

const whenAborted = (signal: AbortSignal): Promise<never> => {
  const { promise, reject } = Promise.withResolvers<never>();
  promise.catch(() => {});
  const fail = () => reject(signal.reason);
  if (signal.aborted) fail();
  else signal.addEventListener('abort', fail, { once: true });
  return promise;
};

const never = <T = never>(): Promise<T> => new Promise<T>(() => {});

function bytesOf(messages: readonly Delivery[]): number {
  let sum = 0;
  for (const { payload } of messages) sum += payload.length;
  return sum;
}

const identifiersOf = (pending: readonly Pending[]): number[] =>
  pending.flatMap(({ batch }) => batch.messages.flatMap(({ identifier }) => identifier ?? []));

/** Failed messages are acknowledged with the commit, after their dead letters are stored. */
function keepAcknowledgements(batch: Batch<Delivery>, acknowledged: Delivery[]): void {
  for (const index of batch.failures.keys()) {
    const delivery = batch.messages[index] as Delivery;
    const { payload, metadata, receivedAt, identifier } = delivery;
    const kept: Delivery = { payload, metadata, receivedAt, ack: () => acknowledged.push(delivery) };
    batch.messages[index] = identifier === undefined ? kept : { ...kept, identifier };
  }
}
