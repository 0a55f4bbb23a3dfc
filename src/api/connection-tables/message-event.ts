import { isUtf8 } from 'node:buffer';
import { StringDecoder } from 'node:string_decoder';
import Type from 'typebox';
import type { ConnectorDefinition, Watched } from '../../connectors/connector.ts';
import { type FillMetadata, metadataField, metadataFiller } from '../../connectors/metadata.ts';
import { errorCatalog } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { codecFor, readRows } from '../../formats/codec.ts';
import type { Codec } from '../../formats/format.ts';
import { objectWriter, type Writer } from '../../formats/json/json-encode.ts';
import type { ConnectionSchema, Field, ListItem } from '../../formats/schema/schema.ts';

/** One message for a person to look at: as a row, or with what is wrong with it. */

/** Of a bad message so many bytes are shown. */
const shownBytes = 4 * 1024;
/** A row, and the metadata of a message, are shown up to so many characters of JSON each. */
const maxText = 64 * 1024;
/** Of a message with many rows so many are shown, and so many that are bad. */
const maxRows = 100;
/** A larger payload is not decoded. */
const maxDecoded = 1024 * 1024;

const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const AnyObject = Type.Record(Type.String(), Type.Unknown());

/** What is shown of a message beside Arroyo's `error`, `done` and `message`. */
export const messageProperties = {
  row: Type.Optional(
    Type.Union([AnyObject, Type.Null()], {
      description:
        'row: the columns as the table has them, numbers exact, bytes in base64, times in RFC 3339; null when too large',
    }),
  ),
  metadata: Type.Optional(
    Type.Union([AnyObject, Type.Null()], {
      description: 'Every metadata column of the connector; null when too large',
    }),
  ),
  received_at: Type.Optional(Type.Integer({ description: 'Unix microseconds' })),
  bytes: Type.Optional(Type.Integer({ description: 'Of the payload' })),
  code: Type.Optional(nullable(Type.Enum(Object.keys(errorCatalog)))),
  errors: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
      description: 'bad_message: JSON pointers into the message, and what is wrong there',
    }),
  ),
  payload: Type.Optional(
    Type.Object(
      {
        text: nullable(Type.String({ description: 'When it is UTF-8' })),
        base64: nullable(Type.String({ description: 'When it is not' })),
        truncated: Type.Boolean(),
      },
      { description: `bad_message: the first ${shownBytes} bytes` },
    ),
  ),
};

export const rowExample = {
  error: false,
  done: false,
  name: 'row',
  message: 'The message fits the schema',
  row: { device: 'oven-1', celsius: 218.5 },
  metadata: { topic: 'plant/oven-1/temperature', qos: 0, retain: false },
  received_at: 1_790_000_000_000_000,
  bytes: 36,
};

export interface MessageEvent {
  bad: boolean;
  /** A JSON object. JSON.stringify could not write it: 64-bit integers are numbers in it. */
  json: string;
}

/** Shows the messages of one table. */
export class MessageEvents {
  readonly #codec: Codec;
  readonly #fill: FillMetadata;
  readonly #writeRow: Writer;
  readonly #writeMetadata: Writer;

  constructor(connector: ConnectorDefinition, schema: ConnectionSchema) {
    const fields = schema.fields ?? [];
    this.#codec = codecFor(schema);
    this.#fill = metadataFiller(fields);
    this.#writeRow = rowWriter(fields);
    this.#writeMetadata = rowWriter(connector.metadata.map(metadataField));
  }

  /** One event for each row of the message, and one for each thing that is wrong with it. Throws only what is a defect of ours. */
  show(message: Watched): MessageEvent[] {
    const { payload, metadata } = message;
    const seen = {
      metadata: upTo(maxText, this.#writeMetadata(metadata as never)),
      received_at: String(Math.round(message.receivedAt * 1000)),
      bytes: String(payload.length),
    };
    if (payload.length > maxDecoded)
      return [good(`A message of ${payload.length} bytes is not shown`, null, seen)];
    const wrong: MessageEvent[] = [];
    const rows = readRows(this.#codec, payload, (error) => {
      if (!(error instanceof PenstockError)) throw error;
      if (wrong.length < maxRows) wrong.push(bad(error, payload, seen));
    });
    const right = rows.slice(0, maxRows).map((row) => {
      this.#fill(row, metadata);
      const text = upTo(maxText, this.#writeRow(row));
      return good(text === null ? tooLarge : rowExample.message, text, seen);
    });
    return [...right, ...wrong];
  }
}

const tooLarge = 'The message fits the schema; it is too large to be shown';

type Raw = Record<string, string | null>;

const good = (message: string, row: string | null, seen: Raw): MessageEvent => ({
  bad: false,
  json: withRaw({ error: false, done: false, name: 'row', message }, { row, ...seen }),
});

function bad({ message, code, errors }: PenstockError, payload: Buffer, seen: Raw): MessageEvent {
  const said = { error: true, done: false, name: 'bad_message', message, code, errors };
  return { bad: true, json: withRaw({ ...said, payload: beginningOf(payload) }, seen) };
}

/** An object as JSON with more members, which are JSON already. */
export const withRaw = (object: object, members: Raw): string =>
  `${JSON.stringify(object).slice(0, -1)},${Object.entries(members)
    .map(([name, json]) => `"${name}":${json}`)
    .join(',')}}`;

const upTo = (most: number, text: string): string | null => (text.length > most ? null : text);

function beginningOf(payload: Buffer): { text: string | null; base64: string | null; truncated: boolean } {
  const beginning = payload.subarray(0, shownBytes);
  const truncated = beginning.length < payload.length;
  if (!isUtf8(payload)) return { text: null, base64: beginning.toString('base64'), truncated };
  // Keeps back a character that was cut in two.
  return { text: new StringDecoder('utf8').write(beginning), base64: null, truncated };
}

/** Writes rows of these columns as JSON for a person to look at. */
export const rowWriter = (fields: readonly Field[]): Writer =>
  objectWriter(
    fields.map(({ metadata_key: _, ...field }) => forgiving(field)),
    '',
    { type: 'json' },
  );

/** Nothing is required of what is only shown: a NaN, for one, is null in JSON. */
function forgiving<T extends ListItem>(item: T): T {
  return {
    ...item,
    required: false,
    ...(item.fields ? { fields: item.fields.map(forgiving) } : {}),
    ...(item.items ? { items: forgiving(item.items) } : {}),
  };
}
