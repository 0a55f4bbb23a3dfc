import type { PenstockError } from '../../../errors.ts';
import { type MqttErrorCode, mqttError } from '../config/errors.ts';

/** MQTT reason codes in words (MQTT 5, section 2.4), and the errors for packets that carry them. */

/** Each code with its words, its error in a CONNACK, and its error in a DISCONNECT. */
const reasons: Readonly<
  Record<number, [words: string, inConnack?: MqttErrorCode, inDisconnect?: MqttErrorCode]>
> = {
  128: ['unspecified error'],
  129: ['malformed packet', 'mqtt_protocol_error', 'mqtt_protocol_error'],
  130: ['protocol error', 'mqtt_protocol_error', 'mqtt_protocol_error'],
  131: ['implementation specific error'],
  132: ['unsupported protocol version', 'mqtt_protocol_refused'],
  133: ['client identifier not valid', 'mqtt_client_id_rejected'],
  134: ['bad user name or password', 'mqtt_bad_credentials'],
  135: ['not authorized', 'mqtt_not_authorized', 'mqtt_not_authorized'],
  136: ['server unavailable', 'mqtt_server_unavailable', 'mqtt_server_unavailable'],
  137: ['server busy', 'mqtt_server_unavailable', 'mqtt_server_unavailable'],
  138: ['banned', 'mqtt_not_authorized'],
  139: ['server shutting down', 'mqtt_server_unavailable', 'mqtt_server_unavailable'],
  140: ['bad authentication method', 'mqtt_not_authorized'],
  141: ['keep alive timeout'],
  142: ['session taken over'],
  143: ['topic filter invalid'],
  144: ['topic name invalid', 'mqtt_will_refused'],
  145: ['packet identifier in use'],
  146: ['packet identifier not found'],
  147: ['receive maximum exceeded', undefined, 'mqtt_protocol_error'],
  148: ['topic alias invalid', undefined, 'mqtt_protocol_error'],
  149: ['packet too large', 'mqtt_packet_too_large', 'mqtt_packet_too_large'],
  150: ['message rate too high'],
  151: ['quota exceeded', 'mqtt_server_unavailable', 'mqtt_server_unavailable'],
  152: ['administrative action'],
  153: ['payload format invalid', 'mqtt_will_refused'],
  154: ['retain not supported', 'mqtt_will_refused', 'mqtt_publish_refused'],
  155: ['QoS not supported', 'mqtt_will_refused', 'mqtt_publish_refused'],
  156: ['use another server'],
  157: ['server moved'],
  158: ['shared subscriptions not supported', undefined, 'mqtt_subscribe_refused'],
  159: ['connection rate exceeded', 'mqtt_server_unavailable'],
  160: ['maximum connect time'],
  161: ['subscription identifiers not supported'],
  162: ['wildcard subscriptions not supported', undefined, 'mqtt_subscribe_refused'],
};

/** CONNACK return codes of MQTT 3.1.1 (section 3.2.2.3) and the equivalent MQTT 5 reason codes. */
const fromReturnCode: Readonly<Record<number, number>> = { 1: 132, 2: 133, 3: 136, 4: 134, 5: 135 };

const wordsOf = (code: number): string => reasons[code]?.[0] ?? 'unknown reason';

/** `not authorized (0x87)`, followed by the server's reason string, truncated. */
export function inWords(code: number, reasonString?: string): string {
  const text = reasonString === undefined || reasonString === '' ? '' : `: ${reasonString.slice(0, 200)}`;
  const hex = code.toString(16).padStart(2, '0').toUpperCase();
  return `${wordsOf(code)} (0x${hex})${text}`;
}

const connectHints: Partial<Record<MqttErrorCode, string>> = {
  mqtt_bad_credentials: 'Correct the username and password of the profile.',
  mqtt_not_authorized:
    'Check the username and password: some brokers send this code for a wrong password. Then check what the broker ' +
    'allows this user, client id and IP address.',
  mqtt_client_id_rejected: 'Set a shorter clientPrefix, or one that the broker allows for this user.',
  mqtt_protocol_refused: 'Set protocolVersion to auto, or to a version that the broker supports.',
  mqtt_will_refused:
    'Change the topic, qos or retain of the last will (will) to values that the broker allows.',
  mqtt_server_unavailable: 'The broker is overloaded, starting or stopping. Try again later.',
};

/** The error for a CONNACK that refuses. `version` is the one in which the code is written. */
export function connectRefused(code: number, version: 4 | 5, reasonString?: string): PenstockError {
  // Reason codes of MQTT 5 begin at 128. A lower one is a return code of 3.1.1 (aedes sends those).
  const reason = version === 5 && code >= 128 ? code : (fromReturnCode[code] ?? code);
  const error = reasons[reason]?.[1] ?? 'mqtt_refused';
  const message = `The broker refused the connection: ${inWords(reason, reasonString)}`;
  return withReason(error, message, connectHints[error], reason, reasonString);
}

function withReason(
  error: MqttErrorCode,
  message: string,
  hint: string | undefined,
  code: number,
  reasonString?: string,
): PenstockError {
  return mqttError(error, message, {
    ...(hint === undefined ? {} : { hint }),
    facts: {
      reasonCode: code,
      reason: wordsOf(code),
      ...(reasonString === undefined ? {} : { reasonString: reasonString.slice(0, 200) }),
    },
  });
}

/** The error for a DISCONNECT of the server (MQTT 5), except a takeover: see `takenOver`. */
export const disconnected = (code: number, reasonString?: string): PenstockError =>
  withReason(
    reasons[code]?.[2] ?? 'connection_lost',
    `The broker ended the connection: ${inWords(code, reasonString)}`,
    undefined,
    code,
    reasonString,
  );

/** The error for a SUBACK that refuses. 3.1.1 has only the code 0x80. */
export function subscribeRefused(filter: string, code: number, reasonString?: string): PenstockError {
  if (code === 158) return sharedUnsupported(filter);
  const message = `The broker refused the subscription to ${filter}: ${inWords(code, reasonString)}`;
  const hint = 'Allow this user to read the topic in the access rules of the broker.';
  return withReason('mqtt_subscribe_refused', message, hint, code, reasonString);
}

export const unsubscribeRefused = (filter: string, code: number): PenstockError =>
  withReason(
    'mqtt_subscribe_refused',
    `The broker refused to remove the subscription to ${filter}: ${inWords(code)}`,
    'Allow this user to unsubscribe in the access rules of the broker.',
    code,
  );

export const sharedUnsupported = (filter: string): PenstockError =>
  withReason(
    'mqtt_shared_unsupported',
    `The broker does not support shared subscriptions, which ${filter} requires`,
    'Set the parallelism of the pipeline to 1, use a filter without $share, or use another broker.',
    158,
  );

/** The error for a PUBACK, PUBREC or PUBCOMP that refuses (MQTT 5). */
export function publishRefused(topic: string, code: number, reasonString?: string): PenstockError {
  const message = `The broker refused a message to ${topic}: ${inWords(code, reasonString)}`;
  if (code === 149) return withReason('mqtt_packet_too_large', message, undefined, code, reasonString);
  if (code === 151) return withReason('mqtt_server_unavailable', message, undefined, code, reasonString);
  const hint = 'Allow this user to write the topic in the access rules of the broker.';
  return withReason('mqtt_publish_refused', message, hint, code, reasonString);
}

export const retainUnsupported = (): PenstockError =>
  mqttError('mqtt_publish_refused', 'The broker does not support retained messages', {
    hint: 'Set retain to false in the table.',
  });

export const packetTooLarge = (): PenstockError =>
  mqttError('mqtt_packet_too_large', 'The broker sent a packet larger than maxPacketSize', {
    hint: 'Raise maxPacketSize in the profile.',
  });

export const subackTimeout = (ms: number): PenstockError =>
  mqttError('connection_timeout', `The broker sent no SUBACK within ${ms} ms (connectTimeoutMs)`);
