import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import { usesRegistry } from '../../../formats/confluent.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { type ConnectionSchema, fieldTypes } from '../../../formats/schema/schema.ts';
import type { MetadataColumn } from '../../connector.ts';
import { given } from '../../network/tls.ts';

/** The schema of a Redis table, wire-compatible with Arroyo's, and the rules that it cannot express. */

const strict = { additionalProperties: false } as const;

const prefix = (description: string) =>
  Type.String({ title: 'Key Prefix', description, option: 'target.key_prefix', maxLength: 1_024 });

const column = (title: string, description: string, option: string) =>
  Type.String({ title, description, option, minLength: 1, maxLength: 256 });

const keyColumn = Type.Optional(
  column(
    'Key Column',
    'Column whose value follows the prefix in the key. Without it all rows have one key.',
    'target.key_column',
  ),
);

const maxLength = (description: string) =>
  Type.Optional(
    Type.Integer({
      title: 'Max Length',
      description,
      option: 'target.max_length',
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
  );

const entryField = (option: string) =>
  Type.Optional(
    Type.Enum(['payload', 'fields'], {
      title: 'Entry',
      description:
        'payload: one field of an entry has the message in the format of the table. fields: each column is a field ' +
        'of the entry, as text; the format must be json.',
      option,
      default: 'payload',
    }),
  );

const payloadField = (option: string) =>
  Type.Optional(
    Type.String({
      title: 'Payload Field',
      description: 'Field of an entry that has the message',
      option,
      default: 'payload',
      minLength: 1,
      maxLength: 256,
    }),
  );

const StringTarget = Type.Object(
  {
    keyPrefix: prefix('Beginning of each key'),
    keyColumn,
    ttlSecs: Type.Optional(
      Type.Integer({
        title: 'Time To Live',
        description: 'Seconds after which a value expires; by default never',
        option: 'target.ttl_secs',
        minimum: 1,
        maximum: 9_000_000_000,
      }),
    ),
  },
  { title: 'String Table', description: 'SET: the latest message of each key', option: 'string', ...strict },
);

const ListTarget = Type.Object(
  {
    listPrefix: prefix('Beginning of each key'),
    listKeyColumn: keyColumn,
    maxLength: maxLength('Number of items that a list keeps; by default all'),
    operation: Type.Optional(
      Type.Enum(['Append', 'Prepend'], {
        title: 'List Operation',
        description: 'End of the list that gets new items: Append is RPUSH, Prepend LPUSH',
        option: 'target.operation',
        default: 'Append',
      }),
    ),
  },
  { title: 'List Table', description: 'RPUSH or LPUSH: all messages of each key', option: 'list', ...strict },
);

const HashTarget = Type.Object(
  {
    hashKeyPrefix: prefix('Beginning of each key'),
    hashKeyColumn: keyColumn,
    hashFieldColumn: column(
      'Hash Field Column',
      'Column whose value is the name of the field',
      'target.field_column',
    ),
  },
  { title: 'Hash Table', description: 'HSET: the latest message of each field', option: 'hash', ...strict },
);

const StreamTarget = Type.Object(
  {
    streamPrefix: prefix('Beginning of each key'),
    streamKeyColumn: keyColumn,
    maxLength: maxLength(
      'Number of entries that a stream keeps at least; by default all. Redis removes older ones in blocks (MAXLEN ~).',
    ),
    entry: entryField('target.entry'),
    payloadField: payloadField('target.payload_field'),
  },
  { title: 'Stream Table', description: 'XADD: all messages of each key', option: 'stream', ...strict },
);

type StringTarget = Static<typeof StringTarget>;
type ListTarget = Static<typeof ListTarget>;
type HashTarget = Static<typeof HashTarget>;
type StreamTarget = Static<typeof StreamTarget>;

const Sink = Type.Object(
  {
    target: Type.Unsafe<StringTarget | ListTarget | HashTarget | StreamTarget>({
      title: 'Target',
      description: 'Type of the keys, and how messages are written to them',
      oneOf: [StringTarget, ListTarget, HashTarget, StreamTarget],
      // In SQL, as in Arroyo: target = 'string', target.key_prefix = '…'.
      option: 'target',
    }),
    waitReplicas: Type.Optional(
      Type.Integer({
        title: 'Wait For Replicas',
        description: 'Number of replicas that must have a message before it counts as written (WAIT)',
        minimum: 0,
        maximum: 100,
        default: 0,
      }),
    ),
    waitAof: Type.Optional(
      Type.Boolean({
        title: 'Wait For The AOF',
        description:
          'Whether a message counts as written only when the append-only file of the server is on disk (WAITAOF, Redis 7.2)',
        default: false,
      }),
    ),
  },
  { title: 'Sink', ...strict },
);

const Source = Type.Object(
  {
    stream: Type.String({
      title: 'Stream',
      description: 'Key of the stream to read',
      format: 'autocomplete',
      minLength: 1,
      maxLength: 1_024,
    }),
    consumerGroup: Type.String({
      title: 'Consumer Group',
      description: 'Group to read with. It is created if it is missing, and never deleted.',
      minLength: 1,
      maxLength: 256,
    }),
    start: Type.Optional(
      Type.Enum(['latest', 'earliest'], {
        title: 'Start',
        description: 'Where a new group begins: at entries that are yet to come, or at the oldest one',
        default: 'latest',
      }),
    ),
    entry: entryField('entry'),
    payloadField: payloadField('payload_field'),
    claimIdleSecs: Type.Optional(
      Type.Integer({
        title: 'Claim After',
        description:
          'Seconds after which entries are taken over that a consumer of the group got and did not acknowledge; 0 for never',
        minimum: 0,
        maximum: 604_800,
        default: 60,
      }),
    ),
  },
  { title: 'Source', ...strict },
);

export type SinkTable = Static<typeof Sink>;
export type SourceTable = Static<typeof Source>;

export const RedisTable = Type.Object(
  {
    connectorType: Type.Unsafe<SourceTable | SinkTable>({
      title: 'Table Type',
      oneOf: [Sink, Source],
      option: 'type',
    }),
  },
  { title: 'RedisTable', ...strict },
);
export type RedisTable = Static<typeof RedisTable>;

export const sinkOf = ({ connectorType }: RedisTable): SinkTable | undefined =>
  'target' in connectorType ? connectorType : undefined;

export const sourceOf = ({ connectorType }: RedisTable): SourceTable | undefined =>
  'target' in connectorType ? undefined : connectorType;

export const direction = (table: RedisTable): 'source' | 'sink' => (sinkOf(table) ? 'sink' : 'source');

/** How an entry of a stream holds a message. */
export interface EntryShape {
  /** Undefined if each column is a field. */
  payloadField: string | undefined;
}

const shapeOf = ({ entry, payloadField }: { entry?: string; payloadField?: string }): EntryShape => ({
  payloadField: entry === 'fields' ? undefined : given(payloadField) ? payloadField : 'payload',
});

export const entryShape = (table: RedisTable): EntryShape => shapeOf(sourceOf(table) ?? {});

/** Where a sink writes, under one set of names for all types. */
export type Target = { prefix: string; keyColumn: string | undefined } & (
  | { type: 'string'; ttlSecs: number | undefined }
  | { type: 'list'; append: boolean; maxLength: number | undefined }
  | { type: 'hash'; fieldColumn: string }
  | ({ type: 'stream'; maxLength: number | undefined } & EntryShape)
);

export function targetOf({ target }: SinkTable): Target {
  if ('listPrefix' in target)
    return {
      type: 'list',
      prefix: target.listPrefix,
      keyColumn: filled(target.listKeyColumn),
      append: target.operation !== 'Prepend',
      maxLength: target.maxLength,
    };
  if ('hashKeyPrefix' in target)
    return {
      type: 'hash',
      prefix: target.hashKeyPrefix,
      keyColumn: filled(target.hashKeyColumn),
      fieldColumn: target.hashFieldColumn,
    };
  if ('streamPrefix' in target)
    return {
      type: 'stream',
      prefix: target.streamPrefix,
      keyColumn: filled(target.streamKeyColumn),
      maxLength: target.maxLength,
      ...shapeOf(target),
    };
  return {
    type: 'string',
    prefix: target.keyPrefix,
    keyColumn: filled(target.keyColumn),
    ttlSecs: target.ttlSecs,
  };
}

/** Forms send empty texts. */
const filled = (text: string | undefined): string | undefined => (given(text) ? text : undefined);

const fieldNames = {
  string: { prefix: 'keyPrefix', column: 'keyColumn' },
  list: { prefix: 'listPrefix', column: 'listKeyColumn' },
  hash: { prefix: 'hashKeyPrefix', column: 'hashKeyColumn' },
  stream: { prefix: 'streamPrefix', column: 'streamKeyColumn' },
} as const;

const targetPath = '/connectorType/target';

export function validateTable(table: RedisTable): FieldError[] {
  const sink = sinkOf(table);
  if (!sink) return [];
  const target = targetOf(sink);
  const names = fieldNames[target.type];
  return target.prefix === '' && target.keyColumn === undefined
    ? [{ path: `${targetPath}/${names.prefix}`, message: `must not be empty without ${names.column}` }]
    : [];
}

/** See `subjectOf` in the connector contract. */
export function subjectOf(table: RedisTable): { topic?: string | undefined } {
  const sink = sinkOf(table);
  if (!sink) return { topic: sourceOf(table)?.stream };
  const { prefix, keyColumn } = targetOf(sink);
  return keyColumn === undefined ? { topic: prefix } : {};
}

/** Entries with a field for each column hold a JSON object to Penstock. */
export function validateSchema(table: RedisTable, schema: ConnectionSchema): FieldError[] {
  const sink = sinkOf(table);
  const target = sink && targetOf(sink);
  const shape = target ? (target.type === 'stream' ? target : undefined) : entryShape(table);
  if (!shape || shape.payloadField !== undefined) return [];
  const { format } = schema;
  if (usesRegistry(format)) {
    const message = 'is for entries with a message in one field, which has the id of the schema';
    return [{ path: '/format/confluent_schema_registry', message }];
  }
  if (format === undefined || format === null || format.type === 'json') return [];
  return [{ path: '/format/type', message: 'must be json for entries with a field for each column' }];
}

const structured = ['bytes', 'timestamp', 'json', 'struct', 'list'];
const plainTypes = fieldTypes.filter((type) => !structured.includes(type));

export function columnsOf(table: RedisTable): ColumnUse[] {
  const sink = sinkOf(table);
  if (!sink) return [];
  const target = targetOf(sink);
  const { keyColumn: key } = target;
  const use = (name: string, used: string | undefined): ColumnUse[] =>
    used === undefined ? [] : [{ path: `${targetPath}/${name}`, column: used, types: plainTypes }];
  return [
    ...use(fieldNames[target.type].column, key),
    ...use('hashFieldColumn', target.type === 'hash' ? target.fieldColumn : undefined),
  ];
}

/** When a row that is written twice leaves one. */
export function isIdempotent(table: RedisTable): boolean {
  const sink = sinkOf(table);
  return sink !== undefined && ['string', 'hash'].includes(targetOf(sink).type);
}

/** Metadata columns of a source. `entries.ts` provides their values. */
export const metadataColumns = [
  { name: 'id', type: 'string', description: 'ID of the entry, such as 1526919030474-55' },
  {
    name: 'timestamp',
    type: 'timestamp',
    description: 'Time in the ID, in milliseconds: usually that of XADD',
  },
  { name: 'stream', type: 'string', description: 'Key of the stream' },
  { name: 'fields', type: 'json', description: 'All fields of the entry, as texts' },
  { name: 'redelivered', type: 'bool', description: 'Whether a consumer had the entry before' },
] as const satisfies readonly MetadataColumn[];

/** The Redis server distributes the entries of a group. The connection of each task has a consumer name of its own. */
export const shared = (table: RedisTable): RedisTable => table;
