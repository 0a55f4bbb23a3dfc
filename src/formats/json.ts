import { isUtf8 } from 'node:buffer';
import { PenstockError } from '../errors.ts';
import { badData, badRow } from './bad.ts';
import type { Codec, FormatDefinition, FormatOf, Row } from './format.ts';
import { objectReader } from './json-decode.ts';
import { jsonWriter, objectWriter } from './json-encode.ts';
import { envelopeOf } from './json-envelope.ts';
import { fieldsFromJsonSchema } from './json-schema.ts';
import { isNestedWithin, parseExactly } from './json-text.ts';
import { metadataColumns } from './own-property.ts';
import type { Field, ListItem } from './schema.ts';

/**
 * One JSON document a message, in UTF-8.
 *
 * Structured, it is an object whose properties are the fields: 64-bit integers and decimals are numbers, exact to the
 * last digit (reading also takes them as strings), bytes are base64, timestamps RFC 3339 or milliseconds since 1970,
 * and a json field is any value. The object may be wrapped as Kafka Connect and Debezium do. Unstructured, the whole
 * document is the text of the one column `value`.
 */
export const json: FormatDefinition<'json'> = {
  type: 'json',
  newlines: 'lines',
  wholeMessage: ({ unstructured }) => (unstructured ? 'json' : undefined),
  definition: {
    type: 'json_schema',
    fieldsFrom({ format, definition }) {
      if (!format.unstructured) return fieldsFromJsonSchema(definition.schema, '/definition/schema');
      const message = 'Unstructured json has one fixed column; leave the definition or unstructured out';
      throw new PenstockError('invalid_schema', message, { errors: [{ path: '/definition', message }] });
    },
  },
  validate({ format }) {
    if (!format.unstructured) return [];
    const wrapped = (['debezium', 'include_schema'] as const).filter((option) => format[option]);
    return wrapped.map((option) => ({
      path: `/format/${option}`,
      message: `Unstructured json is the document as it is; leave ${option} or unstructured out`,
    }));
  },
  codec({ fields = [], format, framing }) {
    const codec = format.unstructured ? unstructuredCodec(fields) : structuredCodec(fields, format);
    return framing ? onOneLine(codec) : codec;
  },
};

function structuredCodec(fields: readonly Field[], format: FormatOf<'json'>): Codec {
  const { path, open, head, tail } = envelopeOf(fields, format);
  const read = objectReader(fields, path, format);
  const write = objectWriter(fields, '', format);
  const parse = fields.some(needsExactNumbers) ? parseExactly : (text: string): unknown => JSON.parse(text);
  return {
    decode: (payload) => read(open(parseDocument(payload, parse))),
    encode: (row) => Buffer.from(head + write(row) + tail),
  };
}

function unstructuredCodec(fields: readonly Field[]): Codec {
  const metadata = metadataColumns(fields);
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

/** A json column is written as it is, and may be on several lines. Between values a space means the same. */
function onOneLine(codec: Codec): Codec {
  return {
    ...codec,
    encode(row) {
      const text = codec.encode(row);
      if (!text.includes(0x0a) && !text.includes(0x0d)) return text;
      for (let index = 0; index < text.length; index += 1) {
        if (text[index] === 0x0a || text[index] === 0x0d) text[index] = 0x20;
      }
      return text;
    },
  };
}

/** What JSON.parse says is dropped: it quotes the payload. */
function parseDocument(payload: Buffer, parse: (text: string) => unknown): unknown {
  if (payload.length === 0) throw badData('', 'is empty');
  if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
  try {
    return parse(payload.toString());
  } catch (error) {
    // Reading numbers exactly needs stack for each level.
    throw badData('', error instanceof RangeError ? 'is nested too deep' : 'is not a JSON document');
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
