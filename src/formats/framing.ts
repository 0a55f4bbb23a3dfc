import { isUtf8 } from 'node:buffer';
import { PenstockError } from '../errors.ts';
import { type BadRowHandler, type Codec, maxRowsOfMessage, type Row } from './format.ts';
import type { ConnectionSchema } from './schema/schema.ts';
import { badData, badRow } from './values/bad.ts';

const newline = 0x0a;
const carriageReturn = 0x0d;

/**
 * Makes each line of a message one row. Lines end with `\n` or `\r\n`, optional for the last; an encoded row ends with
 * `\n`. Empty lines are skipped unless `isValue`, when values may also contain line ends.
 */
export function byLines(
  codec: Codec,
  framing: NonNullable<ConnectionSchema['framing']>,
  isValue: boolean,
): Codec {
  const longest = framing.max_line_length ?? Number.POSITIVE_INFINITY;
  const tooLong = `is longer than the ${longest} bytes of max_line_length`;

  const { decodeText, encodeText } = codec;

  function decodeLine(line: Buffer | string): Row {
    if (Number.isFinite(longest) && Buffer.byteLength(line) > longest) throw badData('', tooLong);
    if (typeof line !== 'string') return codec.decode(line);
    return decodeText ? decodeText(line) : codec.decode(Buffer.from(line));
  }

  function decodeAll(payload: Buffer, bad?: BadRowHandler): Row[] {
    const rows: Row[] = [];
    let number = 0;
    let tried = 0;
    for (const line of decodeText && isUtf8(payload) ? linesOfText(payload.toString()) : linesOf(payload)) {
      number += 1;
      if (line.length === 0 && !isValue) continue;
      tried += 1;
      if (tried > maxRowsOfMessage) throw badData('', `holds more than ${maxRowsOfMessage} lines`);
      try {
        rows.push(decodeLine(line));
      } catch (error) {
        const located = inLine(error, number);
        if (!bad) throw located;
        bad(located, tried - 1);
      }
    }
    return rows;
  }

  return {
    decodeAll,
    decode: (payload) => onlyRow(decodeAll(payload)),
    encode: encodeText ? (row) => endText(encodeText(row)) : (row) => endBytes(codec.encode(row)),
  };

  function endText(line: string): Buffer {
    refuseLine(isValue && (line.includes('\n') || line.endsWith('\r')), line);
    return Buffer.from(`${line}\n`);
  }

  function endBytes(line: Buffer): Buffer {
    refuseLine(line.includes(newline) || line.at(-1) === carriageReturn, line);
    return Buffer.concat([line, lineEnd]);
  }

  function refuseLine(endsEarly: boolean, line: string | Buffer): void {
    if (endsEarly) throw badRow('', 'contains a line end, so it cannot be one line of a message');
    if (Number.isFinite(longest) && Buffer.byteLength(line) > longest) throw badRow('', tooLong);
  }
}

/** A message without bytes has no rows. */
export function skippingEmpty(codec: Codec): Codec {
  return {
    ...codec,
    decode: (payload) => codec.decode(payload),
    decodeAll(payload, bad) {
      if (payload.length === 0) return [];
      return codec.decodeAll?.(payload, bad) ?? [codec.decode(payload)];
    },
  };
}

const lineEnd = Buffer.from([newline]);

export function* linesOfText(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const found = text.indexOf('\n', from);
    const end = found === -1 ? text.length : found;
    yield text.slice(from, found > from && text[found - 1] === '\r' ? found - 1 : end);
    from = end + 1;
  }
}

function* linesOf(payload: Buffer): Generator<Buffer> {
  for (let from = 0; from < payload.length; ) {
    const found = payload.indexOf(newline, from);
    const end = found === -1 ? payload.length : found;
    const stop = found > from && payload[found - 1] === carriageReturn ? found - 1 : end;
    yield payload.subarray(from, stop);
    from = end + 1;
  }
}

/** Adds the line, from 1, to the error of a bad row. */
export function inLine(error: unknown, line: number): PenstockError {
  if (!(error instanceof PenstockError) || error.code !== 'bad_data') throw error;
  const { errors, facts } = error;
  return new PenstockError('bad_data', `Line ${line}: ${error.message}`, {
    errors,
    facts: { ...facts, line },
  });
}

/** The one row of a message; throws `bad_data` when it holds none or several. */
export function onlyRow(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined || rows.length > 1) throw badData('', `holds ${rows.length} rows instead of one`);
  return row;
}
