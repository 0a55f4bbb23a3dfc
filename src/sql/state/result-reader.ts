import type { Row } from '../../formats/format.ts';
import type { Field } from '../../formats/schema/schema.ts';
import type { StateSession } from '../engine/state-session.ts';
import { type Column, columnOf, rowAt } from '../engine/values.ts';
import { engineTypeName } from '../field-types.ts';

/** Results to write to the sink. `data` holds them until they are written; undefined if there are none. */
export interface Results {
  count: number;
  data: Uint8Array | undefined;
}

/** Rows of closed windows, with the end of the window of each in microseconds. */
export interface ResultBatch {
  rows: Row[];
  ends: bigint[];
}

/** Names that columns have in Parquet, whatever they are called in the sink. */
export const plainNames = (fields: readonly Field[], prefix: string): string[] =>
  fields.map((_, index) => `${prefix}${index}`);

/** Columns of Parquet in the types of the sink, which some have not in Parquet. */
export const typedColumns = (fields: readonly Field[], prefix: string): string[] =>
  fields.map((field, index) => `CAST(${prefix}${index} AS ${engineTypeName(field)})`);

/** Results of windows as Parquet. */
export class ResultReader {
  readonly #session: StateSession;
  readonly #fields: readonly Field[];
  readonly #columns: readonly Column[];

  constructor(session: StateSession, fields: readonly Field[]) {
    this.#session = session;
    this.#fields = fields;
    this.#columns = fields.map(columnOf);
  }

  /** The results of a query, whose first column is the window, as they are kept in Parquet. */
  stored(query: string): string {
    const names = plainNames(this.#fields, 'c');
    const sorted = "ORDER BY struct_extract(w, 'end'), struct_extract(w, 'start')";
    const columns = [`epoch_us(struct_extract(w, 'end')) AS w`, ...names];
    return `SELECT ${columns.join(', ')} FROM (${query}) AS r(${['w', ...names].join(', ')}) ${sorted}`;
  }

  /** Makes one of several, in order. */
  async joined(parts: readonly Results[]): Promise<Results> {
    if (parts.length < 2) return parts[0] ?? { count: 0, data: undefined };
    const some = parts.flatMap(({ data }) => data ?? []);
    let joined: Results | undefined;
    await this.#session.withData(some, async (source) => {
      const { rows, data } = await this.#session.write(`SELECT * FROM ${source}`);
      joined = { count: rows, data };
    });
    return joined ?? { count: 0, data: undefined };
  }

  async read(data: Uint8Array): Promise<AsyncGenerator<ResultBatch>> {
    const columns = ['w', ...typedColumns(this.#fields, 'c')].join(', ');
    const chunks = await this.#session.queryData(data, (source) => `SELECT ${columns} FROM ${source}`);
    const fields = this.#columns;
    return (async function* () {
      for await (const [ends = [], ...values] of chunks)
        yield { rows: ends.map((_, index) => rowAt(fields, values, index)), ends: ends as bigint[] };
    })();
  }
}
