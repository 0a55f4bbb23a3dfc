import { changesEncoder } from '../../connectors/changes.ts';
import type { Outgoing, Refusal, Sink } from '../../connectors/connector.ts';
import type { PenstockError } from '../../errors.ts';
import type { Change } from '../../formats/json/changes.ts';
import type { TableDefinition } from '../../sql/plan.ts';
import type { OutboxEntry } from './control.ts';

const chunkSize = 1000;
/** Results that may wait for the sink before no more messages are taken. */
const maxWaiting = 200_000;
const maxIdentifier = 65_535;

interface OutboxTools {
  sink: Sink;
  /** Marks an error as one of the sink. */
  sinkError(error: unknown): unknown;
  table: TableDefinition;
  /** Maximum number of messages that wait for the sink's confirmation. */
  window: number;
  /** The results of an entry, in order. */
  read(entry: OutboxEntry): AsyncIterable<readonly Change[]>;
  /** Handles a result that can never be written. Throws to end the job. */
  refused(error: PenstockError): void;
  wrote(messages: readonly Outgoing[]): void;
  /** Something is to be committed. Resolves with the commit. */
  commit(): Promise<void>;
  /** Something may be committed with the next commit. */
  changed(): void;
}

/** Writes committed results to the sink, in order. */
export class Outbox {
  readonly #tools: OutboxTools;
  readonly #entries: OutboxEntry[];
  readonly #encode: ReturnType<typeof changesEncoder>;
  #nextIdentifier: number;
  #wake = Promise.withResolvers<void>();
  #settled = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  #unconfirmed = 0;
  #last: Promise<unknown> = Promise.resolve();
  #ending = false;

  constructor(tools: OutboxTools, entries: readonly OutboxEntry[], nextIdentifier: number) {
    this.#tools = tools;
    this.#entries = entries.map((entry) => ({ ...entry }));
    this.#nextIdentifier = nextIdentifier;
    this.#encode = changesEncoder(tools.table);
    this.#failed.promise.catch(() => {});
  }

  get nextIdentifier(): number {
    return this.#nextIdentifier;
  }

  /** What a commit holds: entries with results that are not confirmed. */
  entries(): OutboxEntry[] {
    return this.#entries.filter(({ done, count }) => done < count).map((entry) => structuredClone(entry));
  }

  /** Segments that are needed no more. */
  takeDone(): number[] {
    const over = this.#entries.filter(({ done, count }) => done >= count);
    for (const entry of over) this.#entries.splice(this.#entries.indexOf(entry), 1);
    return over.map(({ segment }) => segment);
  }

  get hasDone(): boolean {
    return this.#entries.some(({ done, count }) => done >= count);
  }

  get waiting(): number {
    return this.#entries.reduce((sum, { count, done }) => sum + count - done, 0);
  }

  get isFull(): boolean {
    return this.waiting > maxWaiting;
  }

  /** Adds results that are committed. */
  add(entry: OutboxEntry): void {
    this.#entries.push(entry);
    this.#wake.resolve();
  }

  /** Ends `run` once everything is written. */
  end(): void {
    this.#ending = true;
    this.#wake.resolve();
  }

  /** Writes until it is ended. Rejects when the sink is lost. */
  async run(): Promise<void> {
    await Promise.race([this.#run(), this.#failed.promise]);
  }

  async #run(): Promise<void> {
    const written = new WeakSet<OutboxEntry>();
    while (true) {
      const entry = this.#entries.find((one) => !written.has(one) && one.done < one.count);
      if (!entry) {
        if (this.#ending) break;
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
        continue;
      }
      const { exact } = this.#tools.sink;
      if (exact) await this.#writeExactly(entry, exact);
      else await this.#write(entry);
      written.add(entry);
    }
    await this.#confirmed(0);
  }

  async #write(entry: OutboxEntry): Promise<void> {
    const { sink, window } = this.#tools;
    for await (const changes of this.#chunks(entry, () => Math.min(chunkSize, window))) {
      await this.#confirmed(window - changes.length);
      const messages = this.#encoded(changes);
      const size = changes.length;
      this.#unconfirmed += size;
      const written = messages.length > 0 ? sink.write(messages) : Promise.resolve<Refusal[]>([]);
      // Writes are confirmed in the order of their calls, or all fail.
      this.#last = Promise.all([this.#sinks(written), this.#last]).then(([refusals]) => {
        this.#unconfirmed -= size;
        this.#settle(entry, size, messages, refusals);
      });
      this.#last.catch(this.#failed.reject);
    }
  }

  /** The results of an entry that are not confirmed. `size` is asked before each piece. */
  async *#chunks(entry: OutboxEntry, size: () => number): AsyncGenerator<Change[]> {
    let skip = entry.done;
    let chunk: Change[] = [];
    for await (const piece of this.#tools.read(entry))
      for (const change of piece) {
        if (skip > 0) {
          skip -= 1;
          continue;
        }
        chunk.push(change);
        if (chunk.length < size()) continue;
        yield chunk;
        chunk = [];
      }
    if (chunk.length > 0) yield chunk;
  }

  /** Waits until at most `most` results wait for the sink. */
  async #confirmed(most: number): Promise<void> {
    while (this.#unconfirmed > Math.max(0, most)) {
      this.#tools.sink.flush?.();
      await Promise.race([this.#settled.promise, this.#failed.promise]);
    }
  }

  #encoded(changes: readonly Change[]): Outgoing[] {
    return this.#encode(changes, (_, error) => this.#tools.refused(error)).messages;
  }

  #settle(
    entry: OutboxEntry,
    count: number,
    messages: readonly Outgoing[],
    refusals: readonly Refusal[],
  ): void {
    for (const { error } of refusals) this.#tools.refused(error);
    const refused = new Set(refusals.map(({ index }) => index));
    this.#tools.wrote(messages.filter((_, index) => !refused.has(index)));
    entry.done += count;
    this.#settled.resolve();
    this.#settled = Promise.withResolvers<void>();
    this.#tools.changed();
  }

  /** Commits identifiers before their messages are published, and that these are published before the identifiers end. */
  async #writeExactly(entry: OutboxEntry, exact: NonNullable<Sink['exact']>): Promise<void> {
    const most = Math.max(1, Math.min(chunkSize, exact.maxInFlight));
    const size = () => entry.flying?.size ?? most;
    for await (const changes of this.#chunks(entry, size)) await this.#publish(entry, changes, exact);
  }

  async #publish(
    entry: OutboxEntry,
    changes: readonly Change[],
    exact: NonNullable<Sink['exact']>,
  ): Promise<void> {
    const messages = this.#encoded(changes);
    const known = entry.flying;
    const again = known !== null && exact.resumed;
    const identifiers = known?.identifiers ?? messages.map(() => this.#identifier());
    // What a lost session had published is unknown.
    const published = known?.published === true && exact.resumed;
    const flight = { identifiers, size: changes.length, published };
    entry.flying = flight;
    if (!known || known.published !== published) await this.#tools.commit();
    let refusals: Refusal[] = [];
    if (!flight.published) {
      const numbered = messages.map((message, index) => ({
        identifier: flight.identifiers[index] as number,
        message,
      }));
      refusals = await this.#sinks(exact.publish(numbered, again));
      entry.flying = { ...flight, published: true };
      await this.#tools.commit();
    }
    const refused = new Set(refusals.map(({ index }) => flight.identifiers[index]));
    await this.#sinks(exact.release(flight.identifiers.filter((identifier) => !refused.has(identifier))));
    entry.flying = null;
    this.#settle(entry, changes.length, messages, refusals);
  }

  #sinks<T>(work: Promise<T>): Promise<T> {
    return work.catch((error: unknown) => {
      throw this.#tools.sinkError(error);
    });
  }

  #identifier(): number {
    const identifier = this.#nextIdentifier;
    this.#nextIdentifier = identifier === maxIdentifier ? 1 : identifier + 1;
    return identifier;
  }
}
