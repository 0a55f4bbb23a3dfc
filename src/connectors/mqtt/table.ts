import Type, { type Static } from 'typebox';
import type { FieldError } from '../../errors.ts';
import type { MetadataColumn } from '../connector.ts';
import { checkTopicFilter, checkTopicName } from './topic.ts';

/** The schema of an MQTT connection table, the same on the wire as Arroyo's. */

const Source = Type.Object({}, { title: 'Source', additionalProperties: false });

const Sink = Type.Object(
  {
    retain: Type.Boolean({
      title: 'Retain',
      description: 'Whether the broker keeps the last message of the topic for later subscribers',
    }),
  },
  { title: 'Sink', additionalProperties: false },
);

export const qosNames = ['AtMostOnce', 'AtLeastOnce', 'ExactlyOnce'] as const;

export const MqttTable = Type.Object(
  {
    topic: Type.String({
      title: 'Topic',
      description:
        'Topic to read or write. A source takes a filter too, with + for one level and # for all the rest, or a ' +
        'shared subscription: $share/<name>/<filter>.',
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

export type Qos = 0 | 1 | 2;

/** The table's quality of service as MQTT counts it. */
export const qosOf = (table: MqttTable): Qos => qosNames.indexOf(table.qos ?? 'AtMostOnce') as Qos;

export const direction = (table: MqttTable): 'source' | 'sink' =>
  'retain' in table.type ? 'sink' : 'source';

/** Whether a sink table's messages are retained. */
export const retains = (table: MqttTable): boolean => 'retain' in table.type && table.type.retain;

/** Checks the topic: a filter for a source, a name for a sink. */
export function validateTable(table: MqttTable): FieldError[] {
  const message = direction(table) === 'source' ? checkTopicFilter(table.topic) : checkTopicName(table.topic);
  return message === null ? [] : [{ path: '/topic', message }];
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
] as const satisfies readonly MetadataColumn[];
