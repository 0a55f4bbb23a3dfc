import type { PenstockError } from '../../../errors.ts';
import { type MqttErrorCode, mqttError } from '../config/errors.ts';
import type { Asked } from './requests.ts';

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

/** Text of a broker on one line, without control characters, truncated. */
export const textOf = (text: string): string =>
  text
    .slice(0, 200)
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ')
    .trim();

/** `not authorized (0x87)`, followed by the server's reason string, truncated. */
export function inWords(code: number, reasonString?: string): string {
  const text = reasonString === undefined || reasonString === '' ? '' : `: ${textOf(reasonString)}`;
  const hex = code.toString(16).padStart(2, '0').toUpperCase();
  return `${wordsOf(code)} (0x${hex})${text}`;
}

const connectHints: Partial<Record<MqttErrorCode, string>> = {
  mqtt_bad_credentials: 'Correct the username and password of the profile.',
  mqtt_not_authorized:
    'Check the username and password: some brokers send this code for a wrong password. Then check what the broker ' +
    'allows this user, client id and IP address.',
  mqtt_client_id_rejected:
    'The broker may not allow this client id: set a shorter clientPrefix (some allow 23 characters in all), or one that it ' +
    'allows for this user. Some brokers send this code for other reasons: a keepAliveSecs above their limit, a session that ' +
    'they do not keep, or another client with the same id. See the log of the broker.',
  mqtt_protocol_refused: 'Set protocolVersion to auto, or to a version that the broker supports.',
  mqtt_will_refused:
    'Change the topic, qos or retain of the last will (will) to values that the broker allows.',
  mqtt_server_unavailable: 'The broker is overloaded, starting or stopping. Try again later.',
  mqtt_packet_too_large:
    'Shorten the last will, the username or the password, or raise the packet limit of the broker.',
  mqtt_protocol_error: 'See the log of the broker for what it took offence at.',
};

/** Hints for single codes, which their error does not have. */
const connectHintsOf: Readonly<Record<number, string>> = {
  128: 'The broker gives no reason. See its log.',
  131: 'The broker gives no standard reason. See its log.',
  138: 'The broker has banned this client, user or address, often after failed logins. Lift the ban on the broker.',
  140: 'The broker requires enhanced authentication (AUTH), which Penstock does not support. Allow a user name and password.',
  142: 'Another client uses the same client id: set a different clientPrefix.',
  151: 'The broker has reached a limit, such as the number of connections of this user. Raise it.',
  156: 'Set the url of the profile to the server that the broker names, if it names one.',
  157: 'Set the url of the profile to the new server.',
  159: 'The broker limits new connections per second. A job tries again by itself.',
};

/** The error for a CONNACK that refuses. `version` is the one in which the code is written. */
export function connectRefused(
  code: number,
  version: 4 | 5,
  reasonString?: string,
  server?: string,
): PenstockError {
  // Reason codes of MQTT 5 begin at 128. A lower one is a return code of 3.1.1 (aedes sends those).
  const reason = version === 5 && code >= 128 ? code : (fromReturnCode[code] ?? code);
  const error = reasons[reason]?.[1] ?? 'mqtt_refused';
  const message = `The broker refused the connection: ${inWords(reason, reasonString)}${naming(server)}`;
  const hint = connectHintsOf[reason] ?? connectHints[error] ?? 'See the log of the broker.';
  return withReason(error, message, hint, reason, reasonString);
}

/** Server Reference of a CONNACK or DISCONNECT. */
const naming = (server: string | undefined): string =>
  server === undefined ? '' : `. It names ${textOf(server)}`;

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
      ...(reasonString === undefined ? {} : { reasonString: textOf(reasonString) }),
    },
  });
}

/** Codes of a DISCONNECT that say why the request before it is refused, and not the client. */
const aboutRequest = [131, 135, 143, 144, 149, 151, 153, 154, 155, 158, 161, 162];

/**
 * The error for a DISCONNECT of the server, except a takeover: see `takenOver`. Some brokers send it instead of a SUBACK or
 * PUBACK: with `asked` it is read as that.
 */
export function disconnected(
  code: number,
  { reasonString, serverReference }: { reasonString?: string; serverReference?: string },
  asked?: Asked,
): PenstockError {
  if (asked !== undefined && aboutRequest.includes(code)) {
    if (asked.packet === 'SUBSCRIBE') return subscribeRefused(asked.topic, code, reasonString);
    if (asked.packet === 'PUBLISH' && asked.alone) return publishRefused(asked.topic, code, reasonString);
  }
  const words = code === 0 ? 'without a reason' : inWords(code, reasonString);
  const message = `The broker ended the connection: ${words}${asked ? `, at ${asked.packet} of ${asked.topic}` : ''}${naming(serverReference)}`;
  return withReason(
    reasons[code]?.[2] ?? 'connection_lost',
    message,
    disconnectHints[code],
    code,
    reasonString,
  );
}

const disconnectHints: Readonly<Record<number, string>> = {
  141: 'Raise keepAliveSecs, or check the network: the broker missed the pings.',
  147: 'The broker accepts fewer messages at once than it announced. See its log.',
  150: 'The broker limits the rate of messages. Raise its limit, or limit the source with messagesPerSecond.',
  152: 'An administrator of the broker, or a rule of it, has ended the connection. See its log.',
  156: 'Set the url of the profile to the server that the broker names, if it names one.',
  157: 'Set the url of the profile to the new server.',
  160: 'The broker limits how long a client may be connected. The task connects again by itself.',
};

/** The error for a SUBACK that refuses. 3.1.1 has only the code 0x80. */
export function subscribeRefused(filter: string, code: number, reasonString?: string): PenstockError {
  if (code === 158) return sharedUnsupported(filter);
  const message = `The broker refused the subscription to ${filter}: ${inWords(code, reasonString)}`;
  const hint =
    subscribeHints[code] ??
    'Allow this user to read the topic in the access rules of the broker. See its log.';
  return withReason('mqtt_subscribe_refused', message, hint, code, reasonString);
}

const subscribeHints: Readonly<Record<number, string>> = {
  143: 'The broker does not take this filter. Use another topic, or allow this one in the broker.',
  151: 'The broker has reached a limit, such as the number of subscriptions of this user. Raise it.',
  161: 'Set protocolVersion to 3.1.1: the broker does not take identifiers of subscriptions.',
  162: 'Use a topic without + and #, or allow wildcards in the broker.',
};

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
  const hint =
    publishHints[code] ??
    'Allow this user to write the topic in the access rules of the broker. See its log.';
  if (code === 149) return withReason('mqtt_packet_too_large', message, hint, code, reasonString);
  if (code === 151) return withReason('mqtt_server_unavailable', message, hint, code, reasonString);
  return withReason('mqtt_publish_refused', message, hint, code, reasonString);
}

const publishHints: Readonly<Record<number, string>> = {
  144: 'Use a topic that the broker takes. Some brokers (ejabberd) send this code for a topic that the user may not write.',
  149: 'Make the messages smaller, or raise the limit of the broker.',
  151: 'The broker has reached a limit of messages or of their rate. Raise it, or limit the source with messagesPerSecond.',
  153: 'The broker checks payloads, and does not take this one. Change the format of the table, or the rule of the broker.',
  154: 'Set retain to false in the table.',
  155: 'Set the qos of the table to a lower one.',
};

export const retainUnsupported = (): PenstockError =>
  mqttError('mqtt_publish_refused', 'The broker does not support retained messages', {
    hint: 'Set retain to false in the table.',
  });

export const packetTooLarge = (): PenstockError =>
  mqttError('mqtt_packet_too_large', 'The broker sent a packet larger than maxPacketSize', {
    hint: 'Raise maxPacketSize in the profile.',
  });
