import Type, { type Static, type TLiteral, type TObject, type TProperties } from 'typebox';

/** The wire shapes of formats and framings: those of Arroyo, also the ones that Penstock refuses with a reason, and ours. */

const strict = { additionalProperties: false } as const;

const flag = (description: string) => Type.Optional(Type.Boolean({ description }));
const oneOf = <T extends string>(values: T[], description: string) =>
  Type.Optional(Type.Enum(values, { description }));
const character = (description: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 1, description }));
const refused = Type.Optional(
  Type.Null({ description: 'Known from Arroyo and refused: omit it, or send null' }),
);
const registryOptions = {
  confluent_schema_registry: flag(
    'Each message has the id of its schema in the schema registry of the connection profile or table, in the header of Confluent',
  ),
  subject: Type.Optional(
    Type.Union([Type.String({ maxLength: 1_024 }), Type.Null()], {
      description: 'confluent_schema_registry only: subject of the schema; default by the strategy',
    }),
  ),
  subject_strategy: oneOf(
    ['topic', 'record', 'topic_record'],
    'confluent_schema_registry only: subject <topic>-value, <record name> or <topic>-<record name>; default topic',
  ),
  register_schema: flag(
    'confluent_schema_registry only: whether a sink registers its schema if the subject does not have it; default true',
  ),
};
const confluentHeader = flag(
  "Each message begins with the header of Confluent's serializers: a zero byte and the schema id, then in protobuf the message indexes",
);
const schemaId = Type.Optional(
  Type.Union([Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1 }), Type.Null()], {
    description:
      'Schema id that is written. With confluent_header alone messages with another id are bad data; with confluent_schema_registry it is not looked up',
  }),
);
const intoJson = flag('Puts the whole message into one json column called value');

const timezone = Type.Optional(
  Type.Union([Type.String({ minLength: 1, maxLength: 64 }), Type.Null()], {
    description: 'Time zone of times that have no offset, e.g. Europe/Berlin; default UTC',
  }),
);

/** The shape of a format: its type and title, its own options, and those of every format. */
const format = <T extends string, P extends TProperties>(type: T, title: string, properties: P) =>
  Type.Object(
    {
      type: Type.Literal(type),
      // In Arroyo compression belongs to json alone.
      compression: oneOf(['uncompressed', 'gzip'], 'Compression of each message; default uncompressed'),
      skip_empty: flag(
        'Skips messages without content, such as deletions of retained messages; default false: bad data',
      ),
      ...properties,
    },
    { title, ...strict },
  );

const JsonFormat = format('json', 'Json', {
  ...registryOptions,
  confluent_header: confluentHeader,
  schema_id: schemaId,
  include_schema: flag('Wraps each message as {schema, payload}, like Kafka Connect'),
  debezium: flag('Wraps each message in the envelope of a change: {before, after, op}'),
  unstructured: flag('Puts the whole document into one json column called value'),
  timestamp_format: oneOf(
    ['rfc3339', 'without_zone', 'unix_seconds', 'unix_millis', 'unix_micros', 'unix_nanos'],
    'Encoding of timestamps; default rfc3339. without_zone is the same without the Z at its end, as Arroyo writes it. The others count since 1970, in integers or fractions',
  ),
  timezone,
  decimal_encoding: oneOf(
    ['number', 'string', 'bytes'],
    "Encoding of decimals; default number. bytes is base64 of the unscaled digits as a big-endian two's complement",
  ),
});

const AvroFormat = format('avro', 'Avro', {
  ...registryOptions,
  confluent_header: confluentHeader,
  raw_datums: flag('Each message is one datum without a header'),
  single_object: flag('Each message is one datum behind the header of the single-object encoding'),
  into_unstructured_json: intoJson,
  union_branches: flag('JSON shows the branch of a union of several types, as {"name": value}'),
  reader_schema: refused,
  schema_id: schemaId,
});

const ProtobufFormat = format('protobuf', 'Protobuf', {
  ...registryOptions,
  confluent_header: confluentHeader,
  schema_id: schemaId,
  into_unstructured_json: intoJson,
  message_name: Type.Optional(
    Type.Union([Type.String({ maxLength: 1_000 }), Type.Null()], {
      description: 'Full name of the message type; optional, or empty, if the definition has only one',
    }),
  ),
  compiled_schema: refused,
  length_delimited: flag('A message holds any number of records, each behind its length as a varint'),
});

const ParquetFormat = Type.Object(
  {
    type: Type.Literal('parquet'),
    compression: oneOf(['uncompressed', 'snappy', 'gzip', 'zstd'], 'Compression of the pages; default zstd'),
    row_group_bytes: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1024, maximum: 2 ** 31 - 1 }), Type.Null()], {
        description: 'Approximate bytes of a row group before compression; default 128 MiB',
      }),
    ),
  },
  {
    title: 'Parquet',
    description: 'For connectors that write whole files: parquet is no message',
    ...strict,
  },
);

const CsvFormat = format('csv', 'Csv', {
  delimiter: character('Character between the values; default a comma'),
  quote: character('Character around a value; default "'),
  header: flag(
    'Each message begins with a line of column names; otherwise columns are in the order of the fields',
  ),
  decimal_separator: oneOf(['.', ','], 'Character before the fraction of a number; default a point'),
  null_value: Type.Optional(
    Type.String({ maxLength: 100, description: 'Unquoted text that means null; default empty' }),
  ),
  timezone,
});

export const formatVariants = {
  json: JsonFormat,
  avro: AvroFormat,
  protobuf: ProtobufFormat,
  parquet: ParquetFormat,
  raw_string: format('raw_string', 'RawString', {}),
  raw_bytes: format('raw_bytes', 'RawBytes', {}),
  csv: CsvFormat,
  cbor: format('cbor', 'Cbor', { into_unstructured_json: intoJson, timezone }),
  msgpack: format('msgpack', 'Msgpack', { into_unstructured_json: intoJson, timezone }),
  sparkplug_b: format('sparkplug_b', 'SparkplugB', {}),
  senml: format('senml', 'Senml', {
    encoding: oneOf(['json', 'cbor'], 'Encoding of a pack; default json'),
  }),
} as const;

/** Alternatives told apart by the literal of one property, so that an error is about the intended one. */
const tagged = <T extends readonly TObject[]>(tag: string, oneOf: T, description: string) =>
  Type.Unsafe<Static<T[number]>>({
    type: 'object',
    required: [tag],
    properties: {
      [tag]: Type.Enum(oneOf.map(({ properties }) => (properties[tag] as TLiteral<string>).const)),
    },
    discriminator: { propertyName: tag },
    oneOf,
    description,
  });

export const Format = tagged('type', Object.values(formatVariants), 'Encoding of a message');
export type Format = Static<(typeof formatVariants)[keyof typeof formatVariants]>;
export type FormatType = Format['type'];

const NewlineFraming = Type.Object(
  {
    method: Type.Literal('newline'),
    max_line_length: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), Type.Null()], {
        description: 'Maximum bytes of a line; a longer one is bad data. Default unlimited',
      }),
    ),
  },
  { title: 'Newline', ...strict },
);

export const Framing = tagged('method', [NewlineFraming], 'Separation of several rows in one message');

export const maxDefinition = 400_000;
const document = Type.String({ minLength: 1, maxLength: maxDefinition });

const definitions = [
  Type.Object({ type: Type.Literal('json_schema'), schema: document }, { title: 'JsonSchema', ...strict }),
  Type.Object(
    {
      type: Type.Literal('protobuf_schema'),
      schema: document,
      dependencies: Type.Optional(
        Type.Record(
          Type.String({ minLength: 1, maxLength: 1_000 }),
          Type.String({ maxLength: maxDefinition }),
          {
            description: 'Imported files by their import name',
            maxProperties: 100,
          },
        ),
      ),
    },
    { title: 'Protobuf', ...strict },
  ),
  Type.Object({ type: Type.Literal('avro_schema'), schema: document }, { title: 'Avro', ...strict }),
] as const;

export const SchemaDefinition = tagged(
  'type',
  definitions,
  'Schema in the language of the format, from which the fields are derived',
);
export type SchemaDefinition = Static<(typeof definitions)[number]>;
