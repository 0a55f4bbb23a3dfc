import { linesOfText } from '../framing.ts';
import type { ConnectionSchema, Field, Format } from '../schema/schema.ts';

const delimiters = { comma: ',', semicolon: ';', tab: '\t', bar: '|' } as const;
const maxLines = 200;
const maxCells = 500;
const maxLength = 64 * 1024;

/** Texts that may be CSV: lines with the same number of values, all separated by one character. */
export class CsvGuess {
  readonly #lines: string[] = [];
  #messages = 0;
  #several = 0;

  observe(payload: Buffer): void {
    this.#messages += 1;
    if (payload.length > maxLength) return;
    const lines = joined([...linesOfText(payload.toString())]).filter((line) => line.trim() !== '');
    if (lines.length > 1) this.#several += 1;
    this.#lines.push(...lines.slice(0, maxLines - this.#lines.length));
  }

  /** The request that gives columns; undefined if the texts do not look like CSV. */
  note(): string | undefined {
    if (this.#messages < 2 && this.#lines.length < 2) return undefined;
    for (const [name, delimiter] of Object.entries(delimiters)) {
      const counts = new Set(this.#lines.map((line) => cellsOf(line, delimiter, '"').length));
      const [cells = 0] = counts;
      if (delimiter === ',' && this.#lines.every((line) => numberWithComma.test(line.trim()))) continue;
      if (counts.size !== 1 || cells < 2 || !this.#lines.some((line) => hasNumber(line, delimiter))) continue;
      const option = delimiter === ',' ? '' : `, "delimiter": ${JSON.stringify(delimiter)}`;
      const header = looksLikeHeader(this.#lines, delimiter, '"') ? ', "header": true' : '';
      return `The texts look like CSV of ${cells} values with a ${name} between them; send the format {"type": "csv"${option}${header}} to get columns`;
    }
    return undefined;
  }

  framing(): Pick<ConnectionSchema, 'framing'> {
    return this.#several > 0 ? { framing: { method: 'newline' } } : {};
  }

  /** Columns of the first lines, named by the header if the format has one. */
  fields(format: Extract<Format, { type: 'csv' }>): Field[] {
    const { delimiter = ',', quote = '"', header = false, decimal_separator: decimal = '.' } = format;
    const records = this.#lines.map((line) => cellsOf(line.replace(/^\ufeff/, ''), delimiter, quote));
    const [first = []] = records;
    const values = header ? records.filter((record) => record.join() !== first.join()) : records;
    const names = header ? first : first.map((_, index) => `c${index + 1}`);
    return names
      .map((name, index) => ({
        name: name === '' ? `c${index + 1}` : name,
        ...cellType(
          values.flatMap((record) => record[index] ?? []),
          decimal,
        ),
        required: false,
      }))
      .filter(
        ({ name }, index, all) =>
          all.findIndex((other) => other.name.toLowerCase() === name.toLowerCase()) === index,
      );
  }
}

/** Joins lines that a quoted line end has divided; a quote without its other is not one. */
function joined(lines: readonly string[]): readonly string[] {
  const records: string[] = [];
  let open: string | undefined;
  for (const line of lines) {
    const record = open === undefined ? line : `${open}\n${line}`;
    const isOpen = record.split('"').length % 2 === 0;
    open = isOpen ? record : undefined;
    if (!isOpen) records.push(record);
  }
  return open === undefined ? records : lines;
}

function cellsOf(line: string, delimiter: string, quote: string): string[] {
  const cells: string[] = [];
  let cell = '';
  let quoted = false;
  for (const character of line) {
    if (character === quote) quoted = !quoted;
    else if (character === delimiter && !quoted) {
      cells.push(cell.trim());
      cell = '';
    } else cell += character;
    if (cells.length >= maxCells) break;
  }
  return [...cells, cell.trim()];
}

const number = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/;

const hasNumber = (line: string, delimiter: string): boolean =>
  cellsOf(line, delimiter, '"').some((cell) => number.test(cell));

/** The first line has names only, another has a number. */
function looksLikeHeader(lines: readonly string[], delimiter: string, quote: string): boolean {
  const [first = [], ...rest] = lines.map((line) => cellsOf(line, delimiter, quote));
  const names = first.every((cell) => /^[\p{L}_][\p{L}\p{N}_ .-]*$/u.test(cell));
  return (
    names &&
    new Set(first).size === first.length &&
    rest.some((cells) => cells.some((cell) => number.test(cell)))
  );
}

/** One value such as `21,5` or `21,5 °C`. */
const numberWithComma = /^[+-]?\d+,\d+(?:\s?[^\s\d,;|]{1,10})?$/;

/** Empty cells are null in a column of any type. Digits that a number would lose, such as zeros in front, make a string. */
function cellType(cells: readonly string[], decimal: '.' | ','): Pick<Field, 'type' | 'precision' | 'scale'> {
  const values = cells.filter((cell) => cell !== '').map((cell) => withPoint(cell, decimal));
  if (values.length === 0) return { type: 'string' };
  if (values.every((cell) => /^(?:true|false)$/i.test(cell))) return { type: 'bool' };
  if (!values.every((cell) => number.test(cell)) || values.some((cell) => /^[+-]?0\d/.test(cell)))
    return { type: 'string' };
  if (values.every((cell) => /^[+-]?\d{1,18}$/.test(cell))) return { type: 'int64' };
  const parts = values.map((cell) => cell.replace(/^[+-]|[eE].*$/g, '').split('.'));
  if (parts.every((part) => part.join('').replace(/^0+/, '').length <= 15)) return { type: 'float64' };
  const longest = (at: number) => Math.max(...parts.map((part) => part[at]?.length ?? 0));
  const scale = longest(1);
  if (longest(0) + scale > 38 || values.some((cell) => /e/i.test(cell))) return { type: 'string' };
  return { type: 'decimal128', precision: 38, scale };
}

/** A number of the table with a point; with a decimal comma a number with a point is none. */
function withPoint(cell: string, decimal: '.' | ','): string {
  if (decimal === '.') return cell;
  return cell.includes('.') ? `${cell} ` : cell.replace(',', '.');
}
