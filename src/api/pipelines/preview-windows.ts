import type { Watched } from '../../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { codecFor } from '../../formats/codec.ts';
import type { Row } from '../../formats/format.ts';
import { type Change, type ChangeReader, changeReader, changeWriter } from '../../formats/json/changes.ts';
import type { RegisteredSchemas } from '../../formats/registered.ts';
import { sourcesOf } from '../../sql/compile.ts';
import type { PreviewPlan, StatefulSelect, TableDefinition } from '../../sql/plan.ts';
import { Duplicates } from '../../sql/state/duplicates.ts';
import { LeafRows } from '../../sql/state/leaf-rows.ts';
import type { Results } from '../../sql/state/result-reader.ts';
import { endOfTime, SourceClock, watermarkOf } from '../../sql/state/source-clock.ts';
import { StateTables } from '../../sql/state/tables.ts';
import { closedBy } from '../../sql/state/windows.ts';
import { nowMicros } from '../../store/clock.ts';
import { MessageReader, rowWriter, shownFields } from '../connection-tables/message-event.ts';
import { PreviewInbox, type PreviewInput, type PreviewListener, shownBatch } from './preview-rows.ts';

const maxStateBytes = 64 * 1024 * 1024;
/** Interval of looking whether windows close, of computing results that change, and of measuring the state. */
const clockEveryMs = 200;
const updateEveryMs = 1000;
const measureEveryMs = 1000;
/** Bytes of messages after which the state is measured at once. */
const measureEveryBytes = 8 * 1024 * 1024;

/** The schemas of a source, if they are in a registry. */
export type SchemasOf = (source: TableDefinition) => RegisteredSchemas | undefined;

interface WindowSource {
  reader: MessageReader;
  changes: ChangeReader | undefined;
  duplicates: Duplicates | undefined;
  rows: LeafRows;
}

/** Keeps rows of messages in memory, and shows the results of windows that close, or of all rows as changes. */
export class PreviewWindows implements PreviewInput {
  readonly #plan: PreviewPlan;
  readonly #select: StatefulSelect;
  readonly #listener: PreviewListener;
  readonly #tables: StateTables;
  readonly #sources: readonly WindowSource[];
  readonly #clocks: readonly SourceClock[];
  readonly #write: (change: Change) => string;
  readonly #inbox: PreviewInbox;
  readonly #timer: NodeJS.Timeout;
  readonly #startedAt = nowMicros();
  readonly #lastEnd: bigint;
  #until: bigint | undefined;
  #nextChange = 0n;
  #isOld = false;
  #evaluatedAt = 0;
  #measuredAt = 0;
  #unmeasured = 0;
  #late = 0;
  #told = '';
  #closing: PromiseWithResolvers<void> | undefined;
  #closed = false;
  #hasFailed = false;

  static async open(
    plan: PreviewPlan,
    select: StatefulSelect,
    listener: PreviewListener,
    schemasOf: SchemasOf = () => undefined,
  ): Promise<PreviewWindows> {
    const tables = await StateTables.open(select, plan.columns);
    const sources: WindowSource[] = [];
    try {
      for (const [index, source] of sourcesOf(plan).entries())
        sources.push(await openSource(select, index, source, schemasOf(source)));
      return new PreviewWindows(plan, select, listener, tables, sources);
    } catch (error) {
      for (const { rows } of sources) await rows.close();
      await tables.close();
      throw error;
    }
  }

  private constructor(
    plan: PreviewPlan,
    select: StatefulSelect,
    listener: PreviewListener,
    tables: StateTables,
    sources: readonly WindowSource[],
  ) {
    this.#plan = plan;
    this.#select = select;
    this.#listener = listener;
    this.#tables = tables;
    this.#sources = sources;
    this.#clocks = sources.map(({ rows }) => rows.clock);
    this.#lastEnd = closedBy(select.window, endOfTime);
    this.#write = select.window ? resultWriter(plan) : envelopeWriter(plan);
    this.#inbox = new PreviewInbox(listener, (waiting) =>
      this.#turn(waiting).catch((error: unknown) => {
        this.#hasFailed = true;
        this.#closing?.resolve();
        throw error;
      }),
    );
    this.#timer = setInterval(() => this.#inbox.wake(), clockEveryMs);
  }

  deliver(message: Watched, source: number): void {
    this.#inbox.add(message, source);
  }

  ended(source: number): void {
    const clock = this.#clocks[source];
    if (clock) clock.ended = true;
    this.#inbox.wake();
  }

  closeWindows(): Promise<void> {
    if (this.#closed || this.#hasFailed) return Promise.resolve();
    this.#closing ??= Promise.withResolvers();
    this.#inbox.wake();
    return this.#closing.promise;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#inbox.close();
    this.#closing?.resolve();
    for (const { rows } of this.#sources) await rows.close();
    await this.#tables.close();
  }

  async #turn(waiting: readonly { message: Watched; source: number }[]): Promise<void> {
    const closing = this.#closing;
    const bad: PenstockError[] = [];
    for (const [source, some] of Map.groupBy(waiting, (one) => one.source))
      await this.#add(
        this.#sources[source] as WindowSource,
        some.map(({ message }) => message),
        bad,
      );
    if ((await this.#tables.take()).length > 0) this.#isOld = true;
    if (bad.length > 0) this.#listener.onBatch(shownBatch(this.#operatorId, [], this.#write, bad));
    if (this.#select.window) await this.#closeWindows(closing !== undefined);
    else await this.#update(closing !== undefined);
    await this.#measure();
    if (!closing) return;
    this.#closing = undefined;
    closing.resolve();
  }

  get #operatorId(): string {
    return this.#plan.operatorIds.transform;
  }

  async #add(source: WindowSource, messages: readonly Watched[], bad: PenstockError[]): Promise<void> {
    const { reader, rows, changes, duplicates } = source;
    const read: Row[] = [];
    const times: number[] = [];
    await reader.ready(messages);
    for (const message of messages) {
      this.#unmeasured += message.payload.length;
      for (const row of reader.read(message, (error) => bad.push(asPenstockError(error)))) {
        if (duplicates?.add(row) === false) continue;
        read.push(row);
        times.push(message.receivedAt);
      }
    }
    if (read.length === 0) return;
    rows.clock.heard();
    const note = (_: number, error: PenstockError) => bad.push(error);
    const computed = await rows.compute(read, note);
    const { late } = rows.add(this.#tables, computed, this.#until, {
      receivedAt: (index) => times[index] as number,
      counts: () => true,
      bad: note,
      nextChange: () => {
        this.#nextChange += 1n;
        return this.#nextChange;
      },
      isGone: (index) => changes?.effectOf(read[index] as Row) === 'retract',
    });
    this.#late += late.size;
  }

  /** Shows the results of windows that the watermark has passed, and with `early` of all others. */
  async #closeWindows(early: boolean): Promise<void> {
    const watermark = watermarkOf(this.#clocks);
    if (watermark !== undefined) await this.#closeUntil(closedBy(this.#select.window, watermark), false);
    if (early) await this.#closeUntil(this.#lastEnd, true);
  }

  async #closeUntil(until: bigint, early: boolean): Promise<void> {
    if (this.#until !== undefined && until <= this.#until) return;
    const results = await this.#tables.closeWindows(this.#until, until, early);
    await this.#tables.trim(until);
    // Rows may come after an early end.
    if (until < this.#lastEnd) this.#until = until;
    await this.#showResults(results, early);
  }

  async #showResults({ data }: Results, early: boolean): Promise<void> {
    if (!data) return;
    for await (const { rows, ends } of this.#tables.readResults(data)) {
      const shown = rows.map((after, index) => ({ change: { after }, end: ends[index] as bigint }));
      for (const [partial, some] of Map.groupBy(shown, ({ end }) => early || this.#beganBefore(end))) {
        const changes = some.map(({ change, end }) => ({ change, timestamp: Number(end) }));
        const batch = shownBatch(this.#operatorId, changes, this.#write, []);
        this.#listener.onBatch(partial ? { ...batch, partial } : batch);
      }
    }
  }

  /** Whether messages of a window may have arrived before the preview. */
  #beganBefore(end: bigint): boolean {
    const { window } = this.#select;
    if (!window || window.kind === 'session' || !this.#clocks.every(({ byArrival }) => byArrival))
      return false;
    return end - BigInt(window.width) < this.#startedAt;
  }

  async #update(now: boolean): Promise<void> {
    const time = performance.now();
    const all = this.#clocks.every(({ ended }) => ended);
    if (!this.#isOld || (!now && !all && time - this.#evaluatedAt < updateEveryMs)) return;
    this.#evaluatedAt = time;
    this.#isOld = false;
    const { data } = await this.#tables.changes();
    if (!data) return;
    const timestamp = Number(nowMicros());
    for await (const changes of this.#tables.readChanges(data)) {
      const shown = changes.map((change) => ({ change, timestamp }));
      this.#listener.onBatch(shownBatch(this.#operatorId, shown, this.#write, []));
    }
  }

  async #measure(): Promise<void> {
    const now = performance.now();
    if (now - this.#measuredAt < measureEveryMs && this.#unmeasured < measureEveryBytes) return;
    this.#measuredAt = now;
    this.#unmeasured = 0;
    const { bytes } = await this.#tables.size();
    const kept = this.#sources.reduce((sum, { duplicates }) => sum + (duplicates?.bytes ?? 0), bytes);
    const limit = Math.min(maxStateBytes, this.#select.limits.maxStateBytes);
    if (kept > limit) {
      const message = `The rows that the preview keeps take more than ${Math.floor(limit / 2 ** 20)} MiB`;
      throw new PenstockError('state_full', message, {
        hint: 'Choose fewer rows with WHERE, or shorter windows. A pipeline may keep more, see max_state_bytes.',
      });
    }
    const { count } = await this.#tables.openWindows(this.#until ?? -endOfTime);
    const watermark = watermarkOf(this.#clocks);
    const known = watermark === undefined || watermark >= endOfTime ? null : Number(watermark);
    const state = { watermark: known, open_windows: count, late_rows: this.#late, state_bytes: kept };
    // The time of arrival goes on all the time.
    const told = JSON.stringify(
      this.#clocks.every(({ byArrival }) => byArrival) ? { ...state, watermark: 0 } : state,
    );
    if (told !== this.#told) this.#listener.onState?.(state);
    this.#told = told;
  }
}

async function openSource(
  select: StatefulSelect,
  index: number,
  source: TableDefinition,
  schemas: RegisteredSchemas | undefined,
): Promise<WindowSource> {
  const rows = await LeafRows.open(select, index, source, new SourceClock(source, undefined));
  const changes = changeReader(source.schema, schemas);
  const duplicates = source.time?.dedupe && new Duplicates(source.time.dedupe);
  const codec = changes?.codec ?? codecFor(source.schema, schemas);
  return { reader: new MessageReader(source.schema, codec), changes, duplicates, rows };
}

function resultWriter({ columns }: PreviewPlan): (change: Change) => string {
  const write = rowWriter(columns);
  return ({ after }) => write(after as Row);
}

/** Writes changes in Debezium's envelope, as the console of Arroyo shows them. */
function envelopeWriter({ columns }: PreviewPlan): (change: Change) => string {
  const write = changeWriter({ format: { type: 'json', debezium: true }, fields: shownFields(columns) });
  if (!write) throw new Error('The format has no changes');
  return (change) => write(change).toString();
}
