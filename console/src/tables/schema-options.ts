import type { ConnectionSchema } from '../api/client.ts';
import type { Schema } from '../parts/form-values.ts';

/** Options of a table's schema, as forms. The API checks them; rarer ones are in the JSON of the table. */

export type FormatType = NonNullable<ConnectionSchema['format']>['type'];

const compression: Schema = {
  type: 'string',
  enum: ['uncompressed', 'gzip'],
  default: 'uncompressed',
  title: 'Compression',
  description: 'Compression of each message',
};
const skip_empty: Schema = {
  type: 'boolean',
  title: 'Skip empty messages',
  description: 'Skips messages without content, such as deletions of retained messages',
};
const timezone: Schema = {
  type: 'string',
  title: 'Time zone',
  description: 'Of times that have no offset, such as Europe/Berlin',
  default: 'UTC',
};
const confluent_header: Schema = {
  type: 'boolean',
  title: 'Confluent header',
  description: "Each message begins with the header of Confluent's serializers",
};
const registry: Record<string, Schema> = {
  confluent_schema_registry: {
    type: 'boolean',
    title: 'Schema registry',
    description: 'Each message has the id of its schema in the schema registry of the profile',
  },
  subject: {
    type: 'string',
    title: 'Subject',
    description: 'Of the schema in the registry; <topic>-value by default',
  },
};
const whole: Schema = {
  type: 'boolean',
  title: 'One JSON column',
  description: 'Puts the whole message into one column of type json, called value',
};

const options = (properties: Record<string, Schema>): Schema => ({ type: 'object', properties });
const common = { compression, skip_empty };

/** Name of each format for people, and its options. */
export const formats: Record<FormatType, { label: string; schema: Schema }> = {
  json: {
    label: 'JSON',
    schema: options({
      unstructured: whole,
      ...registry,
      timestamp_format: {
        type: 'string',
        enum: ['rfc3339', 'without_zone', 'unix_seconds', 'unix_millis', 'unix_micros', 'unix_nanos'],
        default: 'rfc3339',
        title: 'Timestamps',
        description: 'How times are written',
      },
      decimal_encoding: {
        type: 'string',
        enum: ['number', 'string', 'bytes'],
        default: 'number',
        title: 'Decimals',
        description: 'How decimals are written',
      },
      timezone,
      include_schema: {
        type: 'boolean',
        title: 'Kafka Connect envelope',
        description: 'Wraps each message as {schema, payload}',
      },
      debezium: {
        type: 'boolean',
        title: 'Debezium envelope',
        description: 'Wraps each message in the envelope of a change: {before, after, op}',
      },
      ...common,
    }),
  },
  csv: {
    label: 'CSV',
    schema: options({
      delimiter: {
        type: 'string',
        title: 'Delimiter',
        description: 'Character between the values',
        default: ',',
      },
      quote: { type: 'string', title: 'Quote', description: 'Character around a value', default: '"' },
      header: {
        type: 'boolean',
        title: 'Header line',
        description: 'Each message begins with a line of column names',
      },
      decimal_separator: {
        type: 'string',
        enum: ['.', ','],
        default: '.',
        title: 'Decimal separator',
        description: 'Character before the fraction of a number',
      },
      null_value: {
        type: 'string',
        title: 'Null',
        description: 'Unquoted text that means null; default empty',
      },
      timezone,
      ...common,
    }),
  },
  raw_string: { label: 'Text', schema: options(common) },
  raw_bytes: { label: 'Bytes', schema: options(common) },
  avro: {
    label: 'Avro',
    schema: options({
      ...registry,
      confluent_header,
      raw_datums: {
        type: 'boolean',
        title: 'Raw datums',
        description: 'Each message is one datum without a header',
      },
      single_object: {
        type: 'boolean',
        title: 'Single object',
        description: 'Each message is one datum behind the header of the single-object encoding',
      },
      into_unstructured_json: whole,
      ...common,
    }),
  },
  protobuf: {
    label: 'Protobuf',
    schema: options({
      message_name: {
        type: 'string',
        title: 'Message',
        description: 'Full name of the message type, if the definition has several',
      },
      length_delimited: {
        type: 'boolean',
        title: 'Length-delimited',
        description: 'A message holds any number of records, each behind its length',
      },
      ...registry,
      confluent_header,
      into_unstructured_json: whole,
      ...common,
    }),
  },
  parquet: {
    label: 'Parquet',
    schema: options({
      compression: {
        type: 'string',
        enum: ['uncompressed', 'snappy', 'gzip', 'zstd'],
        default: 'zstd',
        title: 'Compression',
        description: 'Compression of the pages',
      },
      row_group_bytes: {
        type: 'integer',
        title: 'Row group',
        description: 'Approximate bytes of a row group before compression; 128 MiB by default',
      },
    }),
  },
  cbor: { label: 'CBOR', schema: options({ into_unstructured_json: whole, timezone, ...common }) },
  msgpack: { label: 'MessagePack', schema: options({ into_unstructured_json: whole, timezone, ...common }) },
  sparkplug_b: { label: 'Sparkplug B', schema: options(common) },
  senml: {
    label: 'SenML',
    schema: options({
      encoding: {
        type: 'string',
        enum: ['json', 'cbor'],
        default: 'json',
        title: 'Encoding',
        description: 'Encoding of a pack',
      },
      ...common,
    }),
  },
};

/** Languages in which the columns of a format can be defined. */
export const definitions: Partial<Record<FormatType, { type: string; label: string }>> = {
  json: { type: 'json_schema', label: 'JSON Schema' },
  avro: { type: 'avro_schema', label: 'Avro schema' },
  protobuf: { type: 'protobuf_schema', label: 'Protobuf definition' },
};

export const badData: Schema = {
  type: 'object',
  properties: {
    behavior: {
      type: 'string',
      enum: ['fail', 'drop', 'dead_letter'],
      default: 'fail',
      title: 'Behavior',
      description:
        'fail stops the job, drop counts and skips the message, dead_letter keeps it for repair and replay',
    },
    when_full: {
      type: 'string',
      enum: ['drop_oldest', 'fail'],
      default: 'drop_oldest',
      title: 'When the store is full',
      description: 'For dead_letter: drop the oldest, or fail the job',
    },
    max_count: {
      type: 'integer',
      title: 'Maximum number',
      description: 'For dead_letter: number of dead letters in a pipeline',
      default: 10_000,
    },
    max_bytes: {
      type: 'integer',
      title: 'Maximum bytes',
      description: 'For dead_letter: total size of their payloads',
      default: 104_857_600,
    },
  },
};

/** How windows treat the rows of a source. */
export const time = (timestamps: readonly string[], names: readonly string[]): Schema => ({
  type: 'object',
  properties: {
    event_time_field: {
      type: 'string',
      enum: [...timestamps],
      title: 'Event time',
      description: 'Field with the time of an event; without it the time of arrival counts',
    },
    watermark_delay_ms: {
      type: 'integer',
      title: 'Watermark delay',
      description: 'Milliseconds that a row may come after later ones and still count; needs an event time',
      default: 1000,
    },
    idle_timeout_ms: {
      type: 'integer',
      title: 'Idle timeout',
      description: 'Milliseconds without rows after which the source holds no windows open; 0: never',
      default: 300_000,
    },
    max_ahead_ms: {
      type: 'integer',
      title: 'Maximum ahead',
      description: 'Milliseconds ahead of the clock from which a row is treated as a late one',
      default: 60_000,
    },
    late_data: {
      type: 'string',
      enum: ['drop', 'dead_letter'],
      default: 'drop',
      title: 'Late rows',
      description: 'What becomes of a row whose windows are closed',
    },
    dedupe: {
      type: 'object',
      title: 'Duplicates',
      description: 'Messages with the same values within a time count once',
      properties: {
        columns: {
          type: 'array',
          items: { type: 'string' },
          title: 'Fields',
          description: `Fields that identify a message, such as ${names[0] ?? 'id'}`,
        },
        horizon_ms: {
          type: 'integer',
          title: 'Horizon',
          description: 'Milliseconds within which a further message with the same values does not count',
        },
      },
    },
  },
});
