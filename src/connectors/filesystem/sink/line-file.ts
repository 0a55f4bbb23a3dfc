import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import { badRow } from '../../../formats/values/bad.ts';
import type { Outgoing } from '../../connector.ts';
import { RecordSplitter } from '../../files/records.ts';

/** The rows of one file, in memory until it is closed. */
export interface FileContent {
  /** Adds a row, and returns about how many bytes it takes. Throws `bad_row`. */
  add(message: Outgoing): number;
  /** Returns the whole file. */
  finish(): Promise<Buffer[]>;
}

const newline = Buffer.from('\n');

/** Files whose lines are the messages. With a CSV header the first line names the columns. */
export function lineFile({ format }: ConnectionSchema): () => FileContent {
  const isCsv = format?.type === 'csv';
  const headed = format?.type === 'csv' && format.header === true;
  const header = headed ? headerReader(format.quote, format.delimiter) : () => 0;
  return () => {
    const parts: Buffer[] = [];
    return {
      add({ payload }) {
        const ended = payload.at(-1) === 0x0a;
        if (!isCsv && payload.indexOf(0x0a) !== (ended ? payload.length - 1 : -1))
          throw badRow('', 'contains a line end, so it cannot be one line of a file');
        const from = parts.length === 0 ? 0 : header(payload);
        parts.push(payload.subarray(from));
        if (!ended) parts.push(newline);
        return payload.length - from + (ended ? 0 : 1);
      },
      finish: async () => parts,
    };
  };
}

/** Returns a function that tells the length of the header, which every message of a table has in the same form. */
function headerReader(quote = '"', delimiter = ','): (payload: Buffer) => number {
  let length: number | undefined;
  const csv = { quote: quote.charCodeAt(0), delimiter: delimiter.charCodeAt(0) };
  return (payload) => {
    const rules = { csv, header: false, keepEmpty: false, maxBytes: payload.length + 1 };
    length ??= new RecordSplitter(rules, '').push(payload)[0]?.end ?? 0;
    return length;
  };
}
