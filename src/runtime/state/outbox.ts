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
  #idle = Promise.withResolvers<void>();
  #ending = false;

  constructor(tools: OutboxTools, entries: readonly OutboxEntry[], nextIdentifier: number) {
    this.#tools = tools;
    this.#entries = entries.map((entry) => ({ ...entry }));
    this.#nextIdentifier = nextIdentifier;
    this.#encode = changesEncoder(tools.table);
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

  /** Resolves when the sink has confirmed something after it was full. */
  get settled(): Promise<void> {
    return this.#idle.promise;
  }

  /** Writes until it is ended. Rejects when the sink is lost. */
  async run(): Promise<void> {
    const written = new Set<OutboxEntry>();
    while (true) {
      const entry = this.#entries.find((one) => !written.has(one) && one.done < one.count);
      if (!entry) {
        if (this.#ending) break;
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
        continue;
      }
      if (this.#tools.sink.exact) await this.#writeExactly(entry, this.#tools.sink.exact);
      else await this.#write(entry);
      written.add(entry);
    }
    await this.#confirmed(0);
  }

  /** Writes that are not confirmed, in order. */
  readonly #writing: { size: number; done: Promise<void> }[] = [];

  async #write(entry: OutboxEntry): Promise<void> {
    const { sink, window } = this.#tools;
    let skip = entry.done;
    let chunk: Change[] = [];
    const flush = async (): Promise<void> => {
      const changes = chunk;
      chunk = [];
      if (changes.length === 0) return;
      await this.#confirmed(window - changes.length);
      const messages = this.#encoded(changes);
      const written = messages.length > 0 ? sink.write(messages) : Promise.resolve<Refusal[]>([]);
      const done = written.then(
        (refusals) => this.#settle(entry, changes.length, messages, refusals),
        (error: unknown) => {
          throw this.#tools.sinkError(error);
        },
      );
      done.catch(() => {});
      this.#writing.push({ size: changes.length, done });
    };
    for await (const piece of this.#tools.read(entry))
      for (const change of piece) {
        if (skip > 0) {
          skip -= 1;
          continue;
        }
        chunk.push(change);
        if (chunk.length >= Math.min(chunkSize, window)) await flush();
      }
    await flush();
    if (!this.#ending && this.#entries.at(-1) !== entry) return;
    // The sink may hold what it has until more comes; nothing else asks for it.
    if (this.#ending) this.#tools.sink.flush?.();
    void this.#confirmed(0).catch(() => {});
  }

  /** Waits until at most `most` results wait for the sink. */
  async #confirmed(most: number): Promise<void> {
    const waiting = () => this.#writing.reduce((sum, { size }) => sum + size, 0);
    while (this.#writing.length > 0 && waiting() > Math.max(0, most)) {
      this.#tools.sink.flush?.();
      await this.#writing[0]?.done;
      this.#writing.shift();
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
    this.#idle.resolve();
    this.#idle = Promise.withResolvers<void>();
    this.#tools.changed();
  }

  /** Commits identifiers before their messages are published, and that these are published before the identifiers end. */
  async #writeExactly(entry: OutboxEntry, exact: NonNullable<Sink['exact']>): Promise<void> {
    const size = Math.max(1, Math.min(chunkSize, exact.maxInFlight));
    let skip = entry.done;
    let chunk: Change[] = [];
    const flush = async (): Promise<void> => {
      const changes = chunk;
      chunk = [];
      if (changes.length > 0) await this.#publish(entry, changes, exact);
    };
    for await (const piece of this.#tools.read(entry))
      for (const change of piece) {
        if (skip > 0) {
          skip -= 1;
          continue;
        }
        chunk.push(change);
        if (chunk.length >= (entry.flying?.size ?? size)) await flush();
      }
    await flush();
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
