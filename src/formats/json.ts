import { isUtf8 } from 'node:buffer';
import type { Codec, FormatDefinition, Row } from './format.ts';
import { badData, objectReader } from './json-decode.ts';
import { badRow, jsonWriter, objectWriter } from './json-encode.ts';
import { isNestedWithin, parseExactly } from './json-text.ts';
import { metadataColumns } from './own-property.ts';
import type { ConnectionSchema, Field, Format, ListItem } from './schema.ts';

/**
 * One JSON document a message, in UTF-8.
 *
 * Structured, it is an object whose properties are the fields: 64-bit integers and decimals are numbers, exact to the
 * last digit (reading also takes them as strings), bytes are base64, timestamps RFC 3339 or milliseconds since 1970,
 * and a json field is any value. Unstructured, the whole document is the text of the one column `value`.
 */
export const json: FormatDefinition = {
  type: 'json',
  codec(schema) {
    const format: Format = schema.format ?? { type: 'json' };
    return format.unstructured ? unstructuredCodec(schema) : structuredCodec(schema.fields ?? [], format);
  },
};

function structuredCodec(fields: readonly Field[], format: Format): Codec {
  const read = objectReader(fields, '', format);
  const write = objectWriter(fields, '', format);
  const parse = fields.some(needsExactNumbers) ? parseExactly : (text: string): unknown => JSON.parse(text);
  return {
    decode: (payload) => read(parseDocument(payload, parse)),
    encode: (row) => Buffer.from(write(row)),
  };
}

function unstructuredCodec(schema: ConnectionSchema): Codec {
  const metadata = metadataColumns(schema);
  const write = jsonWriter('/value');
  return {
    decode(payload) {
      const document = parseDocument(payload, JSON.parse);
      if (!isNestedWithin(document, 128)) throw badData('', 'is nested more than 128 deep');
      const row: Row = { value: payload.toString() };
      for (const set of metadata) set(row, null);
      return row;
    },
    encode(row) {
      if (row.value === null || row.value === undefined)
        throw badRow('/value', 'is null, so there is no message');
      return Buffer.from(write(row.value));
    },
  };
}

/** What JSON.parse says is dropped: it quotes the payload. */
function parseDocument(payload: Buffer, parse: (text: string) => unknown): unknown {
  if (payload.length === 0) throw badData('', 'is empty');
  if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
  try {
    return parse(payload.toString());
  } catch {
    throw badData('', 'is not a JSON document');
  }
}

function needsExactNumbers(item: ListItem): boolean {
  switch (item.type) {
    case 'int64':
    case 'uint64':
    case 'decimal128':
    case 'json':
      return true;
    case 'list':
      return item.items !== undefined && needsExactNumbers(item.items);
    case 'struct':
      return (item.fields ?? []).some(needsExactNumbers);
    default:
      return false;
  }
}
