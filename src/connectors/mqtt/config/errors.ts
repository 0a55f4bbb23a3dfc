import { type DescribedError, type ErrorCode, errorMaker, type PenstockError } from '../../../errors.ts';

/** The error codes of MQTT. Codes for names, networks, TLS and WebSocket belong to the core. */
export const mqttErrors = {
  mqtt_not_spoken: {
    title: 'The server does not speak MQTT on this port',
    passing: false,
    means: 'The server on this port uses another protocol.',
    todo: 'Check the port and the scheme of the URL. The port may expect TLS or HTTP.',
  },
  mqtt_bad_credentials: {
    title: 'The broker refuses the user name or password',
    passing: false,
    means: 'The broker does not accept the user name or password.',
    todo: 'Correct them in the profile. Some brokers report a forbidden client id or address in the same way.',
  },
  mqtt_not_authorized: {
    title: 'The broker does not allow this client',
    passing: false,
    means: 'The broker accepts the user but does not allow the client to connect, or has banned it.',
    todo: 'Check the access rules of the broker for this user, client id and address.',
  },
  mqtt_client_id_rejected: {
    title: 'The broker refuses the client id',
    passing: false,
    means: 'The broker does not accept the client id.',
    todo: 'Set `clientPrefix` of the profile to a prefix that the rules of the broker allow.',
  },
  mqtt_client_id_in_use: {
    title: 'Another client uses the same client id',
    passing: false,
    lasting: true,
    means:
      'Another client has the same id. The two would disconnect each other forever, so the job stops instead.',
    todo: 'Stop the other client, often a second Penstock with a copy of the database, or give the profile its own `clientPrefix`.',
  },
  mqtt_protocol_refused: {
    title: 'The broker does not support this MQTT version',
    passing: false,
    means: 'The broker does not support the `protocolVersion` of the profile.',
    todo: 'Remove `protocolVersion`, so that Penstock tries both versions.',
  },
  mqtt_server_unavailable: {
    title: 'The broker is not available',
    passing: true,
    means: 'The broker is busy, is shutting down or lacks resources. A job tries again.',
    todo: 'Check the load and the limits of the broker.',
  },
  mqtt_not_answered: {
    title: 'The broker did not respond to a request',
    passing: true,
    means:
      'The connection is open, but the broker did not respond to a CONNECT, SUBSCRIBE, UNSUBSCRIBE, PUBLISH or PUBREL. The ' +
      'message names it. A job tries again.',
    todo: 'Check the access rules for the topic, the QoS and the MQTT version. Some brokers do not respond to what they forbid or do not know.',
  },
  mqtt_refused: {
    title: 'The broker refused the connection',
    passing: true,
    means: 'The broker refused the connection for another reason, or closed it without a reason.',
    todo: 'The message has the reason, if any. Check the port, and the access rules of the broker.',
  },
  mqtt_will_refused: {
    title: 'The broker refuses the last will',
    passing: false,
    means:
      'The broker does not accept the QoS, the retain flag or the topic of the last will of the profile.',
    todo: 'Change or remove `will` of the profile.',
  },
  mqtt_shared_unsupported: {
    title: 'The broker does not support shared subscriptions',
    passing: false,
    means:
      'The topic of the table begins with `$share`, and the broker has no shared subscriptions. Some brokers take such a topic ' +
      'for an ordinary one: then the job runs and receives nothing.',
    todo: 'Set the topic to the filter without `$share`. Several tasks then divide its messages among themselves.',
  },
  mqtt_shared_forgotten: {
    title: 'The broker has forgotten a shared subscription',
    passing: false,
    means:
      'The broker kept the session, but not its shared subscription, probably in a restart (mosquitto 2.0). What was published ' +
      'before the job subscribed again is lost. The job continues.',
    todo: 'Set the topic of the table to the filter without `$share`: brokers keep ordinary subscriptions.',
  },
  mqtt_unsubscribed_early: {
    title: 'A topic was unsubscribed with messages in its queue',
    passing: false,
    means:
      'After a change of the topic, messages of the former one are read before it is unsubscribed. They kept coming for 10 minutes. ' +
      'Brokers such as ActiveMQ drop the rest.',
    todo: 'Check the rate of the former topic, and whether the sink is slow. The job continues.',
  },
  mqtt_retained_not_shared: {
    title: 'Retained messages do not reach shared subscriptions',
    passing: false,
    means: 'Several tasks share the source, but brokers send no retained messages to shared subscriptions.',
    todo: 'If you need retained messages, set the parallelism to 1. If not, set `retained` of the table to `never`.',
  },
  mqtt_session_lost: {
    title: 'The broker has lost a session',
    passing: true,
    means:
      'The broker no longer has the session of a source. Messages from while the pipeline was away are lost.',
    todo: 'Make the broker save its sessions across restarts, and keep them for the longest absence of a pipeline (`sessionExpirySecs`).',
  },
  mqtt_session_shortened: {
    title: 'The broker keeps sessions for less time than asked',
    passing: false,
    means:
      'The broker grants a shorter session expiry than `sessionExpirySecs` of the profile. It discards the queued messages of a ' +
      'source that is away for longer.',
    todo: 'Raise the limit of the broker, or set `sessionExpirySecs` to what it grants to accept this.',
  },
  mqtt_grant_lessened: {
    title: 'The broker grants less than asked',
    passing: false,
    means:
      'The broker accepts smaller packets than `maxPacketSize`, sets a longer keep-alive than `keepAliveSecs`, or keeps no retained ' +
      'messages for a source that is to read them.',
    todo: 'Raise the limit of the broker, or set the field to what it grants to accept this.',
  },
  mqtt_subscribe_refused: {
    title: 'The broker refuses the subscription',
    passing: false,
    means: 'The broker does not let this user subscribe to the topic.',
    todo: 'Check the access rules of the broker, and the topic filter.',
  },
  mqtt_qos_downgraded: {
    title: 'The broker grants a lower QoS than requested',
    passing: false,
    means: 'The broker grants a lower QoS than the table requests. At QoS 0 messages can be lost.',
    todo: 'Use a broker with a higher QoS, or set `qos` of the table to the QoS of the broker.',
  },
  mqtt_publish_refused: {
    title: 'The broker refuses the message',
    passing: false,
    means: 'The broker does not allow the topic, or does not support retained messages.',
    todo: 'Check the access rules of the broker, and the topic and `retain` of the table.',
  },
  mqtt_packet_too_large: {
    title: 'A message is larger than allowed',
    passing: false,
    means: 'A message exceeds the limit of the broker or `maxPacketSize` of the profile.',
    todo: 'Raise the limit of the broker or of the profile, or send smaller messages.',
  },
  mqtt_topic_rewritten: {
    title: 'The broker takes a topic for another one',
    passing: false,
    means:
      'The topic of the table has a character that the broker replaces or takes for a wildcard, without an error. RabbitMQ does ' +
      'so with `.` and `*`.',
    todo: 'Use topics without this character, or another broker. The job continues.',
  },
  mqtt_no_message: {
    title: 'No message arrived while testing',
    passing: false,
    means: 'The broker accepted the subscription, but no message arrived during the test.',
    todo: 'Check whether a client publishes to the topic. If so, check the access rules of the broker for this user.',
  },
  mqtt_protocol_error: {
    title: 'The broker violated the MQTT protocol',
    passing: true,
    means: 'The broker sent something that MQTT does not allow, or reports that Penstock did.',
    todo: 'Check the log of the broker. If it shows that Penstock is at fault, report it.',
  },
} as const satisfies Record<string, DescribedError>;

export type MqttErrorCode = ErrorCode | keyof typeof mqttErrors;

export const mqttError = errorMaker(mqttErrors);

export const codeOf = ({ code }: PenstockError): MqttErrorCode => code as MqttErrorCode;
