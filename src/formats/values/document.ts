import type { Codec, FormatDefinition } from '../format.ts';
import { jsonText } from '../json/json-value.ts';
import type { Field } from '../schema/schema.ts';
import { badData, badRow } from './bad.ts';
import { type DocumentTypes, documentReader, plainDocument } from './document-decode.ts';
import { type DocumentWriters, documentWriter, jsonWriter } from './document-encode.ts';
import { rowFromMessage } from './row-literal.ts';

/** The library of a format of self-describing documents, and what it needs around it. */
export interface DocumentLibrary {
  /**
   * Throws `bad_data` for all that the library would read wrongly, slowly, or with another meaning. Answers whether
   * there is a text `__proto__`.
   */
  check(payload: Buffer): boolean;
  /** Reads maps as plain objects. It may rename `__proto__`. */
  decode(payload: Buffer): unknown;
  /** Reads maps as Maps. */
  decodeMaps(payload: Buffer): unknown;
  encode(document: unknown): Buffer;
  types: DocumentTypes;
  writers: DocumentWriters;
}

/** A format whose message is one map with the fields by name, or any document in one json column. */
export function documentFormat(library: DocumentLibrary): Omit<FormatDefinition<'cbor' | 'msgpack'>, 'type'> {
  return {
    wholeMessage: (format) => (format.into_unstructured_json ? 'json' : undefined),
    codec({ fields = [], format }) {
      return format.into_unstructured_json
        ? unstructuredCodec(fields, library)
        : structuredCodec(fields, library);
    },
  };
}

function structuredCodec(fields: readonly Field[], library: DocumentLibrary): Codec {
  const read = documentReader(fields, '', library.types);
  const write = documentWriter(fields, '', library.writers);
  return {
    decode: (payload) => read(parse(payload, library)),
    encode: (row) => library.encode(write(row)),
  };
}

function unstructuredCodec(fields: readonly Field[], library: DocumentLibrary): Codec {
  const make = rowFromMessage(fields);
  const write = jsonWriter('/value');
  return {
    decode: (payload) => make(jsonText(parse(payload, library), '/value', library.types.json)),
    encode({ value }) {
      if (value === null || value === undefined) throw badRow('/value', 'is null, so there is no message');
      return library.encode(write(value));
    },
  };
}

/** What the library says is dropped: it quotes the payload. */
function parse(payload: Buffer, library: DocumentLibrary): unknown {
  if (payload.length === 0) throw badData('', 'is empty');
  const renamed = library.check(payload);
  try {
    // Both libraries rename the key `__proto__`, as a protection that is not needed here.
    if (renamed) return plainDocument(library.decodeMaps(payload));
    return library.decode(payload);
  } catch {
    throw badData('', 'is not a well-formed document');
  }
}
