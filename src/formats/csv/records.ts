import { parse } from 'csv-parse/sync';
import { type FormatOf, maxRowsOfMessage } from '../format.ts';
import { linesOfText } from '../framing.ts';
import { badData } from '../values/bad.ts';

export interface CsvOptions {
  delimiter: string;
  quote: string;
  header: boolean;
  decimal: '.' | ',';
  nullValue: string;
  timezone: string | null;
}

export function csvOptions(format: FormatOf<'csv'>): CsvOptions {
  const { delimiter = ',', quote = '"', header = false, null_value: nullValue = '' } = format;
  const { decimal_separator: decimal = '.', timezone = null } = format;
  return { delimiter, quote, header, decimal, nullValue, timezone };
}

/** The first line of a file for Excel, which names its delimiter. */
const sepLine = /^sep=([\x20-\x7e\t])[ \t]*(?:\r\n|\n|\r|$)/i;

/** Takes away a byte order mark and a line `sep=;`, whose delimiter counts for this message. */
export function afterSep(
  message: string,
  options: CsvOptions,
): { text: string; options: CsvOptions; skipped: number } {
  const text = message.startsWith('\ufeff') ? message.slice(1) : message;
  const [line, delimiter] = sepLine.exec(text) ?? [];
  if (line === undefined || delimiter === undefined) return { text, options, skipped: 0 };
  if (delimiter === options.quote || delimiter === options.decimal)
    throw badData('', 'has a line sep= with the quote or the decimal separator of the table');
  return { text: text.slice(line.length), options: { ...options, delimiter }, skipped: 1 };
}

/** A null cell is the unquoted null value. */
export interface CsvRecord {
  cells: (string | null)[];
  line: number;
  /** True if it exceeds the maximum length; the cells are then empty. */
  tooLong: boolean;
}

/** Splits a text into its records. Throws `bad_data` if a quote hides the end of a record, or for too many records. */
export function csvRecords(text: string, options: CsvOptions, maxRecordBytes: number): CsvRecord[] {
  // Most messages have no quotes, and csv-parse takes some 30 µs to start.
  if (text.includes(options.quote)) return quotedRecords(text, options, maxRecordBytes);
  const lines = hasOnlyReturns(text) ? text.replaceAll('\r', '\n') : text;
  return plainRecords(lines, options, maxRecordBytes);
}

/** Whether lines end as on old Macs. */
const hasOnlyReturns = (text: string): boolean => text.includes('\r') && !text.includes('\n');

const maxRecords = maxRowsOfMessage + 1;
const tooMany = `holds more than ${maxRowsOfMessage} records`;

function plainRecords(text: string, { delimiter, nullValue }: CsvOptions, maxBytes: number): CsvRecord[] {
  const records: CsvRecord[] = [];
  let number = 0;
  for (const line of linesOfText(text)) {
    number += 1;
    if (line === '') continue;
    if (records.length === maxRecords) throw badData('', tooMany);
    const tooLong = maxBytes !== Number.POSITIVE_INFINITY && Buffer.byteLength(line) > maxBytes;
    const cells = tooLong ? [] : withNulls(line.split(delimiter), nullValue);
    records.push({ cells, line: number, tooLong });
  }
  return records;
}

function withNulls(cells: (string | null)[], nullValue: string): (string | null)[] {
  for (let at = 0; at < cells.length; at += 1) if (cells[at] === nullValue) cells[at] = null;
  return cells;
}

const problems: Readonly<Record<string, string>> = {
  CSV_QUOTE_NOT_CLOSED: 'has a quote that is not closed',
  CSV_INVALID_CLOSING_QUOTE: 'has text after a closing quote',
  INVALID_OPENING_QUOTE: 'has a quote inside a value that is not quoted',
  CSV_MAX_RECORD_SIZE: 'has a record with more bytes than max_line_length allows',
};

function quotedRecords(text: string, options: CsvOptions, maxBytes: number): CsvRecord[] {
  const { delimiter, quote, nullValue } = options;
  // Asking csv-parse which cells are quoted is slow: it matters only if a quoted one may look like the null value.
  const mayLookNull = text.includes(quote + nullValue + quote);
  try {
    const parsed = parse(text, {
      delimiter,
      quote,
      escape: quote,
      record_delimiter: hasOnlyReturns(text) ? ['\r'] : ['\n', '\r\n'],
      relax_column_count: true,
      skip_empty_lines: true,
      info: true,
      to: maxRecords + 1,
      max_record_size: maxBytes === Number.POSITIVE_INFINITY ? 0 : maxBytes,
      ...(mayLookNull && { cast: (value, { quoting }) => (!quoting && value === nullValue ? null : value) }),
    }) as unknown as { record: (string | null)[]; info: { lines: number } }[];
    if (parsed.length > maxRecords) throw badData('', tooMany);
    return parsed.map(({ record, info }) => ({
      cells: mayLookNull ? record : withNulls(record, nullValue),
      line: info.lines,
      tooLong: false,
    }));
  } catch (error) {
    const { code, lines } = error as { code?: string; lines?: number };
    const problem = problems[code ?? ''];
    if (problem === undefined) throw error;
    throw badData('', `${problem} in line ${lines}, so the rest of it cannot be read`);
  }
}

/** Writes one cell; only null is the unquoted null value. */
export function csvCell(value: string | null, { delimiter, quote, nullValue }: CsvOptions): string {
  if (value === null) return nullValue;
  const plain =
    value !== nullValue &&
    !value.includes(delimiter) &&
    !value.includes(quote) &&
    !value.includes('\n') &&
    !value.includes('\r') &&
    // At the start of a message these would be taken for a byte order mark, or a line that names the delimiter.
    !value.startsWith('\ufeff') &&
    !/^sep=/i.test(value);
  return plain && value !== '' ? value : `${quote}${value.replaceAll(quote, quote + quote)}${quote}`;
}
