import type { Delivery } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import type { RegisteredSchemas } from '../../formats/registered.ts';
import type { StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import type { Results } from '../../sql/state/result-reader.ts';
import type { BadMessages } from '../bad-messages.ts';
import type { AttemptCounts } from '../counts.ts';
import type { StateStore } from '../operations.ts';
import { CommitLoop } from './commit-loop.ts';
import type { Control, OutboxEntry } from './control.ts';
import { Evaluation } from './evaluation.ts';
import { Gauges } from './gauges.ts';
import { CommittedIdentifiers } from './identifiers.ts';
import type { Outbox } from './outbox.ts';
import {
  acknowledge,
  fewWaitMs,
  identifiersOf,
  keepAcknowledgements,
  type PendingBatch,
  PendingBatches,
} from './pending.ts';
import { Rewriting } from './rewriting.ts';
import { type NewSegment, outboxBytes, type RestoredState, Segments } from './state.ts';

export interface PumpedSource {
  table: TableDefinition;
  bad: BadMessages;
  /** Name of its session with the other side. */
  session: string | null;
  /** Of a source whose schemas are in a registry. */
  schemas?: RegisteredSchemas | undefined;
}

export interface CommitTools {
  select: StatefulSelect;
  sources: readonly PumpedSource[];
  store: StateStore;
  counts: AttemptCounts;
  warn(error: PenstockError): void;
  signal: AbortSignal;
}

/** What a commit holds besides the control. */
interface Taken {
  pending: readonly PendingBatch[];
  add: readonly NewSegment[];
  remove: readonly number[];
  entry: OutboxEntry | undefined;
  /** Size of the snapshot that it names, if it does. */
  snapshotBytes: number | undefined;
  /** The watermarks of the rows that are committed: those of rows that come meanwhile are not. */
  watermarks: readonly (bigint | undefined)[];
}

/**
 * Commits the rows that arrived, the results of windows that closed, and what identifies the messages; then acknowledges the
 * messages, and hands the results to the outbox.
 */
export class Committer {
  readonly identifiers: readonly CommittedIdentifiers[];
  readonly loop: CommitLoop;
  readonly pending = new PendingBatches();
  readonly #tools: CommitTools;
  readonly #state: RestoredState;
  readonly #segments: Segments;
  readonly #evaluation: Evaluation;
  readonly #rewriting: Rewriting;
  readonly #gauges: Gauges;
  /** Segments that a crash left behind. */
  readonly #leftover: number[];
  /** Results that were committed and are not read yet. */
  readonly #unread = new Map<number, Uint8Array>();
  #taking: Promise<void> | undefined;
  /** Set once there is a sink. */
  outbox: Outbox | undefined;
  /** Whether no more messages come, and whether all windows close then. */
  ending = false;
  closesEarly = false;

  constructor(tools: CommitTools, state: RestoredState) {
    this.#tools = tools;
    this.#state = state;
    const segments = new Segments(state.control);
    this.#leftover = [...state.control.staging];
    this.#segments = segments;
    this.loop = new CommitLoop({
      waitMs: () => this.#waitMs(),
      commit: (isWanted) => this.#commit(isWanted),
    });
    const soon = () => this.loop.soon();
    this.#rewriting = new Rewriting({
      ...{ tables: state.tables, segments, store: tools.store, ready: soon },
      commit: () => this.loop.next(),
      failed: (error) => this.#fail(error),
    });
    this.#evaluation = new Evaluation({
      ...{ select: tools.select, state, lastSegment: () => segments.next - 1 },
      forgot: () => this.#rewriting.begin(),
    });
    this.#gauges = new Gauges({ state, segments, counts: tools.counts, until: () => this.until });
    this.identifiers = state.control.sources.map(({ received, session }, index) => {
      const isSame = session === (tools.sources[index]?.session ?? null);
      return new CommittedIdentifiers(isSame ? received : [], soon);
    });
  }

  /** Windows that end here or before are closed. */
  get until(): bigint | undefined {
    return this.#evaluation.until;
  }

  /** Bytes of the state in memory. */
  get bytes(): number {
    return this.#gauges.bytes;
  }

  /**
   * Set while rows are taken. Rows must not be added meanwhile: a commit would hold them without their messages. Look at it again right
   * before adding, as the next commit may have begun.
   */
  get taking(): Promise<void> | undefined {
    return this.#taking;
  }

  /** Adds the messages of rows that were just added. */
  add(pending: PendingBatch): void {
    if (this.#taking !== undefined) throw new Error('Rows were added while rows are taken');
    this.pending.add(pending);
  }

  /** The data of results. Can be called once for each entry. */
  async results({ segment }: OutboxEntry): Promise<Uint8Array> {
    const data = this.#unread.get(segment) ?? (await this.#tools.store.read(segment));
    this.#unread.delete(segment);
    return data;
  }

  /** Waits for what is running. */
  async close(): Promise<void> {
    this.#gauges.stop();
    await this.loop.settled();
    await this.#rewriting.settled();
  }

  /** Milliseconds until a commit is due, or until that has to be looked at again. */
  #waitMs(): number {
    if (this.#rewriting.isReady) return 0;
    const now = performance.now();
    const outbox = this.outbox?.hasDone ? fewWaitMs : Number.POSITIVE_INFINITY;
    return Math.min(outbox, this.pending.waitMs(now), this.#evaluation.waitMs(now));
  }

  async #commit(isWanted: boolean): Promise<void> {
    const began = performance.now();
    const taken = await this.#take();
    const { pending, entry } = taken;
    // A dead letter may come twice, but is not lost.
    const acknowledged: Delivery[] = [];
    for (const { source, batch } of pending) {
      keepAcknowledgements(batch, acknowledged);
      await (this.#tools.sources[source] as PumpedSource).bad.settle(batch, this.#tools.signal);
    }
    const released = this.identifiers.some(({ hasChanged }) => hasChanged);
    const commits = this.identifiers.map((identifiers, source) =>
      identifiers.commit(identifiersOf(pending, source)),
    );
    const received = commits.map((commit) => commit.received);
    await this.#store(taken, received, began, isWanted || released);
    for (const { done } of commits) done();
    if (entry) this.outbox?.add(entry);
    acknowledge(pending, acknowledged, this.#tools.counts);
    this.#gauges.checkpointMs = performance.now() - began;
    await this.#gauges.measure();
  }

  /** Stores a commit, unless it would say nothing new. */
  async #store(
    { pending, add, remove, entry, snapshotBytes, watermarks }: Taken,
    received: readonly number[][],
    began: number,
    isWanted: boolean,
  ): Promise<void> {
    const control = this.#write(received, watermarks, entry);
    for (const { late } of pending) control.late += late;
    if (!isWanted && pending.length + add.length + remove.length === 0) return;
    const checkpoint = {
      epoch: control.epoch,
      startTime: Math.round((performance.timeOrigin + began) * 1000),
      bytes: add.reduce((sum, { data }) => sum + data.byteLength, snapshotBytes ?? 0),
      stateBytes: this.#segments.bytes + outboxBytes(control.outbox),
      kind: snapshotBytes === undefined ? 'delta' : 'snapshot',
    } as const;
    const lastSegment = control.nextSegment - 1;
    await this.#tools.store.commit({
      control: JSON.stringify(control),
      ...{ add, remove, lastSegment, checkpoint },
    });
  }

  /** Takes the rows that arrived, and the results of windows that close. */
  async #take(): Promise<Taken> {
    const taking = Promise.withResolvers<void>();
    this.#taking = taking.promise;
    try {
      const pending = this.pending.take();
      const watermarks = this.#state.clocks.map(({ own }) => own);
      const add: NewSegment[] = [];
      const remove: number[] = [...this.#leftover.splice(0), ...(this.outbox?.takeDone() ?? [])];
      for (const { leaf, data, lastTime } of await this.#state.tables.take()) {
        this.#evaluation.changed();
        const last = String(lastTime);
        add.push(this.#segments.store(data, { kind: 'rows', of: leaf, last, base: false }));
      }
      for (const [of, duplicates] of this.#state.duplicates.entries()) {
        const keys = duplicates?.take();
        if (keys)
          add.push(
            this.#segments.store(keys.data, { kind: 'keys', of, last: String(keys.last), base: false }),
          );
      }
      const snapshotBytes = this.#rewriting.replace(remove);
      const entry = this.#entry(await this.#evaluation.compute(this.ending, this.closesEarly), add);
      remove.push(...this.#expire());
      if (this.#segments.wantsSnapshot && !this.#evaluation.isOld) this.#rewriting.begin();
      return { pending, add, remove, entry, snapshotBytes, watermarks };
    } finally {
      this.#taking = undefined;
      taking.resolve();
    }
  }

  #entry({ count, data }: Results, add: NewSegment[]): OutboxEntry | undefined {
    if (!data) return undefined;
    const segment = this.#segments.number();
    add.push({ segment, data });
    this.#unread.set(segment, data);
    this.#tools.counts.add({ rows_out: count });
    return { segment, bytes: data.byteLength, count, done: 0, flying: null };
  }

  /** Segments whose rows or keys are needed no more. */
  #expire(): number[] {
    const earliest = this.#state.tables.earliest();
    const hasWindow = this.#tools.select.window !== undefined;
    return this.#segments.remove(({ kind, of, last }) => {
      if (kind === 'keys') return this.#state.duplicates[of]?.isOver(Number(last)) ?? true;
      const first = earliest[of];
      return hasWindow && (first === undefined || BigInt(last) < first);
    });
  }

  #fail(error: unknown): void {
    this.loop.fail(error);
    this.#tools.warn(error instanceof PenstockError ? error : new PenstockError('internal', String(error)));
  }

  #write(
    received: readonly number[][],
    watermarks: readonly (bigint | undefined)[],
    entry: OutboxEntry | undefined,
  ): Control {
    const control = this.#state.control;
    const { until } = this.#evaluation;
    control.epoch += 1;
    control.until = until === undefined ? null : String(until);
    control.sources = watermarks.map((watermark, index) => ({
      watermark: watermark === undefined ? null : String(watermark),
      session: this.#tools.sources[index]?.session ?? null,
      received: received[index] ?? [],
    }));
    control.segments = [...this.#segments.all];
    control.staging = this.#rewriting.staging;
    control.nextSegment = this.#segments.next;
    control.outbox = [...(this.outbox?.entries() ?? control.outbox), ...(entry ? [entry] : [])];
    control.nextIdentifier = this.outbox?.nextIdentifier ?? control.nextIdentifier;
    return control;
  }
}
