import type { Delivery, Outgoing, ReceivedIdentifiers, Sink } from '../../src/connectors/connector.ts';
import { PenstockError } from '../../src/errors.ts';
import { BadMessages } from '../../src/runtime/bad-messages.ts';
import { AttemptCounts } from '../../src/runtime/counts.ts';
import type { DeadLetter, StateCommit, StateStore } from '../../src/runtime/operations.ts';
import { StatefulPump } from '../../src/runtime/state/pump.ts';
import type { TaskSpec } from '../../src/runtime/task-spec.ts';
import type { InsertPlan, StatefulSelect } from '../../src/sql/plan.ts';

/** A broker, a sink and a store that outlive the pump, and can end it at any call that it makes. */

/** The pump was killed. Nothing that it does afterwards has an effect. */
export const killed = new Error('the pump was killed');

interface Sent {
  text: string;
  identifier: number;
  /** The other side has heard that it was taken over: it only releases the identifier. */
  released?: true;
}

interface WorldOptions {
  insert: InsertPlan;
  /** Texts of the messages of each source, in batches. */
  inputs: readonly (readonly string[])[][];
  exact: boolean;
}

export class World {
  readonly #options: WorldOptions;
  /** Messages of each source that are not acknowledged for good, and batches that are not handed out. */
  readonly #open: Sent[][];
  readonly #next: number[];
  #control: string | undefined;
  readonly #segments = new Map<number, Uint8Array>();
  /** Messages that the sink holds by identifier until they are released. */
  readonly #held = new Map<number, string>();
  readonly written: { text: string; deleted: boolean }[] = [];
  readonly deadLetters: DeadLetter[] = [];
  readonly warnings: PenstockError[] = [];
  readonly counts = new AttemptCounts(() => {});
  commits = 0;
  #identifiers = 0;
  #generation = 0;
  /** Calls until the pump is killed. */
  #left = Number.POSITIVE_INFINITY;
  #abort = new AbortController();
  isDrained = false;
  /** Called before a batch is handed out, by its number. */
  gate: ((batch: number) => Promise<void>) | undefined;
  opened: ((pump: StatefulPump) => void) | undefined;

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#open = options.inputs.map(() => []);
    this.#next = options.inputs.map(() => 0);
  }

  get control() {
    return this.#control === undefined ? undefined : JSON.parse(this.#control);
  }

  get segments(): number {
    return this.#segments.size;
  }

  /** Messages that the source would send again. */
  get unacknowledged(): number {
    return this.#open.reduce((sum, { length }) => sum + length, 0);
  }

  /** Runs a pump until its sources end, or until it was killed after so many calls. Returns whether it came to the end. */
  async run(killAfter = Number.POSITIVE_INFINITY): Promise<boolean> {
    this.#generation += 1;
    this.#left = killAfter;
    this.#abort = new AbortController();
    const generation = this.#generation;
    const { insert } = this.#options;
    const { signal } = this.#abort;
    let pump: StatefulPump | undefined;
    try {
      pump = await StatefulPump.open({
        select: insert.select as StatefulSelect,
        ...{ sources: this.#sources(), sink: insert.sink, store: this.#store(generation) },
        ...{ counts: this.counts, warn: (error: PenstockError) => this.warnings.push(error), signal },
      });
      this.opened?.(pump);
      const { identifiers } = pump;
      const inputs = this.#open.map((_, index) => this.#source(generation, index, identifiers[index]));
      const run = {
        ...{ sink: this.#sink(generation), window: 1000, isDrained: () => this.isDrained },
        ...{ failed: signal, sinkError: (error: unknown) => error },
      };
      const running = pump;
      await running.commitDuring(() => running.run(inputs, run));
      return true;
    } catch (error) {
      if (error !== killed) throw error;
      return false;
    } finally {
      this.#generation += 1;
      this.#abort.abort(killed);
      await pump?.close();
    }
  }

  #sources() {
    const { insert } = this.#options;
    const tables = [insert.source, ...(insert.others ?? []).map(({ source }) => source)];
    return tables.map((table) => {
      const end = { connector: { metadata: [] }, operatorId: table.name };
      const spec = { insert: { ...insert, source: table }, source: end, taskIndex: 0 } as unknown as TaskSpec;
      const add = async (letters: readonly DeadLetter[]) => {
        this.deadLetters.push(...letters);
        return { stored: letters.length, evicted: 0 };
      };
      const warn = (error: PenstockError) => this.warnings.push(error);
      const bad = new BadMessages(spec, { counts: this.counts, deadLetters: { add }, warn });
      return { table, bad, session: 'session' };
    });
  }

  append(index: number, batch: readonly string[]): void {
    (this.#options.inputs[index] as (readonly string[])[]).push(batch);
  }

  async until(holds: () => boolean): Promise<void> {
    while (!holds() && !this.#abort.signal.aborted) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** A call of the pump. Kills it when its time has come. */
  #call(generation: number): void {
    if (generation !== this.#generation) throw killed;
    this.#left -= 1;
    if (this.#left > 0) return;
    this.#generation += 1;
    this.#abort.abort(killed);
    throw killed;
  }

  #store(generation: number): StateStore {
    return {
      load: async () => this.#control,
      read: async (segment) => {
        this.#call(generation);
        const data = this.#segments.get(segment);
        if (!data) throw new PenstockError('internal', `There is no segment ${segment}`);
        return data;
      },
      stage: async (segments) => {
        for (const { segment, data } of segments) {
          this.#call(generation);
          this.#segments.set(segment, data);
        }
      },
      commit: async ({ control, add, remove }: StateCommit) => {
        this.#call(generation);
        this.commits += 1;
        this.#control = control;
        for (const { segment, data } of add) {
          if (this.#segments.has(segment)) throw new PenstockError('internal', 'A segment is there');
          this.#segments.set(segment, data);
        }
        for (const segment of remove) this.#segments.delete(segment);
        await undefined;
        // It took effect, and the pump does not hear of it.
        this.#call(generation);
      },
    };
  }

  async *#source(
    generation: number,
    index: number,
    received: ReceivedIdentifiers | undefined,
  ): AsyncGenerator<Delivery[]> {
    const again = [...(this.#open[index] as Sent[])];
    // What was committed is only released.
    const known = (sent: Sent) =>
      this.#options.exact && (sent.released || received?.has(sent.identifier)) === true;
    for (const sent of again.filter(known)) this.#release(generation, index, sent, received);
    const fresh = again.filter((sent) => !known(sent));
    const handOut = (some: readonly Sent[]) => {
      this.#call(generation);
      return some.map((sent) => this.#delivery(generation, index, sent, received));
    };
    if (fresh.length > 0) yield handOut(fresh);
    const batches = this.#options.inputs[index] ?? [];
    while ((this.#next[index] as number) < batches.length) {
      await this.gate?.(this.#next[index] as number);
      const sent = (batches[this.#next[index] as number] as readonly string[]).map((text) => {
        this.#identifiers += 1;
        return { text, identifier: this.#identifiers };
      });
      this.#next[index] = (this.#next[index] as number) + 1;
      this.#open[index]?.push(...sent);
      yield handOut(sent);
    }
  }

  #delivery(generation: number, index: number, sent: Sent, received?: ReceivedIdentifiers): Delivery {
    return {
      payload: Buffer.from(sent.text),
      metadata: {},
      receivedAt: performance.timeOrigin + performance.now(),
      ...(this.#options.exact && { identifier: sent.identifier }),
      ack: () => {
        if (generation !== this.#generation) return;
        if (this.#options.exact) this.#release(generation, index, sent, received);
        else this.#forget(index, sent);
      },
    };
  }

  /** The other side releases the identifier, and hears that this is committed. */
  #release(generation: number, index: number, sent: Sent, received?: ReceivedIdentifiers): void {
    sent.released = true;
    void received?.release(sent.identifier).then(() => {
      if (generation === this.#generation) this.#forget(index, sent);
    });
  }

  #forget(index: number, sent: Sent): void {
    this.#open[index] = (this.#open[index] as Sent[]).filter((one) => one !== sent);
  }

  #sink(generation: number): Sink {
    const put = ({ payload, row, deleted }: Outgoing) =>
      this.written.push({ text: String(payload) || JSON.stringify(row), deleted: deleted === true });
    const plain: Sink = {
      write: async (messages) => {
        this.#call(generation);
        for (const message of messages) put(message);
        await undefined;
        this.#call(generation);
        return [];
      },
      close: async () => {},
    };
    if (!this.#options.exact) return plain;
    return {
      ...plain,
      exact: {
        ...{ resumed: true, maxInFlight: 7 },
        publish: async (messages) => {
          this.#call(generation);
          for (const { identifier, message } of messages) {
            if (this.#held.get(identifier) === undefined) put(message);
            this.#held.set(identifier, String(message.payload));
            await undefined;
            this.#call(generation);
          }
          return [];
        },
        release: async (identifiers) => {
          this.#call(generation);
          for (const identifier of identifiers) this.#held.delete(identifier);
          await undefined;
          this.#call(generation);
        },
      },
    };
  }
}
