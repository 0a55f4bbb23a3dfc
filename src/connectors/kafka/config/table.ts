import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { type FieldTypeName, fieldTypes } from '../../../formats/schema/schema.ts';
import type { Identity, MetadataColumn, Pace } from '../../connector.ts';
import { given } from '../../network/tls.ts';

/** The schema of a Kafka connection table, wire-compatible with Arroyo's, and the rules that it cannot express. */

const Source = Type.Object(
  {
    offset: Type.Enum(['latest', 'earliest', 'group'], {
      title: 'Offset',
      description:
        'Where to begin at the first start: at messages that come from now on, at the oldest ones, or at the committed ' +
        'offsets of the group. Later starts go on where the last one ended.',
    }),
    read_mode: Type.Optional(
      Type.Enum(['read_uncommitted', 'read_committed'], {
        title: 'Read Mode',
        description: 'read_committed leaves out the messages of transactions that are open or were aborted',
        default: 'read_uncommitted',
      }),
    ),
    group_id: Type.Optional(
      Type.String({
        title: 'Group Id',
        description:
          'Consumer group to commit offsets to. It must have no members. By default each source has a group of its own.',
        maxLength: 249,
      }),
    ),
    group_id_prefix: Type.Optional(
      Type.String({
        title: 'Group Id Prefix',
        description: 'Beginning of the name of the default group, if there is no group id',
        maxLength: 100,
      }),
    ),
    messages_per_second: Type.Optional(
      Type.Number({
        title: 'Rate Limit',
        description: 'Maximum number of messages to read per second; the rest waits at the brokers',
        minimum: 0.001,
        maximum: 1_000_000,
      }),
    ),
  },
  { title: 'Source', additionalProperties: false },
);

const column = (title: string, description: string) =>
  Type.Optional(Type.String({ title, description, maxLength: 256 }));

const Sink = Type.Object(
  {
    commit_mode: Type.Enum(['at_least_once', 'exactly_once'], {
      title: 'Commit Mode',
      description:
        'at_least_once writes with an idempotent producer and waits for all replicas in sync. exactly_once writes in transactions ' +
        'with the offsets of the source, which must be a table of the same cluster.',
    }),
    key_field: column('Key Field', 'Field whose value is the key of a message; no key by default'),
    timestamp_field: column(
      'Timestamp Field',
      'Field of type TIMESTAMP whose value is the time of a message; by default the time of writing',
    ),
    headers_field: column(
      'Headers Field',
      'Field of type JSON with an object, whose members become headers of a message',
    ),
    partition_field: column(
      'Partition Field',
      'Field of an integer type whose value is the number of the partition; it replaces the partitioner',
    ),
    partitioner: Type.Optional(
      Type.Enum(['murmur2', 'crc32', 'round_robin'], {
        title: 'Partitioner',
        description:
          'How the key decides the partition: murmur2 as in Java, crc32 as in librdkafka (consistent_random), or not at all. ' +
          'Messages without a key go to each partition in turn.',
        default: 'murmur2',
      }),
    ),
    compression: Type.Optional(
      Type.Enum(['none', 'gzip', 'snappy', 'lz4', 'zstd'], {
        title: 'Compression',
        description: 'Compression of batches of messages',
        default: 'none',
      }),
    ),
  },
  { title: 'Sink', additionalProperties: false },
);

export const KafkaTable = Type.Object(
  {
    topic: Type.String({
      title: 'Topic',
      description: 'Topic to read or write. It must exist.',
      format: 'autocomplete',
      minLength: 1,
      maxLength: 249,
    }),
    type: Type.Unsafe<Static<typeof Source> | Static<typeof Sink>>({
      title: 'Table Type',
      oneOf: [Source, Sink],
    }),
    client_configs: Type.Optional(
      Type.Record(Type.String({ maxLength: 256 }), Type.String({ maxLength: 1_024 }), {
        title: 'Client Configs',
        description:
          'Properties of librdkafka in Arroyo. None is supported, because each has a field of the profile or of the table.',
        maxProperties: 16,
      }),
    ),
    value_subject: Type.Optional(
      Type.String({
        title: 'Schema Registry value subject',
        description: 'Subject of the schema of the messages; by default <topic>-value, or as the format says',
        option: 'value.subject',
        maxLength: 1_024,
      }),
    ),
  },
  { title: 'KafkaTable', additionalProperties: false },
);
export type KafkaTable = Static<typeof KafkaTable>;

export type KafkaSource = Static<typeof Source>;
export type KafkaSink = Static<typeof Sink>;

/** See `subjectOf` in the connector contract. */
export const subjectOf = ({ topic, value_subject: subject }: KafkaTable) => ({ topic, subject });

export const direction = (table: KafkaTable): 'source' | 'sink' =>
  'commit_mode' in table.type ? 'sink' : 'source';

export const sinkOf = (table: KafkaTable): KafkaSink => table.type as KafkaSink;

export const sourceOf = (table: KafkaTable): KafkaSource => table.type as KafkaSource;

export const pace = (table: KafkaTable): Pace => {
  const { messages_per_second: limit } = sourceOf(table);
  return limit === undefined ? {} : { messagesPerSecond: limit };
};

/** The group whose offsets say how far a source was read. */
export function groupOf(table: KafkaTable, { jobId, operatorId }: Identity): string {
  const { group_id: group, group_id_prefix: prefix } = sourceOf(table);
  if (given(group)) return group;
  return `${given(prefix) ? `${prefix}-` : ''}penstock-${jobId}-${operatorId}`;
}

/** See `position` in the connector contract. */
export const positionName = (table: KafkaTable): string =>
  JSON.stringify([table.topic, sourceOf(table).group_id ?? '']);

/** The partitions of a topic that one of several tasks reads: those whose number modulo `of` is `index`. */
export interface Share {
  index: number;
  of: number;
}

/** See `shared` in the connector contract. */
export function shared(table: KafkaTable, index: number, of: number): KafkaTable {
  const part: KafkaTable & { share: Share } = { ...table, share: { index, of } };
  return part;
}

/** The share that a task reads, as `shared` set it; everything by default. */
export const shareOf = (table: KafkaTable & { share?: Share }): Share => table.share ?? { index: 0, of: 1 };

export function validateTable(table: KafkaTable): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  if (!/^[\w.-]+$/.test(table.topic) || /^\.{1,2}$/.test(table.topic))
    refuse('/topic', 'must consist of letters, digits, dots, underscores and hyphens, as Kafka requires');
  const configs = Object.keys(table.client_configs ?? {});
  if (configs.length > 0)
    refuse(
      '/client_configs',
      `must be empty: ${configs.join(', ')} ${configs.length > 1 ? 'are' : 'is'} not supported. Use the fields of the table and of the profile`,
    );
  if (direction(table) === 'source') return errors;
  const sink = sinkOf(table);
  if (given(sink.partition_field) && sink.partitioner !== undefined && sink.partitioner !== 'murmur2')
    refuse('/type/partitioner', 'must be left out, because partition_field names the partition');
  return errors;
}

export const isExact = (table: KafkaTable): boolean =>
  direction(table) === 'sink' && sinkOf(table).commit_mode === 'exactly_once';

/** See `transactional` in the connector contract. */
export const transactional = (table: KafkaTable): string | undefined =>
  isExact(table) ? 'set commit_mode to at_least_once' : undefined;

/** See `holds` in the connector contract. A transaction takes a while, and the next one fills meanwhile. */
export const holds = (table: KafkaTable): number => (isExact(table) ? 10_000 : 0);

const keyTypes: readonly FieldTypeName[] = fieldTypes.filter(
  (type) => !['timestamp', 'json', 'struct', 'list'].includes(type),
);
const integerTypes: readonly FieldTypeName[] = fieldTypes.filter((type) => /^u?int/.test(type));

export function columnsOf(table: KafkaTable): ColumnUse[] {
  if (direction(table) === 'source') return [];
  const { key_field, timestamp_field, headers_field, partition_field } = sinkOf(table);
  const uses: [string, string | undefined, readonly FieldTypeName[]][] = [
    ['key_field', key_field, keyTypes],
    ['timestamp_field', timestamp_field, ['timestamp']],
    ['headers_field', headers_field, ['json']],
    ['partition_field', partition_field, integerTypes],
  ];
  return uses.flatMap(([name, used, types]) =>
    given(used) ? [{ path: `/type/${name}`, column: used, types }] : [],
  );
}

/** Metadata columns of a source, by the names of Arroyo where it has them. */
export const metadataColumns = [
  { name: 'offset_id', type: 'int64', description: 'Offset of the message in its partition' },
  { name: 'partition', type: 'int32', description: 'Number of the partition' },
  { name: 'topic', type: 'string', description: 'Name of the topic' },
  { name: 'timestamp', type: 'int64', description: 'Time of the message in milliseconds since 1970' },
  { name: 'time', type: 'timestamp', description: 'Time of the message' },
  { name: 'key', type: 'bytes', description: 'Key of the message; null if it has none' },
  { name: 'key_text', type: 'string', description: 'Key of the message as text in UTF-8' },
  {
    name: 'headers',
    type: 'json',
    description: 'Headers of the message as an object of texts in UTF-8; a repeated name has a list',
  },
] as const satisfies readonly MetadataColumn[];
