import Type, { type Static } from 'typebox';
import { TableTime } from './table-time.ts';
import { Format, Framing, SchemaDefinition } from './wire-format.ts';

export type { Format, FormatType, SchemaDefinition } from './wire-format.ts';

/**
 * The wire shape of a connection schema: the messages of a table, and the handling of those that do not fit. Names and
 * nesting are Arroyo's (`ConnectionSchema` in its OpenAPI document), so that its clients can send them.
 */

const strict = { additionalProperties: false } as const;

export const fieldTypes = [
  'int32',
  'int64',
  'uint32',
  'uint64',
  'float32',
  'float64',
  'decimal128',
  'bool',
  'string',
  'bytes',
  'timestamp',
  'json',
  'struct',
  'list',
] as const;
export type FieldTypeName = (typeof fieldTypes)[number];

const typeProperties = {
  type: Type.Enum([...fieldTypes], { description: 'Type of the value' }),
  unit: Type.Optional(
    Type.Enum(['second', 'millisecond', 'microsecond', 'nanosecond'], {
      description: 'timestamp only: precision; default millisecond',
    }),
  ),
  precision: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 38, description: 'decimal128 only: total number of digits' }),
  ),
  scale: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 38, description: 'decimal128 only: digits after the decimal point' }),
  ),
  fields: Type.Optional(
    Type.Unsafe<Field[]>({
      type: 'array',
      maxItems: 1000,
      items: { $ref: 'Field#' },
      description: 'struct only',
    }),
  ),
  items: Type.Optional(Type.Unsafe<ListItem>({ $ref: 'ListItem#' })),
  required: Type.Optional(
    Type.Boolean({ description: 'Whether a missing or null value makes the message bad; default false' }),
  ),
  sql_name: Type.Optional(
    Type.Union([Type.String({ maxLength: 10_000 }), Type.Null()], {
      description: 'Type in SQL; ignored in requests',
    }),
  ),
};

/** One column of a table, or one member of a struct. */
export const Field = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 256 }),
    ...typeProperties,
    metadata_key: Type.Optional(
      Type.Union([Type.String({ maxLength: 64 }), Type.Null()], {
        description: "Key of the connector's metadata that fills this column instead of the payload",
      }),
    ),
  },
  { $id: 'Field', ...strict },
);
export interface Field extends ListItem {
  name: string;
  metadata_key?: string | null;
}

/** Whether the connector fills the column; it is then no part of a message. */
export const isMetadata = ({ metadata_key }: Field): boolean => typeof metadata_key === 'string';

export const messageFields = (fields: readonly Field[]): Field[] =>
  fields.filter((field) => !isMetadata(field));

export const ListItem = Type.Object(
  { name: Type.Optional(Type.String({ maxLength: 256 })), ...typeProperties },
  { $id: 'ListItem', ...strict },
);
export interface ListItem {
  name?: string;
  type: FieldTypeName;
  unit?: 'second' | 'millisecond' | 'microsecond' | 'nanosecond';
  precision?: number;
  scale?: number;
  fields?: Field[];
  items?: ListItem;
  required?: boolean;
  sql_name?: string | null;
}

export const badDataBehaviors = ['fail', 'drop', 'dead_letter'] as const;
export const whenFull = ['drop_oldest', 'fail'] as const;

export const deadLetterDefaults = {
  max_count: 10_000,
  max_bytes: 100 * 1024 * 1024,
  when_full: 'drop_oldest',
} as const;

export const BadData = Type.Object(
  {
    behavior: Type.Enum([...badDataBehaviors], {
      description:
        'fail stops the job, drop counts and skips the message, dead_letter keeps it for repair and replay',
    }),
    max_count: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1_000_000,
        description: `dead_letter only: maximum number of dead letters in a pipeline; default ${deadLetterDefaults.max_count}`,
      }),
    ),
    max_bytes: Type.Optional(
      Type.Integer({
        minimum: 1024,
        maximum: 100 * 1024 ** 3,
        description: `dead_letter only: maximum total size of their payloads in bytes; default ${deadLetterDefaults.max_bytes}`,
      }),
    ),
    when_full: Type.Optional(
      Type.Enum([...whenFull], {
        description: `dead_letter only: whether a full store drops the oldest or fails the job; default ${deadLetterDefaults.when_full}`,
      }),
    ),
  },
  strict,
);
export type BadData = Static<typeof BadData>;

const orNull = <T extends Type.TSchema>(schema: T) => Type.Optional(Type.Union([schema, Type.Null()]));

export const ConnectionSchema = Type.Object(
  {
    format: orNull(Format),
    bad_data: orNull(BadData),
    framing: orNull(Framing),
    fields: Type.Optional(Type.Array(Type.Unsafe<Field>({ $ref: 'Field#' }), { maxItems: 1000 })),
    definition: orNull(SchemaDefinition),
    inferred: orNull(Type.Boolean()),
    time: orNull(TableTime),
    primary_keys: Type.Optional(Type.Array(Type.String({ maxLength: 256 }), { maxItems: 100 })),
  },
  {
    $id: 'ConnectionSchema',
    ...strict,
    examples: [
      {
        format: { type: 'json' },
        bad_data: { behavior: 'drop' },
        fields: [
          { name: 'device', type: 'string', required: true },
          { name: 'celsius', type: 'float64' },
        ],
      },
    ],
  },
);
export type ConnectionSchema = Static<typeof ConnectionSchema>;
