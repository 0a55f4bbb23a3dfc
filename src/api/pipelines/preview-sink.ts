import { changesEncoder } from '../../connectors/changes.ts';
import type { Identity, Sink } from '../../connectors/connector.ts';
import { withSchemaId } from '../../connectors/schema-registry/subject.ts';
import { PenstockError } from '../../errors.ts';
import type { Change } from '../../formats/json/changes.ts';
import type { TableDefinition } from '../../sql/plan.ts';
import type { Deps } from '../deps.ts';

/** Maximum number of rows that wait for the sink. A preview shows 100 rows a second. */
const maxWaiting = 1000;
const window = 100;

interface PreviewSinkTools extends Pick<Deps, 'catalog' | 'logger'> {
  identity: Identity;
  signal: AbortSignal;
  /** A row that cannot be written. */
  onBad(error: PenstockError): void;
  /** The sink cannot go on. */
  onError(error: unknown): void;
}

/** Writes the rows of a preview to the sink of its INSERT, in order. */
export class PreviewSink {
  readonly #sink: Sink;
  readonly #encode: ReturnType<typeof changesEncoder>;
  readonly #tools: PreviewSinkTools;
  #waiting = 0;
  #last: Promise<void> = Promise.resolve();

  private constructor(sink: Sink, table: TableDefinition, tools: PreviewSinkTools) {
    this.#sink = sink;
    this.#encode = changesEncoder(table);
    this.#tools = tools;
  }

  static async open(table: TableDefinition, tools: PreviewSinkTools): Promise<PreviewSink> {
    const usable = tools.catalog.usable(table);
    const { connector, config, ...reachable } = usable;
    if (!connector.openSink)
      throw new PenstockError('invalid_request', `The connector ${connector.id} cannot be written to`);
    const { identity, signal, logger, onBad, onError } = tools;
    const schema = await withSchemaId(usable, table.schema, signal);
    const context = { ...reachable, table: config, schema, identity, window, signal, logger };
    const sink = await connector.openSink({ ...context, lost: onError, warn: onBad });
    return new PreviewSink(sink, { ...table, schema }, tools);
  }

  write(rows: readonly Change[]): void {
    if (this.#waiting + rows.length > maxWaiting) {
      const message = `The sink has not confirmed ${this.#waiting} rows, so that no more are written`;
      this.#tools.onError(new PenstockError('overloaded', message));
      return;
    }
    this.#waiting += rows.length;
    this.#last = this.#last.then(() => this.#write(rows)).catch(this.#tools.onError);
  }

  async #write(rows: readonly Change[]): Promise<void> {
    const { messages } = this.#encode(rows, (_, error) => this.#tools.onBad(error));
    for (const { error } of messages.length > 0 ? await this.#sink.write(messages) : [])
      this.#tools.onBad(error);
    this.#waiting -= rows.length;
  }

  /** Waits for what the sink has accepted, unless the preview was cancelled, and disconnects. */
  async close(): Promise<void> {
    await this.#last;
    await this.#sink.close();
  }
}
