import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import { lineErrors } from '../../files/records.ts';
import { locationOf } from './location.ts';
import { checkTimePattern } from './time-pattern.ts';

/** The schema of a filesystem table. Names and nesting are Arroyo's, so that its clients can send them. */

const strict = { additionalProperties: false } as const;

const storageOptions = Type.Optional(
  Type.Record(Type.String({ maxLength: 99 }), Type.String({ maxLength: 99 }), {
    title: 'Storage Options',
    description:
      'Refused when it has entries: the endpoint, the region and the credentials belong in the profile',
  }),
);

const path = (description: string) =>
  Type.String({ title: 'Path', description, minLength: 1, maxLength: 1024 });

const compression = (description: string) =>
  Type.Optional(
    Type.Enum(['none', 'zstd', 'gzip'], { title: 'Compression Format', description, default: 'none' }),
  );

const seconds = (title: string, description: string) =>
  Type.Optional(Type.Integer({ title, description, minimum: 1, maximum: 86_400 }));

const Source = Type.Object(
  {
    type: Type.Enum(['source'], { title: 'Type' }),
    path: path('Folder to read, below PENSTOCK_FILE_DIR, or s3://bucket/prefix'),
    compression_format: compression('Compression of the files'),
    regex_pattern: Type.Optional(
      Type.String({
        title: 'File Regex Pattern',
        description:
          'Files to read: their path below the folder matches it somewhere. By default all are read.',
        maxLength: 500,
      }),
    ),
    storage_options: storageOptions,
  },
  { title: 'Source', ...strict },
);

const RollingPolicy = Type.Object(
  {
    file_size_bytes: Type.Optional(
      Type.Integer({
        title: 'File Size',
        description: 'Bytes after which a file is closed, before compression; 64 MiB by default',
        minimum: 1,
        maximum: 1_073_741_824,
      }),
    ),
    interval_seconds: seconds('Interval Seconds', 'Age after which a file is closed; 60 by default'),
    inactivity_seconds: seconds(
      'Inactivity Seconds',
      'Time without a row after which a file is closed; 5 by default',
    ),
    watermark_expiration: Type.Optional(
      Type.Boolean({
        title: 'Watermark Expiration',
        description: 'Refused when true: there are no watermarks',
      }),
    ),
  },
  { title: 'File Rolling Policy', ...strict },
);

const FileNaming = Type.Object(
  {
    prefix: Type.Optional(
      Type.String({
        title: 'Filename Prefix',
        description: 'Text before the name, with a hyphen',
        maxLength: 64,
      }),
    ),
    suffix: Type.Optional(
      Type.String({
        title: 'Filename Suffix',
        description: 'Ending after a point instead of that of the format, such as json or parquet',
        maxLength: 32,
      }),
    ),
    strategy: Type.Optional(
      Type.Enum(['uuid_v7', 'serial', 'uuid', 'ulid'], {
        title: 'Filename Strategy',
        description: 'Names of files: uuid_v7 and ulid sort by time, serial counts in each folder',
        default: 'uuid_v7',
      }),
    ),
  },
  { title: 'File Naming', ...strict },
);

const Partitioning = Type.Object(
  {
    time_pattern: Type.Optional(
      Type.String({
        title: 'Time Partition Pattern',
        description: 'Folders by time in UTC, such as %Y/%m/%d/%H',
        maxLength: 99,
      }),
    ),
    time_column: Type.Optional(
      Type.String({
        title: 'Time Column',
        description: 'Timestamp column for the pattern; by default the time of writing counts',
        maxLength: 99,
      }),
    ),
    fields: Type.Optional(
      Type.Array(Type.String({ title: 'Field', minLength: 1, maxLength: 256 }), {
        title: 'Partition Fields',
        description: 'Columns whose values become folders, like site=north',
        maxItems: 16,
        uniqueItems: true,
      }),
    ),
    shuffle_by_partition: Type.Optional(
      Type.Object(
        {
          enabled: Type.Optional(
            Type.Boolean({
              title: 'Partition Shuffling',
              description: 'Refused when true: rows are not moved between tasks',
            }),
          ),
        },
        { title: 'Partition Shuffle', ...strict },
      ),
    ),
  },
  { title: 'Partitioning', ...strict },
);

const Multipart = Type.Object(
  {
    target_part_size_bytes: Type.Optional(
      Type.Integer({
        title: 'Target Part Size',
        description: 'Bytes of each part of a large object; 8 MiB by default',
        minimum: 5_242_880,
        maximum: 134_217_728,
      }),
    ),
    max_parts: Type.Optional(
      Type.Integer({
        title: 'Max Parts',
        description: 'Maximum number of parts',
        minimum: 1,
        maximum: 10_000,
      }),
    ),
    minimum_multipart_size: Type.Optional(
      Type.Integer({
        title: 'Minimum Multipart Size',
        description: 'Bytes from which an object is sent in parts; 16 MiB by default',
        minimum: 0,
        maximum: 1_073_741_824,
      }),
    ),
  },
  { title: 'Multipart Upload', ...strict },
);

const Sink = Type.Object(
  {
    type: Type.Enum(['sink'], { title: 'Type' }),
    path: path('Folder to write, below PENSTOCK_FILE_DIR, or s3://bucket/prefix'),
    compression_format: compression('Compression of files in json and csv; parquet has its own'),
    rolling_policy: Type.Optional(RollingPolicy),
    file_naming: Type.Optional(FileNaming),
    partitioning: Type.Optional(Partitioning),
    multipart: Type.Optional(Multipart),
    version: Type.Optional(
      Type.Enum(['v1', 'v2'], { title: 'Version', description: 'Known from Arroyo, without effect' }),
    ),
    storage_options: storageOptions,
  },
  { title: 'Sink', ...strict },
);

export type SourceTable = Static<typeof Source>;
export type SinkTable = Static<typeof Sink>;

export const FilesystemTable = Type.Object(
  {
    table_type: Type.Unsafe<SourceTable | SinkTable>({
      title: 'Table Type',
      oneOf: [Source, Sink],
      // In SQL: type = 'sink', path = '…'.
      option: 'type',
    }),
  },
  { title: 'FilesystemTable', ...strict },
);
export type FilesystemTable = Static<typeof FilesystemTable>;

export const direction = ({ table_type: { type } }: FilesystemTable): 'source' | 'sink' => type;

export const isSink = (table: SourceTable | SinkTable): table is SinkTable => table.type === 'sink';

export function validateTable({ table_type: table }: FilesystemTable): FieldError[] {
  const location = locationOf(table.path);
  return [
    ...finding('path', typeof location === 'string' ? location : undefined),
    ...finding(
      'storage_options',
      Object.keys(table.storage_options ?? {}).length > 0
        ? 'must be empty: put the endpoint, the region and the credentials into a connection profile'
        : undefined,
    ),
    ...(isSink(table) ? checkSinkTable(table) : finding('regex_pattern', regexProblem(table.regex_pattern))),
  ];
}

const finding = (name: string, message: string | undefined): FieldError[] =>
  message === undefined ? [] : [{ path: `/table_type/${name}`, message }];

function regexProblem(pattern: string | undefined): string | undefined {
  try {
    new RegExp(pattern ?? '', 'u');
    return undefined;
  } catch (error) {
    return `is no valid pattern: ${(error as Error).message}`;
  }
}

const plainName = /^[\w.=@+-]*$/;

function checkSinkTable({
  file_naming = {},
  partitioning = {},
  rolling_policy = {},
}: SinkTable): FieldError[] {
  const { prefix = '', suffix = '' } = file_naming;
  const { time_pattern = '', time_column = '' } = partitioning;
  const inName = 'may have letters, digits and . = @ + - _ only';
  return [
    ...finding(
      'file_naming/prefix',
      plainName.test(prefix) && !prefix.startsWith('.') ? undefined : `${inName}, and no point at its start`,
    ),
    ...finding('file_naming/suffix', plainName.test(suffix) ? undefined : inName),
    ...finding('partitioning/time_pattern', time_pattern === '' ? undefined : checkTimePattern(time_pattern)),
    ...finding(
      'partitioning/time_column',
      time_column !== '' && time_pattern === '' ? 'needs a time_pattern' : undefined,
    ),
    ...finding(
      'partitioning/shuffle_by_partition/enabled',
      partitioning.shuffle_by_partition?.enabled
        ? 'is not supported: rows are not moved between tasks'
        : undefined,
    ),
    ...finding(
      'rolling_policy/watermark_expiration',
      rolling_policy.watermark_expiration ? 'is not supported: there are no watermarks' : undefined,
    ),
  ];
}

export function columnsOf({ table_type: table }: FilesystemTable): ColumnUse[] {
  const { fields = [], time_column } = (isSink(table) && table.partitioning) || {};
  const plain = ['string', 'int32', 'int64', 'uint32', 'uint64', 'bool', 'decimal128'] as const;
  return [
    ...fields.map((column) => ({ path: '/table_type/partitioning/fields', column, types: plain })),
    ...(time_column
      ? [{ path: '/table_type/partitioning/time_column', column: time_column, types: ['timestamp'] as const }]
      : []),
  ];
}

/** Whether whole rows are written, which only parquet does. */
export const takesRows = (_table: FilesystemTable, { format }: ConnectionSchema): boolean =>
  format?.type === 'parquet';

/** Returns the errors of a schema: of lines, or of parquet for a sink. */
export function validateSchema(
  { table_type: table }: FilesystemTable,
  schema: ConnectionSchema,
): FieldError[] {
  if (!isSink(table) || schema.format?.type !== 'parquet') return lineErrors(schema);
  return (table.compression_format ?? 'none') === 'none'
    ? []
    : [{ path: '/format/compression', message: 'is for parquet; leave compression_format out of the table' }];
}

/** The window of a task cannot be larger. */
export const holds = (table: FilesystemTable): number => (isSink(table.table_type) ? 65_535 : 0);
