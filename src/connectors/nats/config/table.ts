import Type, { type Static, type TSchema } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { fieldTypes } from '../../../formats/schema/schema.ts';
import type { MetadataColumn, Pace } from '../../connector.ts';
import { checkTemplate, columnsIn } from '../../network/template.ts';
import { checkFilter, checkSubjectTemplate } from './subject.ts';

/**
 * A NATS table, wire-compatible with Arroyo's, and the rules that its schema cannot express. `deliverPolicy`, `startSequence`,
 * `startTime` and `queueGroup` of a source are additions, and of a sink everything but `subject`.
 */

const strict = { additionalProperties: false } as const;

const integer = (title: string, description: string, option: string, more: object = {}) =>
  Type.Optional(Type.Integer({ title, description, option: `consumer.${option}`, ...more }));

const choice = <const T extends string>(title: string, description: string, option: string, values: T[]) =>
  Type.Optional(
    Type.Enum(values, { title, description, default: values[0] as T, option: `consumer.${option}` }),
  );

const streamName = { pattern: '^[^\\s.*>/\\\\]+$', maxLength: 99 };

const JetStreamSource = Type.Object(
  {
    stream: Type.String({
      title: 'Stream Name',
      description: 'Stream to read with a durable consumer',
      ...streamName,
    }),
    ackPolicy: choice(
      'Acknowledgment Policy',
      'Explicit and All acknowledge a message after the sink has confirmed it; with None messages can be lost',
      'ack_policy',
      ['Explicit', 'None', 'All'],
    ),
    replayPolicy: choice(
      'Replay Policy',
      'Whether messages come as fast as possible, or at the rate at which they were stored',
      'replay_policy',
      ['Instant', 'Original'],
    ),
    ackWait: integer(
      'Acknowledgment Wait',
      'Seconds after which the server sends a message again that a crashed task had taken. A slow sink is no reason',
      'ack_wait',
      { default: 30, minimum: 3, maximum: 86_400 },
    ),
    description: Type.Optional(
      Type.String({
        title: 'Consumer Description',
        description: 'Description of the consumer on the server',
        maxLength: 99,
        option: 'consumer.description',
      }),
    ),
    filterSubjects: Type.Optional(
      Type.Array(Type.String({ title: 'Subject', maxLength: 255 }), {
        title: 'Filter Subjects',
        description: 'Subjects to read; all if it is empty. More than one needs nats-server 2.10',
        uniqueItems: true,
        default: [],
        maxItems: 100,
        option: 'consumer.filter_subjects',
      }),
    ),
    sampleFrequency: integer(
      'Sample Frequency',
      'Percentage of acknowledgements that the server samples for monitoring',
      'sample_frequency',
      { default: 0, minimum: 0, maximum: 100 },
    ),
    numReplicas: integer(
      'Consumer Replicas',
      'Number of replicas of the consumer; 0 for that of the stream',
      'num_replicas',
      { default: 0, minimum: 0, maximum: 5 },
    ),
    inactiveThreshold: integer(
      'Inactive Threshold',
      'Seconds without a reader after which the server removes the consumer, and with it how far it was read; 0 for never',
      'inactive_threshold',
      { default: 0, minimum: 0, maximum: 315_360_000 },
    ),
    rateLimit: integer(
      'Rate Limit',
      'Maximum number of messages to read per second; -1 for no limit',
      'rate_limit',
      { default: -1, minimum: -1, maximum: 1_000_000 },
    ),
    maxAckPending: integer(
      'Max Ack Pending',
      'Maximum number of messages that all tasks together have not acknowledged; -1 for that of each task',
      'max_ack_pending',
      { default: -1, minimum: -1, maximum: 1_000_000 },
    ),
    maxDeliver: integer(
      'Max Deliver',
      'Number of attempts after which the server gives a message up, which is then lost; -1 for never',
      'max_deliver',
      { default: -1, minimum: -1, maximum: 1_000_000 },
    ),
    maxWaiting: integer(
      'Max Waiting',
      'Maximum number of requests that wait at the consumer',
      'max_waiting',
      {
        default: 512,
        minimum: 1,
        maximum: 1_000_000,
      },
    ),
    maxBatch: integer('Max Batch', 'Maximum number of messages of one request', 'max_batch', {
      minimum: 1,
      maximum: 1_000_000,
    }),
    maxBytes: integer('Max Bytes', 'Maximum number of bytes of one request', 'max_bytes', {
      minimum: 1_024,
      maximum: 1_073_741_824,
    }),
    maxExpires: integer('Max Expires', 'Maximum number of seconds that one request waits', 'max_expires', {
      minimum: 1,
      maximum: 1_000_000,
    }),
    deliverPolicy: choice(
      'Deliver Policy',
      'Where a new consumer begins: at the first message of the stream, at new ones, or with the last one of each subject',
      'deliver_policy',
      ['All', 'New', 'LastPerSubject'],
    ),
    startSequence: integer(
      'Start Sequence',
      'Sequence number at which a new consumer begins, instead of the deliver policy',
      'start_sequence',
      { minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    ),
    startTime: Type.Optional(
      Type.String({
        title: 'Start Time',
        description: 'Time at which a new consumer begins, such as 2026-11-01T00:00:00Z',
        maxLength: 40,
        option: 'consumer.start_time',
      }),
    ),
  },
  { title: 'NATS Jetstream', ...strict },
);

const CoreSource = Type.Object(
  {
    subject: Type.String({
      title: 'Subject',
      description: 'Subject to subscribe to, which may have wildcards. At most once: see a stream for more',
      minLength: 1,
      maxLength: 255,
    }),
    queueGroup: Type.Optional(
      Type.String({
        title: 'Queue Group',
        description: 'Group of subscribers among which the server divides the messages',
        maxLength: 99,
      }),
    ),
  },
  { title: 'NATS Core', ...strict },
);

const subject = Type.String({
  title: 'Subject',
  description: 'Subject to publish to. It may have columns: alerts.{{ device }}',
  minLength: 1,
  maxLength: 255,
});

const headers = Type.Optional(
  Type.Record(Type.String({ minLength: 1, maxLength: 256 }), Type.String({ maxLength: 1_000 }), {
    title: 'Headers',
    description:
      'Names and values of headers. A value may have columns as {{ name }}; omitted if one of them is null',
    maxProperties: 64,
  }),
);

const CoreSink = Type.Object({ subject, headers }, { title: 'NATS Core', ...strict });

const JetStreamSink = Type.Object(
  {
    subject,
    stream: Type.String({
      title: 'Stream Name',
      description: 'Stream that must store each message before it counts as written',
      ...streamName,
    }),
    messageId: Type.Optional(
      Type.String({
        title: 'Message ID',
        description:
          'Value of Nats-Msg-Id, such as {{ id }}. The stream drops a message whose value it has seen within its duplicate window',
        maxLength: 1_000,
      }),
    ),
    headers,
  },
  { title: 'NATS Jetstream', ...strict },
);

export type JetStreamSource = Static<typeof JetStreamSource>;
export type CoreSource = Static<typeof CoreSource>;
export type JetStreamSink = Static<typeof JetStreamSink>;
export type CoreSink = Static<typeof CoreSink>;

// The variants of a source and a sink have options without their titles: stream = '…' chooses JetStream.
const kindOf = <T>(title: string, alternatives: TSchema[], option: string) =>
  Type.Unsafe<T>({ title, oneOf: alternatives, option });

const Source = Type.Object(
  {
    sourceType: kindOf<JetStreamSource | CoreSource>(
      'Source Type',
      [JetStreamSource, CoreSource],
      'source_type',
    ),
  },
  { title: 'Source', ...strict },
);
const Sink = Type.Object(
  { sinkType: kindOf<CoreSink | JetStreamSink>('Sink Type', [CoreSink, JetStreamSink], 'sink_type') },
  { title: 'Sink', ...strict },
);

export const NatsTable = Type.Object(
  {
    connectorType: Type.Unsafe<Static<typeof Source> | Static<typeof Sink>>({
      title: 'Connector Type',
      oneOf: [Source, Sink],
      // In SQL: type = 'source', stream = '…'.
      option: 'type',
    }),
  },
  { title: 'NatsTable', ...strict },
);
export type NatsTable = Static<typeof NatsTable>;

export const direction = ({ connectorType }: NatsTable): 'source' | 'sink' =>
  'sinkType' in connectorType ? 'sink' : 'source';

export const sourceOf = ({ connectorType }: NatsTable): JetStreamSource | CoreSource | undefined =>
  'sourceType' in connectorType ? connectorType.sourceType : undefined;

export const sinkOf = ({ connectorType }: NatsTable): CoreSink | JetStreamSink | undefined =>
  'sinkType' in connectorType ? connectorType.sinkType : undefined;

/** See `subjectOf` in the connector contract. */
export function subjectOf(table: NatsTable): { topic?: string } {
  const source = sourceOf(table);
  const filters = source && ('stream' in source ? filtersOf(source) : [source.subject]);
  const [topic, ...more] = filters ?? [sinkOf(table)?.subject ?? ''];
  return topic && more.length === 0 && !/[*>{]/.test(topic) ? { topic } : {};
}

/** The source of a table that reads a stream. */
export function jetStreamSourceOf(table: NatsTable): JetStreamSource | undefined {
  const source = sourceOf(table);
  return source && 'stream' in source ? source : undefined;
}

export const isJetStreamSink = (sink: CoreSink | JetStreamSink): sink is JetStreamSink => 'stream' in sink;

/** The subjects that a source of a stream reads; none for all. Forms send empty texts. */
export const filtersOf = ({ filterSubjects = [] }: JetStreamSource): string[] =>
  filterSubjects.filter((each) => each !== '');

export const ackWaitMs = ({ ackWait = 30 }: JetStreamSource): number => ackWait * 1000;

export function pace(table: NatsTable): Pace {
  const { rateLimit = -1 } = jetStreamSourceOf(table) ?? {};
  return rateLimit > 0 ? { messagesPerSecond: rateLimit } : {};
}

/** See `idempotent` in the connector contract. */
export function isIdempotent(table: NatsTable): boolean {
  const sink = sinkOf(table);
  return sink !== undefined && isJetStreamSink(sink) && (sink.messageId ?? '') !== '';
}

const finding = (path: string, message: string | null): FieldError[] =>
  message === null ? [] : [{ path: `/connectorType/${path}`, message }];

export function validateTable(table: NatsTable): FieldError[] {
  const source = sourceOf(table);
  if (source) return 'stream' in source ? checkStreamSource(source) : checkCoreSource(source);
  const sink = sinkOf(table);
  if (!sink) return [];
  return [
    ...finding('sinkType/subject', checkSubjectTemplate(sink.subject)),
    ...(isJetStreamSink(sink) ? finding('sinkType/messageId', checkTemplate(sink.messageId ?? '')) : []),
    ...Object.entries(sink.headers ?? {}).flatMap(([name, text]) =>
      finding('sinkType/headers', checkHeaderName(name) ?? checkTemplate(text)),
    ),
  ];
}

function checkStreamSource(source: JetStreamSource): FieldError[] {
  const { startSequence, startTime = '', rateLimit = -1 } = source;
  const filters = filtersOf(source);
  return [
    ...filters.flatMap((each) => finding('sourceType/filterSubjects', checkFilter(each))),
    ...finding('sourceType/rateLimit', rateLimit === 0 ? 'must be -1 or at least 1' : null),
    ...finding(
      'sourceType/startTime',
      startTime !== '' && Number.isNaN(Date.parse(startTime))
        ? 'must be a time such as 2026-11-01T00:00:00Z'
        : null,
    ),
    ...finding(
      'sourceType/startTime',
      startTime !== '' && startSequence !== undefined
        ? 'contradicts startSequence: remove one of them'
        : null,
    ),
  ];
}

const checkCoreSource = (source: CoreSource): FieldError[] => [
  ...finding('sourceType/subject', checkFilter(source.subject)),
  ...finding('sourceType/queueGroup', /\s/.test(source.queueGroup ?? '') ? 'must not have spaces' : null),
];

/** Those of the server and of Penstock begin with Nats-. */
const checkHeaderName = (name: string): string | null =>
  !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)
    ? 'must have names of letters, digits and hyphens'
    : /^nats-/i.test(name)
      ? 'must not have names that begin with Nats-, which the server reads'
      : null;

const structured = ['bytes', 'timestamp', 'json', 'struct', 'list'];
const plainTypes = fieldTypes.filter((type) => !structured.includes(type));

export function columnsOf(table: NatsTable): ColumnUse[] {
  const sink = sinkOf(table);
  if (!sink) return [];
  const texts = [
    { path: 'subject', text: sink.subject },
    ...(isJetStreamSink(sink) ? [{ path: 'messageId', text: sink.messageId ?? '' }] : []),
    ...Object.values(sink.headers ?? {}).map((text) => ({ path: 'headers', text })),
  ];
  return texts.flatMap(({ path, text }) =>
    columnsIn(text).map((column) => ({
      path: `/connectorType/sinkType/${path}`,
      column,
      types: plainTypes,
    })),
  );
}

/** A source table as one of several tasks reads it. */
type SharedTable = NatsTable & { tasks?: number };

/** See `shared` in the connector contract. The tasks share the consumer of a stream, or a queue group. */
export function shared(table: NatsTable, _index: number, tasks: number): NatsTable {
  const part: SharedTable = { ...table, tasks };
  return part;
}

export const tasksOf = (table: SharedTable): number => table.tasks ?? 1;

export const metadataColumns = [
  { name: 'subject', type: 'string', description: 'Subject the message was published to' },
  { name: 'stream', type: 'string', description: 'Stream that has the message; null without one' },
  { name: 'sequence', type: 'int64', description: 'Sequence number in the stream; null without one' },
  { name: 'timestamp', type: 'timestamp', description: 'Time at which it was stored, or else received' },
  {
    name: 'redelivered',
    type: 'bool',
    description: 'Whether the server has sent it before to this consumer',
  },
  {
    name: 'deliveries',
    type: 'int32',
    description: 'Number of times the server has sent it; null without a stream',
  },
  { name: 'reply', type: 'string', description: 'Subject for a response; null with a stream or if none' },
  { name: 'headers', type: 'json', description: 'Headers; a repeated name has a list' },
] as const satisfies readonly MetadataColumn[];
