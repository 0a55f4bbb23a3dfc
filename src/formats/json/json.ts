import { isUtf8 } from 'node:buffer';
import { PenstockError } from '../../errors.ts';
import type { Codec, FormatDefinition, FormatOf } from '../format.ts';
import type { Field, ListItem } from '../schema/schema.ts';
import { badData } from '../values/bad.ts';
import { messageOfRow, rowFromMessage } from '../values/row.ts';
import { objectReader } from './decode.ts';
import { jsonWriter, objectWriter } from './encode.ts';
import { envelopeOf } from './envelope.ts';
import { fieldsFromJsonSchema } from './schema.ts';
import { isShallow, parseExactly, tooDeep } from './text.ts';

/**
 * One JSON document per message, in UTF-8: an object whose properties are the fields, possibly in an envelope of Kafka
 * Connect or Debezium, or unstructured the text of the column `value`. 64-bit integers and decimals are exact.
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
      message: `Unstructured json keeps the whole document; remove ${option} or unstructured`,
    }));
  },
  codec({ fields = [], format, framing }) {
    const codec = format.unstructured ? unstructuredCodec(fields) : structuredCodec(fields, format);
    return framing && fields.some(mayHoldNewlines) ? onOneLine(codec) : codec;
  },
};

function structuredCodec(fields: readonly Field[], format: FormatOf<'json'>): Codec & TextCodec {
  const { path, open, head, tail } = envelopeOf(fields, format);
  const read = objectReader(fields, path, format);
  const write = objectWriter(fields, '', format);
  const parse = fields.some(needsExactNumbers) ? parseExactly : (text: string): unknown => JSON.parse(text);
  return ofText({
    decodeText: (text) => read(open(parseDocument(text, parse))),
    encodeText: (row) => head + write(row) + tail,
  });
}

function unstructuredCodec(fields: readonly Field[]): Codec & TextCodec {
  const make = rowFromMessage(fields);
  const write = jsonWriter('/value');
  return ofText({
    decodeText(text) {
      const document = parseDocument(text, JSON.parse);
      if (!isShallow(document)) throw badData('', tooDeep);
      return make(text);
    },
    encodeText: (row) => write(messageOfRow(row)),
  });
}

/** A json column may have several lines; between values a space means the same. */
function onOneLine({ decodeText, encodeText }: TextCodec): Codec {
  return ofText({ decodeText, encodeText: (row) => encodeText(row).replaceAll(/[\n\r]/g, ' ') });
}

type TextCodec = Required<Pick<Codec, 'decodeText' | 'encodeText'>>;

function ofText({ decodeText, encodeText }: TextCodec): Codec & TextCodec {
  return {
    decodeText,
    encodeText,
    decode(payload) {
      if (!isUtf8(payload)) throw badData('', 'is not UTF-8 text');
      return decodeText(payload.toString());
    },
    encode: (row) => Buffer.from(encodeText(row)),
  };
}

/** The error of JSON.parse is dropped: it quotes the payload. */
function parseDocument(text: string, parse: (text: string) => unknown): unknown {
  if (text === '') throw badData('', 'is empty');
  try {
    return parse(text);
  } catch (error) {
    // The reviver needs stack for each level.
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

function mayHoldNewlines({ type, items, fields = [] }: ListItem): boolean {
  return type === 'json' || (items !== undefined && mayHoldNewlines(items)) || fields.some(mayHoldNewlines);
}
