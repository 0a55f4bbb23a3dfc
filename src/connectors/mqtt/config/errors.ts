import { type DescribedError, type ErrorCode, errorMaker, type PenstockError } from '../../../errors.ts';

/** The error codes of MQTT, beside those of names, networks, TLS and WebSocket, which belong to the core. */
export const mqttErrors = {
  mqtt_not_spoken: {
    title: 'The server does not speak MQTT on this port',
    passing: false,
    means: 'What listens on the port answers in something that is not MQTT.',
    todo: 'Check the port and the scheme of the URL: it may be TLS or HTTP.',
  },
  mqtt_bad_credentials: {
    title: 'The broker refuses the user name or password',
    passing: false,
    means: 'The broker does not accept the user name or password.',
    todo: 'Correct them in the profile. Some brokers say the same of a client id or address that they do not allow.',
  },
  mqtt_not_authorized: {
    title: 'The broker does not allow this client',
    passing: false,
    means: 'The broker knows the client and does not allow it to connect, or has banned it.',
    todo: 'Look into the access rules of the broker for this user, client id and address.',
  },
  mqtt_client_id_rejected: {
    title: 'The broker refuses the client id',
    passing: false,
    means: 'The broker does not take the client id.',
    todo: 'Set `clientPrefix` of the profile to what its rules for ids allow.',
  },
  mqtt_client_id_in_use: {
    title: 'Another client uses the same client id',
    passing: false,
    means:
      'Another client has the same id, and the two would end each other without end. The job stops instead.',
    todo: 'Find the other client, often a second Penstock with a copy of the database, or give the profile a `clientPrefix` of its own.',
  },
  mqtt_protocol_refused: {
    title: 'The broker does not speak this MQTT version',
    passing: false,
    means: 'The broker does not speak the version that the profile asks for.',
    todo: 'Leave `protocolVersion` out, so that both are tried.',
  },
  mqtt_server_unavailable: {
    title: 'The broker is not available',
    passing: true,
    means: 'The broker says that it is busy, shuts down or lacks resources. A job tries again.',
    todo: 'Look at the load and the limits of the broker.',
  },
  mqtt_refused: {
    title: 'The broker refused the connection',
    passing: true,
    means: 'The broker refuses the connection with another reason, or closes it without a word.',
    todo: 'The message has its reason if it gave one. Check the port, and whether the broker limits who may connect.',
  },
  mqtt_will_refused: {
    title: 'The broker does not take the last will',
    passing: false,
    means:
      'The broker does not take the last will of the profile, for its QoS, its retain flag or its topic.',
    todo: 'Change or remove `will` of the profile.',
  },
  mqtt_shared_unsupported: {
    title: 'The broker knows no shared subscriptions',
    passing: false,
    means:
      'The broker has no shared subscriptions, or does not show that it has: one is needed for several tasks.',
    todo: 'Set the parallelism to 1 and use a filter without `$share`, or use a broker that has them.',
  },
  mqtt_retained_not_shared: {
    title: 'Retained messages do not reach shared subscriptions',
    passing: false,
    means: 'Several tasks share the source, and brokers send no retained messages to shared subscriptions.',
    todo: 'Set the parallelism to 1 if they matter, or `retained` of the table to `never` if they do not.',
  },
  mqtt_session_lost: {
    title: 'The broker has forgotten a session',
    passing: true,
    means: 'The broker no longer has the session of a source: what came while the pipeline was away is lost.',
    todo: 'Let the broker save its sessions across restarts, and keep them as long as a pipeline may be away (`sessionExpirySecs`).',
  },
  mqtt_subscribe_refused: {
    title: 'The broker refuses the subscription',
    passing: false,
    means: 'The broker does not let this user subscribe to the topic.',
    todo: 'Look into the access rules of the broker, and check the filter.',
  },
  mqtt_qos_downgraded: {
    title: 'The broker grants a lower quality of service',
    passing: false,
    means: 'The broker does less than the QoS that the table asks for. At QoS 0 messages can be lost.',
    todo: 'Use a broker that does more, or set the `qos` of the table to what it does.',
  },
  mqtt_publish_refused: {
    title: 'The broker refuses the message',
    passing: false,
    means: 'The broker does not take a message: the topic is not allowed, or it keeps no retained messages.',
    todo: 'Look into the access rules of the broker, and the topic and `retain` of the table.',
  },
  mqtt_packet_too_large: {
    title: 'A message is larger than allowed',
    passing: false,
    means: 'A message is larger than the broker takes, or than `maxPacketSize` of the profile lets it send.',
    todo: 'Raise the limit of the broker or of the profile, or send smaller messages.',
  },
  mqtt_no_message: {
    title: 'No message arrived while testing',
    passing: false,
    means: 'The subscription was accepted, and no message came while the test waited.',
    todo: 'Perhaps nobody publishes just now. If somebody does, check the access rules of the broker for this user.',
  },
  mqtt_protocol_error: {
    title: 'The broker broke the MQTT protocol',
    passing: true,
    means: 'The broker sent what MQTT does not allow, or says that we did.',
    todo: 'Look into the log of the broker. If it says that Penstock is at fault, report it.',
  },
} as const satisfies Record<string, DescribedError>;

export type MqttErrorCode = ErrorCode | keyof typeof mqttErrors;

export const mqttError = errorMaker(mqttErrors);

export const codeOf = ({ code }: PenstockError): MqttErrorCode => code as MqttErrorCode;
