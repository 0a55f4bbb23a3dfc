import Type, { type Static } from 'typebox';
import { type FieldError, PenstockError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { fieldTypes } from '../../../formats/schema/schema.ts';
import type { MetadataColumn } from '../../connector.ts';
import { checkTemplate, columnsIn, constantParts } from '../../network/template.ts';
import { given } from '../../network/tls.ts';
import { type RabbitmqProfile, vhostOf } from './profile.ts';

/**
 * A RabbitMQ table and the rules that its schema cannot express. A source of a stream is wire-compatible with Arroyo's; queues and
 * sinks are additions.
 */

const strict = { additionalProperties: false } as const;

const name = (title: string, description: string, more: object = {}) =>
  Type.Optional(Type.String({ title, description, maxLength: 255, ...more }));

const StreamSource = Type.Object(
  {
    offset: Type.Enum(['last', 'first', 'next'], {
      title: 'Offset',
      description:
        'Where to begin at the first start: at the last messages of the stream, at the first one, or at messages that come from now on. ' +
        'Later starts go on where the last one ended.',
      default: 'last',
      option: 'source.offset',
    }),
  },
  { title: 'Source', ...strict },
);

const QueueSource = Type.Object(
  {
    queue: Type.String({
      title: 'Queue',
      description:
        'Classic or quorum queue to read. It must exist. Its readers, the tasks of a pipeline included, share the messages',
      minLength: 1,
      maxLength: 255,
    }),
    consumer_priority: Type.Optional(
      Type.Integer({
        title: 'Consumer Priority',
        description:
          'Priority among the consumers of the queue: those with a higher one get the messages first',
        default: 0,
        minimum: -1_000,
        maximum: 1_000,
      }),
    ),
    watch_exchange: name(
      'Watch Exchange',
      'Exchange that the queue is bound to. Tails, previews and inferred schemas show copies of its messages; without it they cannot',
    ),
    watch_key: name(
      'Watch Key',
      'Binding key of the copies; # by default, which is everything at a topic exchange',
    ),
  },
  // In SQL both sources are type = 'source'.
  { title: 'Queue', option: 'source', ...strict },
);

const template = (title: string, description: string, maxLength = 255) =>
  Type.Optional(
    Type.String({ title, description: `${description}. It may have columns as {{ name }}`, maxLength }),
  );

const Sink = Type.Object(
  {
    exchange: name(
      'Exchange',
      'Exchange to publish to. It must exist. By default it is the default exchange, whose routing keys are names of queues',
    ),
    routing_key: template('Routing Key', 'Routing key of each message, or the name of the queue'),
    allow_unroutable: Type.Optional(
      Type.Boolean({
        title: 'Allow Unroutable',
        description: 'Whether a message that no queue takes counts as written. Otherwise it is a bad row',
        default: false,
      }),
    ),
    transient: Type.Optional(
      Type.Boolean({
        title: 'Transient',
        description: 'Whether a classic queue may lose the messages when the server restarts',
        default: false,
      }),
    ),
    content_type: name('Content Type', 'Value of the property content_type, such as application/json'),
    message_id: template('Message ID', 'Value of the property message_id, such as {{ id }}'),
    headers: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Type.String({ maxLength: 1_000 }), {
        title: 'Headers',
        description:
          'Names and values of headers. A value may have columns as {{ name }}; omitted if one of them is null',
        maxProperties: 64,
      }),
    ),
    priority: Type.Optional(
      Type.Integer({
        title: 'Priority',
        description: 'Priority of the messages in a queue with x-max-priority',
        minimum: 0,
        maximum: 255,
      }),
    ),
    expiration_ms: Type.Optional(
      Type.Integer({
        title: 'Expiration',
        description:
          'Milliseconds after which a queue removes a message that nobody has read; never by default',
        minimum: 1,
        maximum: 4_294_967_295,
      }),
    ),
  },
  { title: 'Sink', ...strict },
);

export type StreamSource = Static<typeof StreamSource>;
export type QueueTable = Static<typeof QueueSource>;
export type SinkTable = Static<typeof Sink>;

export const RabbitmqTable = Type.Object(
  {
    stream: name('Stream', 'Stream to read or write. It must exist. Leave it out for queues and exchanges'),
    type: Type.Unsafe<StreamSource | QueueTable | SinkTable>({
      title: 'Table Type',
      oneOf: [StreamSource, QueueSource, Sink],
      // In SQL: type = 'source', queue = '…'.
      option: 'type',
    }),
  },
  { title: 'RabbitmqStreamTable', ...strict },
);
export type RabbitmqTable = Static<typeof RabbitmqTable>;

export const direction = ({ type }: RabbitmqTable): 'source' | 'sink' =>
  'offset' in type || 'queue' in type ? 'source' : 'sink';

export const queueSourceOf = ({ type }: RabbitmqTable): QueueTable | undefined =>
  'queue' in type ? type : undefined;

/** The stream that a source reads, and where it begins without a position. */
export function streamSourceOf({
  stream = '',
  type,
}: RabbitmqTable): (StreamSource & { stream: string }) | undefined {
  return 'offset' in type ? { stream, offset: type.offset } : undefined;
}

/** The sink of a table. One of a stream writes by way of the default exchange, as to a queue. */
export function sinkOf({
  stream,
  type,
}: RabbitmqTable): SinkTable & { exchange: string; routing_key: string } {
  const sink = type as SinkTable;
  const key = given(stream) ? stream : (sink.routing_key ?? '');
  return { ...sink, exchange: sink.exchange ?? '', routing_key: key };
}

/** See `subjectOf` in the connector contract. */
export function subjectOf(table: RabbitmqTable): { topic?: string } {
  const source = streamSourceOf(table)?.stream ?? queueSourceOf(table)?.queue;
  const topic = direction(table) === 'source' ? source : sinkOf(table).routing_key;
  return topic && !topic.includes('{') ? { topic } : {};
}

/**
 * See `position` in the connector contract. A queue keeps itself how far it was read. Hosts are left out: with another node of the
 * cluster it is still the same stream.
 */
export const positionName = (profile: RabbitmqProfile, table: RabbitmqTable): string =>
  JSON.stringify([vhostOf(profile), streamSourceOf(table)?.stream ?? null]);

/** See `shared` in the connector contract. Tasks are competing consumers of a queue; a stream has no such. */
export function shared(table: RabbitmqTable): RabbitmqTable {
  if (streamSourceOf(table) === undefined) return table;
  throw new PenstockError('cannot_share', 'Several tasks cannot share a stream of RabbitMQ', {
    hint: 'Set the parallelism of the pipeline to 1, or let it read a queue.',
  });
}

export function validateTable(table: RabbitmqTable): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string | null): void => {
    if (message !== null) errors.push({ path, message });
  };
  const { stream, type } = table;
  if ('offset' in type) refuse('/stream', given(stream) ? null : 'is required for a source with an offset');
  else if ('queue' in type) {
    refuse('/stream', given(stream) ? 'must be left out for a source of a queue' : null);
    refuse(
      '/type/watch_key',
      given(type.watch_key) && !given(type.watch_exchange) ? 'is only used with watch_exchange' : null,
    );
  } else checkSink(table, type as SinkTable, refuse);
  for (const [path, value] of [
    ['/stream', stream],
    ['/type/queue', queueSourceOf(table)?.queue],
  ] as const)
    refuse(path, tooLong(value));
  return errors;
}

function checkSink(
  { stream }: RabbitmqTable,
  sink: SinkTable,
  refuse: (path: string, message: string | null) => void,
): void {
  if (given(stream)) {
    const unused = 'must be left out for a sink of a stream';
    for (const key of ['exchange', 'routing_key'] as const)
      refuse(`/type/${key}`, given(sink[key]) ? unused : null);
    refuse(
      '/type/allow_unroutable',
      sink.allow_unroutable
        ? 'must be left out for a stream, which would lose messages while it starts'
        : null,
    );
  } else if (!given(sink.exchange))
    refuse(
      '/type/routing_key',
      given(sink.routing_key) ? null : 'is required without an exchange: it is the name of the queue',
    );
  refuse('/type/exchange', tooLong(sink.exchange));
  for (const key of ['routing_key', 'message_id'] as const)
    refuse(`/type/${key}`, checkTemplate(sink[key] ?? '') ?? tooLong(constantParts(sink[key] ?? '')));
  for (const [header, value] of Object.entries(sink.headers ?? {}))
    refuse('/type/headers', checkHeader(header) ?? checkTemplate(value));
}

function checkHeader(header: string): string | null {
  if (/^b?cc$/i.test(header)) return 'must not have CC and BCC, by which the server sends copies';
  return header === '__proto__' ? 'must not have __proto__' : tooLong(header);
}

/** Most texts of AMQP have at most 255 bytes. */
export const tooLong = (value: string | undefined): string | null =>
  Buffer.byteLength(value ?? '') > 255 ? 'must not be longer than 255 bytes' : null;

const structured = ['bytes', 'timestamp', 'json', 'struct', 'list'];
const plainTypes = fieldTypes.filter((type) => !structured.includes(type));

export function columnsOf(table: RabbitmqTable): ColumnUse[] {
  if (direction(table) === 'source') return [];
  const sink = table.type as SinkTable;
  const texts: [string, string][] = [
    ['routing_key', sink.routing_key ?? ''],
    ['message_id', sink.message_id ?? ''],
    ...Object.values(sink.headers ?? {}).map((value): [string, string] => ['headers', value]),
  ];
  return texts.flatMap(([path, value]) =>
    columnsIn(value).map((column) => ({ path: `/type/${path}`, column, types: plainTypes })),
  );
}

export const metadataColumns = [
  { name: 'queue', type: 'string', description: 'Queue or stream the message comes from' },
  {
    name: 'exchange',
    type: 'string',
    description: 'Exchange it was published to; empty for the default one',
  },
  { name: 'routing_key', type: 'string', description: 'Routing key it was published with' },
  { name: 'redelivered', type: 'bool', description: 'Whether the server has sent it before' },
  {
    name: 'delivery_count',
    type: 'int64',
    description: 'Number of times it came back before, of a quorum queue; null otherwise',
  },
  { name: 'offset', type: 'int64', description: 'Offset in the stream; null of a queue' },
  { name: 'timestamp', type: 'timestamp', description: 'Property timestamp in whole seconds; null if none' },
  { name: 'message_id', type: 'string', description: 'Property message_id; null if none' },
  { name: 'correlation_id', type: 'string', description: 'Property correlation_id; null if none' },
  { name: 'content_type', type: 'string', description: 'Property content_type; null if none' },
  { name: 'type', type: 'string', description: 'Property type; null if none' },
  { name: 'app_id', type: 'string', description: 'Property app_id; null if none' },
  {
    name: 'user_id',
    type: 'string',
    description: 'Property user_id, which the server has verified; null if none',
  },
  { name: 'reply_to', type: 'string', description: 'Property reply_to; null if none' },
  { name: 'priority', type: 'int32', description: 'Property priority; null if none' },
  { name: 'headers', type: 'json', description: 'Headers' },
] as const satisfies readonly MetadataColumn[];
