import { PenstockError } from '../../../errors.ts';
import { mqttError } from '../config/errors.ts';
import type { Qos } from '../config/topic.ts';

/**
 * The request whose response is due, and what it means if the broker stays silent or closes the connection instead. A
 * connection test and a job use the same words.
 */
export interface Asked {
  packet: 'SUBSCRIBE' | 'UNSUBSCRIBE' | 'PUBLISH' | 'PUBREL';
  /** As in the table: errors must not contain values of a row. */
  topic: string;
  qos: Qos;
  retain?: boolean;
  /** Whether no other message is in flight, so that what the broker says is about this one. */
  alone?: boolean;
}

const rules = 'Check the access rules of the broker for this user and topic, and the log of the broker.';

const whenSilent: Readonly<Record<Asked['packet'], string>> = {
  SUBSCRIBE:
    'The network works, because the broker has accepted the connection. Some brokers leave a subscription without a response ' +
    `that they forbid, or whose filter or QoS they do not support. ${rules}`,
  UNSUBSCRIBE:
    'The network works, because the broker has accepted the connection. See the log of the broker.',
  PUBLISH:
    'The network works, because the broker has accepted the connection. Some brokers (RabbitMQ) leave a message without a ' +
    `response that the user may not write, or whose QoS or retain flag they do not support. ${rules}`,
  PUBREL:
    'The broker has taken the message, but does not complete the exchange of QoS 2. Set the qos of the table to ' +
    'AtLeastOnce, and see the log of the broker.',
};

const whenClosed: Readonly<Record<Asked['packet'], string>> = {
  SUBSCRIBE:
    'Brokers do this if the access rules forbid the topic, or if they do not support the filter (wildcards, $share) or ' +
    `the QoS. ${rules}`,
  UNSUBSCRIBE: 'Brokers do this if the access rules forbid the topic. See the log of the broker.',
  PUBLISH:
    'Brokers do this at a topic that the user may not write or that has characters they do not take, at a QoS or a ' +
    `retained message that they do not support, and at a message that is too large. ${rules}`,
  PUBREL:
    'The broker seems not to support QoS 2: set the qos of the table to AtLeastOnce. See the log of the broker.',
};

function described({ packet, topic, qos, retain }: Asked): string {
  if (packet === 'UNSUBSCRIBE') return `UNSUBSCRIBE of ${topic}`;
  if (packet === 'PUBREL') return `PUBREL, which completes a QoS 2 message to ${topic}`;
  return `${packet} of ${topic} at QoS ${qos}${retain ? ', retained' : ''}`;
}

const factsOf = ({ packet, topic, qos, retain = false }: Asked) => ({ packet, topic, qos, retain });

export const unanswered = (asked: Asked, ms: number): PenstockError =>
  mqttError('mqtt_not_answered', `The broker did not respond to ${described(asked)} within ${ms} ms`, {
    hint: whenSilent[asked.packet],
    facts: factsOf(asked),
  });

/** `cause` is what `closedByPeer` recognises. */
export const closedInstead = (
  asked: Asked,
  version: 4 | 5,
  cause: Error,
  when: 'at' | 'after' = 'at',
): PenstockError =>
  new PenstockError('connection_lost', `The broker closed the connection ${when} ${described(asked)}`, {
    hint: whenClosed[asked.packet] + (version === 4 ? ' MQTT 3.1.1 has no way to report the reason.' : ''),
    facts: factsOf(asked),
    cause,
  });

/** For a client with a random id that has asked for nothing but to connect. */
export const closedAfterLogin = (cause: Error): PenstockError =>
  new PenstockError('connection_lost', 'The broker accepted the connection and closed it at once', {
    hint:
      'Brokers do this if a rule of theirs forbids this client: its client id, user, address, or the number of its ' +
      'connections. So do proxies whose broker is away. See the log of the broker.',
    cause,
  });

/** For a CONNECT without a CONNACK, over a connection that is open. */
export const connectUnanswered = (ms: number, versions: string): PenstockError =>
  mqttError(
    'mqtt_not_answered',
    `The server did not respond to CONNECT of MQTT ${versions} within ${ms} ms`,
    {
      hint:
        (versions === '5'
          ? 'Some brokers that know MQTT 3.1.1 only do not respond to MQTT 5: set protocolVersion to auto or 3.1.1. '
          : '') +
        'The connection itself works, so the port may belong to another protocol, or to a proxy without a broker behind it. ' +
        'An overloaded broker also responds late: then raise connectTimeoutMs.',
      facts: { packet: 'CONNECT', protocolVersion: versions },
    },
  );
