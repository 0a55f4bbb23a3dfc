import type { Delivery, Sink } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import type { Change } from '../../formats/json/changes.ts';
import type { TableDefinition } from '../../sql/plan.ts';
import { endOfTime } from '../../sql/state/source-clock.ts';
import { deadLetterFailure } from '../bad-messages.ts';
import type { InputMessage } from '../batch-processor.ts';
import { delay } from '../delay.ts';
import type { DeadLetterFailure } from '../operations.ts';
import { type CommitTools, Committer, type PumpedSource } from './committer.ts';
import type { OutboxEntry } from './control.ts';
import type { CommittedIdentifiers } from './identifiers.ts';
import { Outbox } from './outbox.ts';
import { bytesOf } from './pending.ts';
import { SourceInput } from './source-input.ts';
import { type RestoredState, restoreState } from './state.ts';

const roomEveryMs = 20;

interface PumpTools extends CommitTools {
  sink: TableDefinition;
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

/**
 * The path of messages through a stateful select. A commit stores the rows that arrived, the results of windows that closed, and
 * what identifies the messages; then the messages are acknowledged and the results are written. One commit runs at a time, while
 * the next rows are computed.
 */
export class StatefulPump {
  readonly #tools: PumpTools;
  readonly #state: RestoredState;
  readonly #inputs: readonly SourceInput[];
  readonly #committer: Committer;
  #isFull = false;

  static async open(tools: PumpTools): Promise<StatefulPump> {
    const { select, sources, sink, store } = tools;
    const tables = sources.map(({ table }) => table);
    const state = await restoreState(select, tables, sink.schema.fields ?? [], store);
    const inputs: SourceInput[] = [];
    try {
      for (const [index, source] of tables.entries()) {
        const clock = state.clocks[index] as RestoredState['clocks'][number];
        const nextChange = () => BigInt(state.control.nextChange++);
        const given = { index, source, clock, schemas: sources[index]?.schemas };
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
    this.#committer = new Committer(tools, state);
  }

  /** The packet identifiers of each source. */
  get identifiers(): readonly CommittedIdentifiers[] {
    return this.#committer.identifiers;
  }

  /** Whether nothing is committed yet. */
  get isNew(): boolean {
    return this.#state.control.epoch === 0;
  }

  /** Commits while work is done, such as opening sources and reading them. Ends when the work does. */
  commitDuring<T>(work: () => Promise<T>): Promise<T> {
    return this.#committer.loop.during(work);
  }

  /** Reads the sources until all have ended, and writes the results. `isDrained` says whether a source ended by request. */
  async run(sources: readonly AsyncIterable<Delivery[]>[], run: PumpRun): Promise<void> {
    const outbox = this.#openOutbox(run);
    this.#committer.outbox = outbox;
    const writing = outbox.run();
    writing.catch(() => {});
    const reading = Promise.all(
      sources.map(async (source, index) => {
        await this.#read(index, source, run);
        const clock = this.#state.clocks[index];
        if (clock && !run.isDrained()) clock.ended = true;
      }),
    );
    const lost = whenAborted(run.failed);
    await Promise.race([reading, writing.then(() => never()), lost]);
    this.#committer.ending = true;
    await this.#committer.loop.next();
    if (this.#committer.closesEarly) {
      // What the watermark has passed is closed by the commit before.
      for (const clock of this.#state.clocks) clock.ended = true;
      await this.#committer.loop.next();
    }
    outbox.end();
    await Promise.race([writing, lost]);
    await this.#committer.loop.next();
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
      await input.reader.ready(deliveries);
      for (const batch of input.reader.batches(deliveries, () => {})) {
        const prepared = await input.prepare(batch);
        while (this.#committer.taking !== undefined) await this.#committer.taking;
        input.add(this.#state.tables, prepared, this.#committer.until);
        for (const [index, { message }] of batch.messages.entries())
          failures.set(message, deadLetterFailure(batch, index));
      }
    }
    await this.#committer.loop.next();
    return messages.map((message) => failures.get(message));
  }

  /** Closes all windows at the end, as if all sources had ended. */
  closeEarly(): void {
    this.#committer.closesEarly = true;
  }

  async close(): Promise<void> {
    await this.#committer.close();
    for (const input of this.#inputs) await input.close();
    await this.#state.tables.close();
  }

  #openOutbox({ sink, window, sinkError }: PumpRun): Outbox {
    const { counts, sink: table } = this.#tools;
    const tools: ConstructorParameters<typeof Outbox>[0] = {
      ...{ sink, sinkError, table, window },
      read: (entry) => this.#results(entry),
      refused: (error) => this.#refused(error),
      wrote: (messages) => {
        const bytes = messages.reduce((sum, { payload }) => sum + payload.length, 0);
        counts.add({ messages_out: messages.length, bytes_out: bytes });
      },
      commit: () => this.#committer.loop.next(),
      changed: () => this.#committer.loop.changed(),
    };
    return new Outbox(tools, this.#state.control.outbox, this.#state.control.nextIdentifier);
  }

  async #read(index: number, deliveries: AsyncIterable<Delivery[]>, run: PumpRun): Promise<void> {
    const { sources, counts } = this.#tools;
    const input = this.#inputs[index] as SourceInput;
    const { bad } = sources[index] as PumpedSource;
    for await (const messages of deliveries) {
      if (messages.length === 0) {
        input.clock.heard();
        continue;
      }
      counts.add({ batches: 1, messages_in: messages.length, bytes_in: bytesOf(messages) });
      await input.reader.ready(messages);
      for (const batch of input.reader.batches(messages, bad.failed)) {
        const prepared = await input.prepare(batch);
        this.#tools.signal.throwIfAborted();
        await this.#room(index, run);
        while (this.#committer.taking !== undefined) await this.#committer.taking;
        const late = input.add(this.#state.tables, prepared, this.#committer.until);
        counts.add({ rows_in: batch.rows.length, in_flight: batch.messages.length });
        const acknowledged = counts.waiting(batch.messages[0]?.receivedAt ?? 0);
        this.#committer.add({ source: index, batch, late, acknowledged });
        this.#committer.loop.changed();
      }
    }
  }

  /**
   * Waits while too much is on its way: messages to the commit, results to the sink, or rows in open windows. A source that waits
   * here is not idle: its windows stay open for what it has.
   */
  async #room(index: number, { isDrained }: PumpRun): Promise<void> {
    const { pending } = this.#committer;
    while (pending.isFull || this.#committer.outbox?.isFull || (!isDrained() && this.#mustWait(index))) {
      this.#state.clocks[index]?.heard();
      await delay(roomEveryMs, this.#tools.signal);
    }
  }

  /** Whether the state is full. Rows of the source that is behind the others go in, as they let windows close. */
  #mustWait(index: number): boolean {
    if (!this.#isStateFull()) return false;
    if (!this.#tools.select.window) return true;
    const { clocks } = this.#state;
    const own = clocks[index]?.now() ?? -endOfTime;
    return !clocks.some((clock) => !clock.ended && (clock.now() ?? -endOfTime) > own);
  }

  #isStateFull(): boolean {
    const { limits } = this.#tools.select;
    const wasFull = this.#isFull;
    this.#isFull = this.#committer.bytes > limits.maxStateBytes;
    if (!this.#isFull) return false;
    const megabytes = Math.round(limits.maxStateBytes / 1e6);
    const error = new PenstockError('state_full', `The open windows hold more than ${megabytes} MB`);
    if (limits.whenFull === 'fail') throw error;
    if (!wasFull) this.#tools.warn(error);
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

  async *#results(entry: OutboxEntry): AsyncGenerator<readonly Change[]> {
    const data = await this.#committer.results(entry);
    if (this.#tools.select.window) yield* this.#windowResults(data);
    else yield* this.#state.tables.readChanges(data);
  }

  /** Results come in the order of their windows' ends. */
  async *#windowResults(data: Uint8Array): AsyncGenerator<readonly Change[]> {
    let last: bigint | undefined;
    for await (const { rows, ends } of this.#state.tables.readResults(data)) {
      for (const end of ends) {
        if (end !== last) this.#state.control.closed += 1;
        last = end;
      }
      yield rows.map((after) => ({ after }));
    }
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
