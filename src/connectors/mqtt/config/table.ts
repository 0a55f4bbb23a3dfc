import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { ColumnUse } from '../../../formats/schema/column-use.ts';
import { fieldTypes } from '../../../formats/schema/schema.ts';
import type { MetadataColumn, Pace } from '../../connector.ts';
import { checkTemplate, columnsIn, constantParts } from '../../network/template.ts';
import type { MqttProfile } from './profile.ts';
import {
  checkTopicFilter,
  checkTopicName,
  hasWildcard,
  isShared,
  type Qos,
  qosLevel,
  qosNames,
} from './topic.ts';

/** The schema of an MQTT connection table, wire-compatible with Arroyo's, and the rules that it cannot express. */

const mqtt5 = '(MQTT 5). May contain columns as {{ name }}; omitted if one of them is null.';

const messageProperty = (title: string, description: string) =>
  Type.Optional(Type.String({ title, description: `${description} ${mqtt5}`, maxLength: 1_000 }));

const Source = Type.Object(
  {
    retained: Type.Optional(
      Type.Enum(['always', 'when_new', 'never'], {
        title: 'Retained Messages',
        description:
          'When to read retained messages: at every connection, when the subscription is new, or never. With MQTT ' +
          '3.1.1 a broker sends them at every connection; never discards them here.',
        default: 'when_new',
      }),
    ),
    messagesPerSecond: Type.Optional(
      Type.Number({
        title: 'Rate Limit',
        description: 'Maximum number of messages to read per second; the rest waits at the broker',
        minimum: 0.001,
        maximum: 1_000_000,
      }),
    ),
    maxSilenceSecs: Type.Optional(
      Type.Integer({
        title: 'Maximum Silence',
        description: 'Seconds without a message after which the job shows a warning; it is not restarted',
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
      description: 'Whether the broker retains the last message of the topic for later subscribers',
    }),
    expirySecs: Type.Optional(
      Type.Union([Type.Integer({ minimum: 0, maximum: 4_294_967_295 }), Type.String({ maxLength: 256 })], {
        title: 'Message Expiry',
        description: `Seconds after which the broker discards an undelivered message ${mqtt5}`,
      }),
    ),
    contentType: messageProperty('Content Type', 'Media type of the payload, such as application/json'),
    responseTopic: messageProperty('Response Topic', 'Topic for responses'),
    correlationData: messageProperty(
      'Correlation Data',
      'Correlation data for the response; a column of type bytes is sent unchanged',
    ),
    userProperties: Type.Optional(
      Type.Record(Type.String({ minLength: 1, maxLength: 256 }), Type.String({ maxLength: 1_000 }), {
        title: 'User Properties',
        description: `Names and values to send with each message ${mqtt5}`,
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
        'Topic to read or write. A source also accepts a filter with the wildcards + and #, or a shared subscription: ' +
        '$share/<name>/<filter>. A sink also accepts columns: alerts/{{ device }}.',
      minLength: 1,
      maxLength: 65_535,
    }),
    qos: Type.Optional(
      Type.Enum([...qosNames], {
        title: 'Quality of Service',
        description:
          'AtMostOnce (0) may lose messages. AtLeastOnce (1) and ExactlyOnce (2) lose none: Penstock acknowledges ' +
          'a message only after the sink has confirmed it. After a failure a message may arrive twice.',
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

export const qosOf = (table: MqttTable): Qos => qosLevel(table.qos);

export const exactlyOnce = (table: MqttTable): boolean => qosOf(table) === 2;

export const direction = (table: MqttTable): 'source' | 'sink' =>
  'retain' in table.type ? 'sink' : 'source';

export const sinkOf = (table: MqttTable): Static<typeof Sink> | undefined =>
  'retain' in table.type ? table.type : undefined;

export const sourceOf = (table: MqttTable): Static<typeof Source> | undefined =>
  'retain' in table.type ? undefined : table.type;

/** See `subjectOf` in the connector contract. */
export const subjectOf = ({ topic }: MqttTable) =>
  hasWildcard(topic) || isShared(topic) || columnsIn(topic).length > 0 ? {} : { topic };

export const pace = (table: MqttTable): Pace => sourceOf(table) ?? {};

export const propertyNames = (table: MqttTable): string[] =>
  Object.keys(sinkOf(table) ?? {}).filter((name) => name !== 'retain');

/** Checks topics and templates, and refuses properties that the profile's MQTT version cannot carry. */
export function validateTable(table: MqttTable, profile?: MqttProfile): FieldError[] {
  const sink = sinkOf(table);
  if (sink === undefined) return findings('/topic', checkTopicFilter(table.topic));
  const unsupported = profile?.protocolVersion === '3.1.1' ? propertyNames(table) : [];
  return [
    ...findings('/topic', checkTopicTemplate(table.topic)),
    ...templatesIn(sink).flatMap(({ path, text }) => findings(path, checkTemplate(text))),
    ...(sink.responseTopic ? findings('/type/responseTopic', checkTopicTemplate(sink.responseTopic)) : []),
    ...(typeof sink.expirySecs === 'string' ? checkExpiry(sink.expirySecs) : []),
    ...unsupported.flatMap((name) =>
      findings(`/type/${name}`, 'requires MQTT 5, but protocolVersion of the profile is 3.1.1'),
    ),
  ];
}

const findings = (path: string, message: string | null): FieldError[] =>
  message === null ? [] : [{ path, message }];

const templatesIn = (sink: Static<typeof Sink>): { path: string; text: string }[] => {
  const { expirySecs, contentType, correlationData, responseTopic, userProperties = {} } = sink;
  const single = Object.entries({ expirySecs, contentType, correlationData, responseTopic });
  return [
    ...single.flatMap(([name, text]) => (typeof text === 'string' ? [{ path: `/type/${name}`, text }] : [])),
    ...Object.values(userProperties).map((text) => ({ path: '/type/userProperties', text })),
  ];
};

/** A column gives at least one character: `x` represents it. */
const checkTopicTemplate = (topic: string): string | null =>
  checkTemplate(topic) ?? checkTopicName(columnsIn(topic).length > 0 ? `${constantParts(topic)}x` : topic);

const checkExpiry = (text: string): FieldError[] =>
  text === '' || columnsIn(text).length > 0 || /^\d{1,10}$/.test(text)
    ? []
    : findings('/type/expirySecs', 'must be a number of seconds, or a column as {{ name }}');

const structured = ['bytes', 'timestamp', 'json', 'struct', 'list'];
const plainTypes = fieldTypes.filter((type) => !structured.includes(type));

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

/** Metadata columns of a source. `Metadata` in `delivery.ts` provides their values. */
export const metadataColumns = [
  { name: 'topic', type: 'string', description: 'Topic the message was published to' },
  { name: 'qos', type: 'int32', description: 'QoS level of this delivery: 0, 1 or 2' },
  { name: 'retain', type: 'bool', description: 'Whether this is a retained message' },
  { name: 'dup', type: 'bool', description: 'DUP flag: whether the broker may have sent the message before' },
  { name: 'message_id', type: 'int32', description: 'Packet identifier; null at QoS 0' },
  { name: 'topic_segments', type: 'list', items: 'string', description: 'Levels of the topic' },
  { name: 'timestamp', type: 'timestamp', description: 'Time of arrival' },
  { name: 'content_type', type: 'string', description: 'Content type (MQTT 5)' },
  { name: 'response_topic', type: 'string', description: 'Topic for responses (MQTT 5)' },
  { name: 'correlation_data', type: 'bytes', description: 'Correlation data for the response (MQTT 5)' },
  { name: 'expiry_secs', type: 'int64', description: 'Remaining seconds until the message expires (MQTT 5)' },
  {
    name: 'user_properties',
    type: 'json',
    description: 'User properties; a repeated name has a list (MQTT 5)',
  },
] as const satisfies readonly MetadataColumn[];

/** The messages of a source that one of several tasks handles: those whose hash modulo `of` is `index`. */
export interface Share {
  index: number;
  of: number;
}

/**
 * See `shared` in the connector contract. Every task subscribes to the whole topic and handles its share of the messages. If
 * the user has named a shared subscription, the tasks join it: then the broker distributes the messages.
 */
export function shared(table: MqttTable, index: number, of: number): MqttTable {
  if (isShared(table.topic)) return table;
  const part: MqttTable & { share: Share } = { ...table, share: { index, of } };
  return part;
}

const everything: Share = { index: 0, of: 1 };

/** The share that a task handles, as `shared` set it; everything by default. */
export const shareOf = (table: MqttTable & { share?: Share }): Share => table.share ?? everything;
