import Type, { type Static } from 'typebox';
import { type FieldError, PenstockError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import type { MetadataColumn, Pace } from '../../connector.ts';
import type { MqttProfile } from './profile.ts';
import { type Qos, qosNames } from './qos.ts';
import { checkTemplate, columnsIn, constantParts } from './template.ts';
import { checkTopicFilter, checkTopicName, isShared, splitShared } from './topic.ts';

/** The schema of an MQTT connection table, the same on the wire as Arroyo's. */

/** Behind the description of everything that a message can only carry in MQTT 5. */
const five = ' (MQTT 5). May hold columns: {{ name }}; it is left out when one of them is null.';

const Source = Type.Object(
  {
    retained: Type.Optional(
      Type.Enum(['always', 'when_new', 'never'], {
        title: 'Retained Messages',
        description:
          'Whether the last messages that the broker keeps of its topics are read: at every connection, when the ' +
          'subscription is new, or never. With MQTT 3.1.1 a broker sends them at every connection; never drops them.',
        default: 'when_new',
      }),
    ),
    messagesPerSecond: Type.Optional(
      Type.Number({
        title: 'Rate Limit',
        description: 'Most messages to read in a second; what is beyond that waits at the broker',
        minimum: 0.001,
        maximum: 1_000_000,
      }),
    ),
    maxSilenceSecs: Type.Optional(
      Type.Integer({
        title: 'Maximum Silence',
        description: 'Seconds without a message after which the job warns; nothing is restarted',
        minimum: 1,
        maximum: 604_800,
      }),
    ),
  },
  { title: 'Source', additionalProperties: false },
);

const Sink = Type.Object(
  {
    retain: Type.Boolean({
      title: 'Retain',
      description: 'Whether the broker keeps the last message of the topic for later subscribers',
    }),
    expirySecs: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0, maximum: 4_294_967_295 }), Type.String({ maxLength: 256 })], {
        title: 'Message Expiry',
        description: `Seconds after which the broker drops a message that it could not deliver${five}`,
      }),
    ),
    contentType: Type.Optional(
      Type.String({
        title: 'Content Type',
        description: `What the payload is, e.g. application/json${five}`,
        maxLength: 1_000,
      }),
    ),
    responseTopic: Type.Optional(
      Type.String({
        title: 'Response Topic',
        description: `Topic that an answer is to be sent to${five}`,
        maxLength: 1_000,
      }),
    ),
    correlationData: Type.Optional(
      Type.String({
        title: 'Correlation Data',
        description: `Data by which the asker recognises the answer; a column of type bytes is sent as it is${five}`,
        maxLength: 1_000,
      }),
    ),
    userProperties: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), Type.String({ maxLength: 1_000 }), {
        title: 'User Properties',
        description: `Names and values to send along${five}`,
        maxProperties: 64,
      }),
    ),
  },
  { title: 'Sink', additionalProperties: false },
);

export const MqttTable = Type.Object(
  {
    topic: Type.String({
      title: 'Topic',
      description:
        'Topic to read or write. A source takes a filter too, with + for one level and # for all the rest, or a ' +
        'shared subscription: $share/<name>/<filter>. A sink takes columns: alerts/{{ device }}.',
      minLength: 1,
      maxLength: 65_535,
    }),
    qos: Type.Optional(
      Type.Enum([...qosNames], {
        title: 'Quality of Service',
        description:
          'AtMostOnce (0) may lose messages. AtLeastOnce (1) and ExactlyOnce (2) lose none; Penstock acknowledges ' +
          'them once they are safe downstream, so that one may come twice after a failure.',
        default: 'AtMostOnce',
      }),
    ),
    type: Type.Unsafe<Static<typeof Source> | Static<typeof Sink>>({
      title: 'Table Type',
      oneOf: [Source, Sink],
    }),
  },
  { title: 'MqttTable', additionalProperties: false },
);
export type MqttTable = Static<typeof MqttTable>;

/** The table's quality of service as MQTT counts it. */
export const qosOf = (table: MqttTable): Qos => qosNames.indexOf(table.qos ?? 'AtMostOnce') as Qos;

export const direction = (table: MqttTable): 'source' | 'sink' =>
  'retain' in table.type ? 'sink' : 'source';

/** What a table says about the messages it writes; undefined for a source. */
export const sinkOf = (table: MqttTable): Static<typeof Sink> | undefined =>
  'retain' in table.type ? table.type : undefined;

/** What a table says about the messages it reads; undefined for a sink. */
export const sourceOf = (table: MqttTable): Static<typeof Source> | undefined =>
  'retain' in table.type ? undefined : table.type;

/** How fast a source table is read, and how long it may be silent. */
export const pace = (table: MqttTable): Pace => sourceOf(table) ?? {};

/** Marks the groups of our own making: which brokers they work on is ours to see to. */
const groupPrefix = 'penstock_tasks_';

export const isOwnShare = (filter: string): boolean =>
  isShared(filter) && splitShared(filter).group.startsWith(groupPrefix);

/** See `shared` in the connector contract. A filter that names a group already is that of the user: tasks join it. */
export function shared(table: MqttTable, group: string): MqttTable {
  if (isShared(table.topic)) return table;
  if (sourceOf(table)?.retained === 'always') {
    throw new PenstockError('cannot_share', `Retained messages do not reach several tasks (MQTT 4.8.2)`, {
      hint: 'Set retained of the table to never or when_new, or the parallelism to 1.',
    });
  }
  return { ...table, topic: `$share/${groupPrefix}${group}/${table.topic}` };
}

/** Checks the topic, a filter for a source, a name or template for a sink, and what MQTT 3.1.1 cannot carry. */
export function validateTable(table: MqttTable, profile?: MqttProfile): FieldError[] {
  const sink = sinkOf(table);
  if (sink === undefined) return findings('/topic', checkTopicFilter(table.topic));
  const { retain: _, ...properties } = sink;
  const unknown = profile?.protocolVersion === '3.1.1' ? Object.keys(properties) : [];
  return [
    ...findings('/topic', checkTopicTemplate(table.topic)),
    ...templatesIn(sink).flatMap(({ path, text }) => findings(path, checkTemplate(text))),
    ...(sink.responseTopic ? findings('/type/responseTopic', checkTopicTemplate(sink.responseTopic)) : []),
    ...(typeof sink.expirySecs === 'string' ? checkExpiry(sink.expirySecs) : []),
    ...unknown.flatMap((name) => findings(`/type/${name}`, 'needs MQTT 5, and the profile says 3.1.1')),
  ];
}

const findings = (path: string, message: string | null): FieldError[] =>
  message === null ? [] : [{ path, message }];

/** The texts of a sink that may hold columns, the topic aside. */
const templatesIn = (sink: Static<typeof Sink>): { path: string; text: string }[] => {
  const { expirySecs, contentType, correlationData, responseTopic, userProperties = {} } = sink;
  const single = Object.entries({ expirySecs, contentType, correlationData, responseTopic });
  return [
    ...single.flatMap(([name, text]) => (typeof text === 'string' ? [{ path: `/type/${name}`, text }] : [])),
    ...Object.values(userProperties).map((text) => ({ path: '/type/userProperties', text })),
  ];
};

/** A topic whose columns stand for at least one character each. */
const checkTopicTemplate = (topic: string): string | null =>
  checkTemplate(topic) ?? checkTopicName(columnsIn(topic).length > 0 ? `${constantParts(topic)}x` : topic);

const checkExpiry = (text: string): FieldError[] =>
  text === '' || columnsIn(text).length > 0 || /^\d{1,10}$/.test(text)
    ? []
    : findings('/type/expirySecs', 'must be a number of seconds or a column: {{ name }}');

/** The types that can be part of a text. */
const plainTypes = [
  'int32',
  'int64',
  'uint32',
  'uint64',
  'float32',
  'float64',
  'decimal128',
  'bool',
  'string',
] as const;

/** The columns that a sink's topic and properties are made of. */
export function columnsOf(table: MqttTable): ColumnUse[] {
  const sink = sinkOf(table);
  if (sink === undefined) return [];
  const texts = [{ path: '/topic', text: table.topic }, ...templatesIn(sink)];
  return texts.flatMap(({ path, text }) =>
    columnsIn(text).map((column) => ({
      path,
      column,
      types: path === '/type/correlationData' ? [...plainTypes, 'bytes'] : plainTypes,
    })),
  );
}

/** The columns a source offers beside the payload. `Metadata` in `delivery.ts` fills them. */
export const metadataColumns = [
  { name: 'topic', type: 'string', description: 'Topic the message was published to' },
  { name: 'qos', type: 'int32', description: 'Quality of service of this delivery: 0, 1 or 2' },
  {
    name: 'retain',
    type: 'bool',
    description: 'Whether the broker had kept the message for new subscribers',
  },
  {
    name: 'dup',
    type: 'bool',
    description: 'Whether the broker says that it may have sent the message before',
  },
  { name: 'message_id', type: 'int32', description: 'Packet identifier; null at quality of service 0' },
  {
    name: 'topic_segments',
    type: 'list',
    items: 'string',
    description: 'Levels of the topic, as a list of strings',
  },
  { name: 'timestamp', type: 'timestamp', description: 'When the message arrived here' },
  { name: 'content_type', type: 'string', description: 'Content type (MQTT 5)' },
  { name: 'response_topic', type: 'string', description: 'Topic that an answer is to be sent to (MQTT 5)' },
  {
    name: 'correlation_data',
    type: 'bytes',
    description: 'Data by which the asker recognises the answer (MQTT 5)',
  },
  {
    name: 'expiry_secs',
    type: 'int64',
    description: 'Seconds that the message had left to live when the broker sent it (MQTT 5)',
  },
  {
    name: 'user_properties',
    type: 'json',
    description: 'User properties as an object; a name that comes more than once has a list (MQTT 5)',
  },
] as const satisfies readonly MetadataColumn[];
