import Type, { type Static, type TLiteral, type TObject } from 'typebox';

/**
 * The wire shapes of a format and of framing: Arroyo's, a union tagged by `type` (`method`), and ours beside them.
 * What Arroyo has and Penstock refuses is here too, so that the refusal can say why.
 */

const strict = { additionalProperties: false } as const;

const flag = (description: string) => Type.Optional(Type.Boolean({ description }));
const refused = { description: 'Known from Arroyo and refused: leave it out, or null' } as const;
const noRegistry = flag('Refused when true: there is no schema registry');

/** What every format has. In Arroyo compression belongs to json alone. */
const shared = {
  compression: Type.Optional(
    Type.Enum(['uncompressed', 'gzip'], {
      description: 'How a message as a whole is compressed; uncompressed if left out',
    }),
  ),
};

const JsonFormat = Type.Object(
  {
    type: Type.Literal('json'),
    ...shared,
    confluent_schema_registry: noRegistry,
    schema_id: Type.Optional(Type.Null(refused)),
    include_schema: flag('Each message is {schema, payload} as Kafka Connect writes it'),
    debezium: flag('Each message is the envelope of a change: {before, after, op}'),
    unstructured: flag('The whole document in one json column called value'),
    timestamp_format: Type.Optional(
      Type.Enum(['rfc3339', 'unix_millis'], {
        description: 'How timestamps are written; rfc3339 if left out',
      }),
    ),
    decimal_encoding: Type.Optional(
      Type.Enum(['number', 'string', 'bytes'], {
        description:
          'How decimals are written; number if left out. bytes is base64 of the digits without the point as a ' +
          "big-endian two's complement",
      }),
    ),
  },
  { title: 'Json', ...strict },
);

const AvroFormat = Type.Object(
  {
    type: Type.Literal('avro'),
    ...shared,
    confluent_schema_registry: noRegistry,
    raw_datums: flag('Each message is one datum without a header'),
    single_object: flag('Each message is one datum behind the header of the single-object encoding'),
    into_unstructured_json: flag('The whole message in one json column called value'),
    reader_schema: Type.Optional(Type.Null(refused)),
    schema_id: Type.Optional(Type.Null(refused)),
  },
  { title: 'Avro', ...strict },
);

const ProtobufFormat = Type.Object(
  {
    type: Type.Literal('protobuf'),
    ...shared,
    confluent_schema_registry: noRegistry,
    into_unstructured_json: flag('The whole message in one json column called value'),
    message_name: Type.Optional(
      Type.Union([Type.String({ minLength: 1, maxLength: 1_000 }), Type.Null()], {
        description:
          'Full name of the message type in the definition; may be left out when there is only one',
      }),
    ),
    compiled_schema: Type.Optional(Type.Null(refused)),
    length_delimited: flag('A message holds any number of records, each behind its length as a varint'),
  },
  { title: 'Protobuf', ...strict },
);

const ParquetFormat = Type.Object(
  {
    type: Type.Literal('parquet'),
    compression: Type.Optional(Type.Unknown()),
    row_group_bytes: Type.Optional(Type.Unknown()),
  },
  { title: 'Parquet', description: 'Refused: parquet is a file, not a message', ...strict },
);

const RawStringFormat = Type.Object(
  { type: Type.Literal('raw_string'), ...shared },
  { title: 'RawString', ...strict },
);

const RawBytesFormat = Type.Object(
  { type: Type.Literal('raw_bytes'), ...shared },
  { title: 'RawBytes', ...strict },
);

const CsvFormat = Type.Object(
  {
    type: Type.Literal('csv'),
    ...shared,
    delimiter: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1, description: 'Between the values; a comma if left out' }),
    ),
    quote: Type.Optional(
      Type.String({ minLength: 1, maxLength: 1, description: 'Around a value; " if left out' }),
    ),
    header: flag('Each message begins with a line of column names; without it the order of the fields rules'),
    null_value: Type.Optional(
      Type.String({
        maxLength: 100,
        description: 'The unquoted text that stands for null; empty if left out',
      }),
    ),
  },
  { title: 'Csv', ...strict },
);

const CborFormat = Type.Object(
  {
    type: Type.Literal('cbor'),
    ...shared,
    into_unstructured_json: flag('The whole message in one json column called value'),
  },
  { title: 'Cbor', ...strict },
);

const MsgpackFormat = Type.Object(
  {
    type: Type.Literal('msgpack'),
    ...shared,
    into_unstructured_json: flag('The whole message in one json column called value'),
  },
  { title: 'Msgpack', ...strict },
);

const SparkplugFormat = Type.Object(
  { type: Type.Literal('sparkplug_b'), ...shared },
  { title: 'SparkplugB', ...strict },
);

/** The shape of each format by its type. */
export const formatVariants = {
  json: JsonFormat,
  avro: AvroFormat,
  protobuf: ProtobufFormat,
  parquet: ParquetFormat,
  raw_string: RawStringFormat,
  raw_bytes: RawBytesFormat,
  csv: CsvFormat,
  cbor: CborFormat,
  msgpack: MsgpackFormat,
  sparkplug_b: SparkplugFormat,
} as const;

/** Alternatives told apart by the literal of one property, so that an error is about the one that was meant. */
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

/** How a message's bytes become a row. `type` is the format; the rest are its options. */
export const Format = tagged('type', Object.values(formatVariants), 'How the bytes of a message are written');
export type Format = Static<(typeof formatVariants)[keyof typeof formatVariants]>;
export type FormatType = Format['type'];

const NewlineFraming = Type.Object(
  {
    method: Type.Literal('newline'),
    max_line_length: Type.Optional(
      Type.Union([Type.Integer({ minimum: 1, maximum: 2 ** 31 - 1 }), Type.Null()], {
        description: 'Bytes that a line may have; a longer one is bad data. Without limit if left out',
      }),
    ),
  },
  { title: 'Newline', ...strict },
);

/** How one message holds several rows. */
export const Framing = tagged('method', [NewlineFraming], 'How one message holds several rows');

const maxDefinition = 200_000;
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
            description: 'The files that the schema imports, by the name it imports them by',
            maxProperties: 100,
          },
        ),
      ),
    },
    { title: 'Protobuf', ...strict },
  ),
  Type.Object({ type: Type.Literal('avro_schema'), schema: document }, { title: 'Avro', ...strict }),
] as const;

/** What the fields are derived from. */
export const SchemaDefinition = tagged(
  'type',
  definitions,
  'A schema in the language of the format; the fields are derived from it',
);
export type SchemaDefinition = Static<(typeof definitions)[number]>;
