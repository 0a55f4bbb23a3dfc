import { isUtf8 } from 'node:buffer';
import type { FormatDefinition, Row } from '../format.ts';
import { badData, badRow } from '../values/bad.ts';
import { rowFromMessage } from '../values/row.ts';

/** The whole message is one string, in the column `value`. */
export const rawString: FormatDefinition<'raw_string'> = {
  type: 'raw_string',
  newlines: 'values',
  wholeMessage: () => 'string',
  codec({ fields = [] }) {
    const decodeText = rowFromMessage(fields);
    return {
      decodeText,
      check,
      decode(payload) {
        check(payload);
        return decodeText(payload.toString());
      },
      encodeText,
      encode: (row) => Buffer.from(encodeText(row)),
    };
  },
};

function check(payload: Buffer): void {
  if (!isUtf8(payload)) throw badData('/value', 'is not UTF-8 text');
}

function encodeText({ value }: Row): string {
  if (typeof value !== 'string') throw badRow('/value', 'is not a text');
  // UTF-8 has no bytes for half a surrogate pair: another character would be written in its place.
  if (!value.isWellFormed()) throw badRow('/value', 'holds half a surrogate pair, which UTF-8 cannot write');
  return value;
}

/** The whole message as it is, in the column `value`. */
export const rawBytes: FormatDefinition<'raw_bytes'> = {
  type: 'raw_bytes',
  newlines: 'values',
  wholeMessage: () => 'bytes',
  codec({ fields = [] }) {
    return {
      decode: rowFromMessage(fields),
      encode({ value }) {
        if (!Buffer.isBuffer(value)) throw badRow('/value', 'is not bytes');
        return value;
      },
    };
  },
};
