import type { Delivery, Identity, Logger, RunContext, Sink, Source } from '../connectors/connector.ts';
import { metadataCodec } from '../connectors/metadata.ts';
import type { CachedSchemas } from '../connectors/schema-registry/schemas.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { usesRegistry } from '../formats/confluent.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { openTransform } from '../sql/open-transform.ts';
import type { StatefulSelect, TableDefinition } from '../sql/plan.ts';
import { BadMessages } from './bad-messages.ts';
import { BatchProcessor } from './batch-processor.ts';
import type { AttemptCounts } from './counts.ts';
import { throttle } from './delay.ts';
import type {
  AttemptOperations,
  DeadLetterFailure,
  DeadLetterStore,
  PositionStore,
  ReplayedDeadLetter,
  StateStore,
  TaskSession,
} from './operations.ts';
import { Positions } from './positions.ts';
import { arrivalOf, RowPump } from './row-pump.ts';
import type { StatefulPump } from './state/pump.ts';
import { ofSource, ofSources, sourceIdentity, type TaskEnd, type TaskSpec, windowOf } from './task-spec.ts';

interface AttemptTools {
  running(): void;
  warn(error: PenstockError, operatorId?: string): void;
  session(source: number): TaskSession;
  positions(source: number): PositionStore;
  states: StateStore;
  deadLetters: DeadLetterStore;
  counts: AttemptCounts;
  logger: Logger;
}

type Given<K extends keyof RunContext<unknown, unknown>> = {
  [P in K]?: RunContext<unknown, unknown>[P] | undefined;
};

interface Opened {
  close(): Promise<void> | void;
}

interface Opening {
  /** Aborted by the first failure. */
  failed: AbortController;
  signal: AbortSignal;
  /** To close at the end, in reverse order. */
  open: Opened[];
}

/**
 * One connection of a task's source and sink. Reads, transforms and writes messages, and acknowledges each after the sink
 * has confirmed its results. Keeps invariants 1 to 4 of docs/delivery.md.
 */
export class Attempt implements AttemptOperations {
  readonly #spec: TaskSpec;
  readonly #tools: AttemptTools;
  readonly #counts: AttemptCounts;
  readonly #cancel = new AbortController();
  readonly #bad: BadMessages;
  readonly #fromSink = new WeakSet<PenstockError>();
  #rows: RowPump | undefined;
  #pump: StatefulPump | undefined;
  #sources: readonly Source[] = [];
  #drained = false;

  constructor(spec: TaskSpec, tools: AttemptTools) {
    this.#spec = spec;
    this.#tools = tools;
    this.#counts = tools.counts;
    this.#bad = new BadMessages(spec, tools);
  }

  /** Runs until stopped or until the source ends. Otherwise rejects with the error that ended it. Call it once. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (!this.#cancel.signal.aborted) throw error;
    }
  }

  /** Whether an error of `run` came from the sink. */
  isFromSink(error: unknown): boolean {
    return error instanceof PenstockError && this.#fromSink.has(error);
  }

  /**
   * Processes dead letters again, interleaved with the messages of the source, and acknowledges nothing. Returns the failure of each,
   * or undefined when not connected. Rejects if it is unknown what was written.
   */
  async replay(
    deadLetters: readonly ReplayedDeadLetter[],
  ): Promise<(DeadLetterFailure | undefined)[] | undefined> {
    const [rows, pump] = [this.#rows, this.#pump];
    if (!rows && !pump) return undefined;
    const decoders = ofSources(this.#spec).map(({ source }) => metadataCodec(source.connector.metadata));
    const messages = deadLetters.map(({ payload, metadata, left, source }) => ({
      ...(left ? { left } : {}),
      payload: Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength),
      metadata: decoders[source]?.decode(Buffer.from(metadata)) ?? {},
      source,
    }));
    return rows ? rows.replay(messages) : pump?.replay(messages);
  }

  /** Takes no more messages and finishes those in flight. */
  async drain(): Promise<void> {
    this.#drained = true;
    if (this.#sources.length === 0) this.stop();
    for (const source of this.#sources) await source.drain();
  }

  /** The same, and closes all open windows. */
  async finish(): Promise<void> {
    this.#pump?.closeEarly();
    await this.drain();
  }

  allConnected(): void {
    for (const source of this.#sources) source.allConnected?.();
  }

  /** Stops at once. Unacknowledged messages stay with the broker. */
  stop(): void {
    this.#cancel.abort(new Error('the task was stopped'));
  }

  async #run(): Promise<void> {
    const failed = new AbortController();
    const signal = AbortSignal.any([this.#cancel.signal, failed.signal]);
    const open: Opened[] = [];
    try {
      const { select } = this.#spec.insert;
      if (select.kind === 'stateful') await this.#runStateful(select, { failed, signal, open });
      else await this.#runRows({ failed, signal, open });
    } finally {
      this.#sources = [];
      this.#rows = undefined;
      this.#pump = undefined;
      // The sources first: they send the acknowledgements that are due.
      for (const opened of open.reverse()) await opened.close();
    }
  }

  async #runRows({ failed, signal, open }: Opening): Promise<void> {
    const transform = await openTransform(this.#spec.insert);
    open.push(transform);
    const insert = { ...this.#spec.insert, sink: await this.#sinkTable(signal) };
    const schemas = await this.#openSchemas(this.#spec, signal, open);
    const { connector, config } = this.#spec.sink;
    const transactional = connector.transactional?.(config) !== undefined;
    const sink = await this.#openSink(signal, failed, { transactional });
    open.push(sink);
    const source = await this.#openSource(0, signal, open, { transactions: sink.transactions });
    this.#sources = [source];
    const rows = new RowPump({
      processor: new BatchProcessor(insert, transform, sink, schemas),
      ...{ bad: this.#bad, counts: this.#counts, window: windowOf(this.#spec), failed, signal },
      sinkError: (error) => this.#sinkError(error),
    });
    this.#rows = rows;
    this.#tools.running();
    await rows.run(this.#paced(this.#spec, source, signal));
  }

  async #runStateful(select: StatefulSelect, { failed, signal, open }: Opening): Promise<void> {
    const specs = ofSources(this.#spec);
    const { insert, sink: end } = this.#spec;
    const { counts, states: store } = this.#tools;
    const warn = (error: PenstockError): void => this.#tools.warn(error, insert.operatorIds.transform);
    const opening = specs.map(async (spec) => ({
      table: spec.insert.source,
      bad: new BadMessages(spec, this.#tools),
      session: spec.source.connector.session?.(spec.source.profile, sourceIdentity(spec)) ?? null,
      schemas: await this.#openSchemas(spec, signal, open),
    }));
    const sources = await Promise.all(opening);
    const table = await this.#sinkTable(signal);
    // It loads DuckDB, which other queries do without.
    const { StatefulPump } = await import('./state/pump.ts');
    const pump = await StatefulPump.open({ select, sources, sink: table, store, counts, warn, signal });
    open.push(pump);
    this.#pump = pump;
    await pump.commitDuring(async () => {
      const isExact = end.connector.exactlyOnce?.(end.config) === true;
      const exact = pump.isNew ? 'begin' : 'resume';
      const sink = await this.#openSink(signal, failed, isExact ? { exact } : {});
      open.push(sink);
      const opened: Source[] = [];
      for (const number of specs.keys())
        opened.push(await this.#openSource(number, signal, open, { received: pump.identifiers[number] }));
      this.#sources = opened;
      if (this.#drained) for (const source of opened) await source.drain();
      this.#tools.running();
      const paced = opened.map((source, number) => this.#paced(specs[number] as TaskSpec, source, signal));
      const window = windowOf(this.#spec);
      await pump.run(paced, {
        ...{ sink, window, failed: failed.signal },
        isDrained: () => this.#drained,
        sinkError: (error) => this.#sinkError(error),
      });
    });
  }

  /** The schemas of a source, if they are in a registry. The client of registries is loaded only then. */
  async #openSchemas(
    { source, insert }: TaskSpec,
    signal: AbortSignal,
    open: Opened[],
  ): Promise<CachedSchemas | undefined> {
    if (!usesRegistry(insert.source.schema.format)) return undefined;
    const { openSchemas } = await import('../connectors/schema-registry/schemas.ts');
    const schemas = openSchemas(source, insert.source.schema, signal);
    if (schemas) open.push(schemas);
    return schemas;
  }

  /** The table of the sink, with the id of its schema if that is in a registry. */
  async #sinkTable(signal: AbortSignal): Promise<TableDefinition> {
    const { sink, insert } = this.#spec;
    if (!usesRegistry(insert.sink.schema.format)) return insert.sink;
    try {
      const { withSchemaId } = await import('../connectors/schema-registry/subject.ts');
      return { ...insert.sink, schema: await withSchemaId(sink, insert.sink.schema, signal) };
    } catch (error) {
      throw this.#sinkError(error);
    }
  }

  /** The messages of a source, no faster than its table allows. */
  #paced({ source: { connector, config } }: TaskSpec, source: Source, signal: AbortSignal) {
    const { messagesPerSecond } = connector.pace?.(config) ?? {};
    return messagesPerSecond === undefined ? source : throttle(this.#held(source), messagesPerSecond, signal);
  }

  #context(end: TaskEnd, schema: ConnectionSchema, signal: AbortSignal) {
    const { jobId, taskIndex } = this.#spec;
    const { profile, targets, config, operatorId } = end;
    const identity: Identity = { jobId, operatorId, taskIndex };
    const window = windowOf(this.#spec);
    const warn = (error: PenstockError): void => this.#tools.warn(error, operatorId);
    const { logger } = this.#tools;
    return { profile, targets, table: config, schema, identity, window, signal, logger, warn };
  }

  async #openSource(
    number: number,
    signal: AbortSignal,
    open: Opened[],
    { received, transactions }: Given<'received' | 'transactions'>,
  ): Promise<Source> {
    const { source: end, insert } = ofSource(this.#spec, number);
    const { connector } = end;
    if (!connector.openSource)
      throw new PenstockError('invalid_query', `${connector.name} only writes: read another table`);
    const known = this.#tools.session(number);
    const session = await known.opening();
    const context = this.#context(end, insert.source.schema, signal);
    const position =
      connector.position && (await Positions.open(this.#tools.positions(number), context.warn));
    // Closed after the source, which commits the last position when it closes.
    if (position) open.push(position);
    const source = await connector.openSource({
      ...context,
      ...(session ? { session } : {}),
      ...(position ? { position } : {}),
      ...(received ? { received } : {}),
      ...(transactions ? { transactions } : {}),
    });
    open.push(source);
    if (source.session) await known.opened(source.session);
    return source;
  }

  async #openSink(
    signal: AbortSignal,
    failed: AbortController,
    how: Pick<RunContext<unknown, unknown>, 'exact' | 'transactional'>,
  ): Promise<Sink> {
    const { sink: end, insert } = this.#spec;
    const { connector } = end;
    if (!connector.openSink)
      throw new PenstockError('invalid_query', `${connector.name} only reads: write another table`);
    const lost = (error: PenstockError): void => failed.abort(this.#sinkError(error));
    try {
      const context = this.#context(end, insert.sink.schema, signal);
      return await connector.openSink({ ...context, lost, ...how });
    } catch (error) {
      throw this.#sinkError(error);
    }
  }

  /** Counts what a throttle holds as not acknowledged: it asks for more when it has handed out everything. */
  async *#held(source: AsyncIterable<Delivery[]>): AsyncGenerator<Delivery[]> {
    for await (const deliveries of source) {
      const handedOut = this.#counts.waiting(arrivalOf(deliveries));
      yield deliveries;
      handedOut();
    }
  }

  #sinkError(error: unknown): PenstockError {
    const raised = asPenstockError(error);
    this.#fromSink.add(raised);
    return raised;
  }
}
