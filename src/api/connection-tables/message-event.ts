import { isUtf8 } from 'node:buffer';
import { StringDecoder } from 'node:string_decoder';
import Type from 'typebox';
import { errorCatalog } from '../../connectors/catalog.ts';
import type { ConnectorDefinition, Watched } from '../../connectors/connector.ts';
import { type FillMetadata, metadataField, metadataFiller } from '../../connectors/metadata.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import { codecFor, readRows } from '../../formats/codec.ts';
import type { Codec, Row } from '../../formats/format.ts';
import { objectWriter, type Writer } from '../../formats/json/encode.ts';
import type { RegisteredSchemas } from '../../formats/registered.ts';
import type { ConnectionSchema, Field, ListItem } from '../../formats/schema/schema.ts';
import { nullable } from '../schemas.ts';

const shownBytes = 4 * 1024;
/** Maximum size of a row, and of the metadata of a message, in characters of JSON. */
const maxText = 64 * 1024;
/** Maximum number of good rows, and of bad rows, shown of one message. */
const maxRows = 100;
/** Maximum size of a payload that is decoded, in bytes. */
export const maxDecoded = 1024 * 1024;

const AnyObject = Type.Record(Type.String(), Type.Unknown());

/** The properties of an event that shows a message, besides Arroyo's `error`, `done` and `message`. */
export const messageProperties = {
  row: Type.Optional(
    nullable(AnyObject, {
      description:
        'row: the columns of the table. Numbers are exact, bytes in base64, times in RFC 3339. Null if too large',
    }),
  ),
  metadata: Type.Optional(
    nullable(AnyObject, {
      description: 'All metadata columns of the connector; null if too large',
    }),
  ),
  received_at: Type.Optional(Type.Integer({ description: 'Unix microseconds' })),
  bytes: Type.Optional(Type.Integer({ description: 'Size of the payload' })),
  code: Type.Optional(nullable(Type.Enum(Object.keys(errorCatalog)))),
  errors: Type.Optional(
    Type.Array(Type.Object({ path: Type.String(), message: Type.String() }), {
      description: 'bad_message: JSON pointers into the message, and what is wrong there',
    }),
  ),
  payload: Type.Optional(
    Type.Object(
      {
        text: nullable(Type.String({ description: 'If it is UTF-8' })),
        base64: nullable(Type.String({ description: 'If it is not UTF-8' })),
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

interface MessageEvent {
  bad: boolean;
  /** A JSON object, written by hand because 64-bit integers are numbers in it. */
  json: string;
}

export class MessageReader {
  readonly #codec: Codec;
  readonly #fill: FillMetadata | undefined;

  constructor(schema: ConnectionSchema, codec: Codec) {
    this.#codec = codec;
    this.#fill = metadataFiller(schema.fields ?? []);
  }

  /** See `Codec.prepare`. Await it before messages are read. */
  ready(messages: readonly Pick<Watched, 'payload'>[]): Promise<void> | undefined {
    return this.#codec.prepare?.(messages.map(({ payload }) => payload));
  }

  read({ payload, metadata }: Omit<Watched, 'receivedAt'>, onBad: (error: unknown) => void): Row[] {
    const rows = readRows(this.#codec, payload, onBad);
    for (const row of rows) this.#fill?.(row, metadata);
    return rows;
  }
}

/** Shows the messages of one table to a person. */
export class MessageEvents {
  readonly #reader: MessageReader;
  readonly #writeRow: Writer;
  readonly #writeMetadata: Writer;

  readonly #unexpected: ((error: unknown) => void) | undefined;

  /** `unexpected` gets errors that no message is to blame for; without it they are thrown. */
  constructor(
    connector: ConnectorDefinition,
    schema: ConnectionSchema,
    {
      schemas,
      unexpected,
    }: { schemas?: RegisteredSchemas | undefined; unexpected?: (error: unknown) => void } = {},
  ) {
    const fields = schema.fields ?? [];
    this.#unexpected = unexpected;
    this.#reader = new MessageReader(schema, codecFor(schema, schemas));
    this.#writeRow = rowWriter(fields);
    this.#writeMetadata = rowWriter(connector.metadata.map(metadataField));
  }

  /** See `Codec.prepare`. Await it before messages are shown. */
  ready(messages: readonly Watched[]): Promise<void> | undefined {
    return this.#reader.ready(messages);
  }

  show(message: Watched): MessageEvent[] {
    const { payload, metadata } = message;
    const seen = {
      metadata: textOf(() => this.#writeMetadata(metadata as never)).text,
      received_at: String(Math.round(message.receivedAt * 1000)),
      bytes: String(payload.length),
    };
    if (payload.length > maxDecoded)
      return [good(`The message has ${payload.length} bytes, which is too many to show`, null, seen)];
    const wrong: MessageEvent[] = [];
    const rows = this.#reader.read(message, (error) => {
      if (!(error instanceof PenstockError)) this.#report(error);
      if (wrong.length < maxRows) wrong.push(bad(asPenstockError(error), payload, seen));
    });
    const right = rows.slice(0, maxRows).map((row) => {
      const { text, problem } = textOf(() => this.#writeRow(row));
      return good(
        problem === undefined ? rowExample.message : `The message fits the schema; ${problem}`,
        text,
        seen,
      );
    });
    return [...right, ...wrong];
  }

  #report(error: unknown): void {
    if (!this.#unexpected) throw error;
    this.#unexpected(error);
  }
}

/** The JSON text of a row. One that cannot be written for people, such as a time after the year 9999, has none. */
export function textOf(write: () => string): { text: string | null; problem?: string } {
  try {
    const text = upTo(maxText, write());
    return text === null ? { text, problem: 'it is too large to show' } : { text };
  } catch (error) {
    if (!(error instanceof PenstockError) && !(error instanceof RangeError)) throw error;
    return { text: null, problem: `it cannot be shown: ${error.message}` };
  }
}

type Raw = Record<string, string | null>;

const good = (message: string, row: string | null, seen: Raw): MessageEvent => ({
  bad: false,
  json: withRaw({ error: false, done: false, name: 'row', message }, { row, ...seen }),
});

function bad({ message, code, errors }: PenstockError, payload: Buffer, seen: Raw): MessageEvent {
  const event = { error: true, done: false, name: 'bad_message', message, code, errors };
  return { bad: true, json: withRaw({ ...event, payload: beginningOf(payload) }, seen) };
}

/** Writes an object as JSON, with further members that are JSON already. */
export const withRaw = (object: object, members: Raw): string =>
  `${JSON.stringify(object).slice(0, -1)},${Object.entries(members)
    .map(([name, json]) => `"${name}":${json}`)
    .join(',')}}`;

const upTo = (max: number, text: string): string | null => (text.length > max ? null : text);

function beginningOf(payload: Buffer): { text: string | null; base64: string | null; truncated: boolean } {
  const beginning = payload.subarray(0, shownBytes);
  const truncated = beginning.length < payload.length;
  if (!isUtf8(payload)) return { text: null, base64: beginning.toString('base64'), truncated };
  // Leaves out a character that was cut in two.
  return { text: new StringDecoder('utf8').write(beginning), base64: null, truncated };
}

/** Writes rows with these columns as JSON for people. */
export const rowWriter = (fields: readonly Field[]): Writer =>
  objectWriter(shownFields(fields), '', { type: 'json' });

/** Nothing is required for display: a NaN, for example, becomes null in JSON. */
export const shownFields = (fields: readonly Field[]): Field[] =>
  fields.map(({ metadata_key: _, ...field }) => forgiving(field));

function forgiving<T extends ListItem>(item: T): T {
  return {
    ...item,
    required: false,
    ...(item.fields ? { fields: item.fields.map(forgiving) } : {}),
    ...(item.items ? { items: forgiving(item.items) } : {}),
  };
}
