import type { PenstockError } from '../../../errors.ts';
import { type MqttErrorCode, mqttError } from '../config/errors.ts';

/** MQTT reason codes in words (MQTT 5, section 2.4), and the error each one becomes. */

const words: Readonly<Record<number, string>> = {
  128: 'unspecified error',
  129: 'malformed packet',
  130: 'protocol error',
  131: 'implementation specific error',
  132: 'unsupported protocol version',
  133: 'client identifier not valid',
  134: 'bad user name or password',
  135: 'not authorized',
  136: 'server unavailable',
  137: 'server busy',
  138: 'banned',
  139: 'server shutting down',
  140: 'bad authentication method',
  141: 'keep alive timeout',
  142: 'session taken over',
  143: 'topic filter invalid',
  144: 'topic name invalid',
  145: 'packet identifier in use',
  146: 'packet identifier not found',
  147: 'receive maximum exceeded',
  148: 'topic alias invalid',
  149: 'packet too large',
  150: 'message rate too high',
  151: 'quota exceeded',
  152: 'administrative action',
  153: 'payload format invalid',
  154: 'retain not supported',
  155: 'QoS not supported',
  156: 'use another server',
  157: 'server moved',
  158: 'shared subscriptions not supported',
  159: 'connection rate exceeded',
  160: 'maximum connect time',
  161: 'subscription identifiers not supported',
  162: 'wildcard subscriptions not supported',
};

/** The CONNACK return codes of MQTT 3.1.1 (section 3.2.2.3) as the MQTT 5 codes that mean the same. */
const fromReturnCode: Readonly<Record<number, number>> = { 1: 132, 2: 133, 3: 136, 4: 134, 5: 135 };

const hex = (code: number): string => `0x${code.toString(16).padStart(2, '0').toUpperCase()}`;

/** `not authorized (0x87)`, with what the server itself says about it, cut to a sane length. */
export function inWords(code: number, reasonString?: string): string {
  const said = reasonString === undefined || reasonString === '' ? '' : `: ${reasonString.slice(0, 200)}`;
  return `${words[code] ?? 'unknown reason'} (${hex(code)})${said}`;
}

const connectCodes: Readonly<Record<number, MqttErrorCode>> = {
  129: 'mqtt_protocol_error',
  130: 'mqtt_protocol_error',
  132: 'mqtt_protocol_refused',
  133: 'mqtt_client_id_rejected',
  134: 'mqtt_bad_credentials',
  135: 'mqtt_not_authorized',
  136: 'mqtt_server_unavailable',
  137: 'mqtt_server_unavailable',
  138: 'mqtt_not_authorized',
  139: 'mqtt_server_unavailable',
  140: 'mqtt_not_authorized',
  144: 'mqtt_will_refused',
  149: 'mqtt_packet_too_large',
  151: 'mqtt_server_unavailable',
  153: 'mqtt_will_refused',
  154: 'mqtt_will_refused',
  155: 'mqtt_will_refused',
  159: 'mqtt_server_unavailable',
};

const hints: Partial<Record<MqttErrorCode, string>> = {
  mqtt_bad_credentials: 'Check the user name and the password of the profile.',
  mqtt_not_authorized:
    'Check the user name and the password (some brokers answer this to a wrong password too), and what the broker ' +
    'allows this user, this client id and this address.',
  mqtt_client_id_rejected: 'Try a shorter clientPrefix, or one that the broker allows for this user.',
  mqtt_protocol_refused: 'Set protocolVersion to auto, or to the version that the broker speaks.',
  mqtt_will_refused: 'Change the topic, qos or retain of the last will (will) to what the broker allows.',
  mqtt_server_unavailable: 'The broker is overloaded, starting or stopping. Trying again later can help.',
};

/** The error for a CONNACK that refuses. `version` is the one the CONNACK is written in. */
export function connectRefused(code: number, version: 4 | 5, reasonString?: string): PenstockError {
  // Reason codes of MQTT 5 begin at 128: a broker that answers a lower one means a return code of 3.1.1 (aedes does).
  const reason = version === 5 && code >= 128 ? code : (fromReturnCode[code] ?? code);
  const error = connectCodes[reason] ?? 'mqtt_refused';
  return mqttError(error, `The broker refused the connection: ${inWords(reason, reasonString)}`, {
    ...(hints[error] === undefined ? {} : { hint: hints[error] }),
    facts: factsOf(reason, reasonString),
  });
}

/** A reason code for a program, and in words. */
const factsOf = (code: number, reasonString?: string): Record<string, unknown> => ({
  reasonCode: code,
  reason: words[code] ?? 'unknown reason',
  ...(reasonString === undefined ? {} : { reasonString: reasonString.slice(0, 200) }),
});

const disconnectCodes: Readonly<Record<number, MqttErrorCode>> = {
  129: 'mqtt_protocol_error',
  130: 'mqtt_protocol_error',
  135: 'mqtt_not_authorized',
  136: 'mqtt_server_unavailable',
  137: 'mqtt_server_unavailable',
  139: 'mqtt_server_unavailable',
  147: 'mqtt_protocol_error',
  148: 'mqtt_protocol_error',
  149: 'mqtt_packet_too_large',
  151: 'mqtt_server_unavailable',
  154: 'mqtt_publish_refused',
  155: 'mqtt_publish_refused',
  158: 'mqtt_subscribe_refused',
  162: 'mqtt_subscribe_refused',
};

/** The error for a DISCONNECT that the server sent (MQTT 5 only), except a takeover: see `takeover.ts`. */
export function disconnected(code: number, reasonString?: string): PenstockError {
  const error = disconnectCodes[code] ?? 'connection_lost';
  return mqttError(error, `The broker disconnected: ${inWords(code, reasonString)}`, {
    facts: factsOf(code, reasonString),
  });
}

/** The error for a SUBACK that refuses. 3.1.1 knows the one code 0x80. */
export function subscribeRefused(filter: string, code: number, reasonString?: string): PenstockError {
  if (code === 158) return sharedUnsupported(filter);
  return mqttError(
    'mqtt_subscribe_refused',
    `The broker refuses the subscription to ${filter}: ${inWords(code, reasonString)}`,
    {
      hint: 'Check that the broker allows this user to read the topic.',
      facts: factsOf(code, reasonString),
    },
  );
}

export const unsubscribeRefused = (filter: string, code: number): PenstockError =>
  mqttError(
    'mqtt_subscribe_refused',
    `The broker does not take back the subscription to ${filter}: ${inWords(code)}`,
    { hint: 'Check that the broker allows this user to unsubscribe.', facts: factsOf(code) },
  );

/** The error for a broker that says that it has no shared subscriptions (MQTT 5 only). */
export const sharedUnsupported = (filter: string): PenstockError =>
  mqttError('mqtt_shared_unsupported', `The broker has no shared subscriptions, and ${filter} needs one`, {
    hint: 'Set the parallelism of the pipeline to 1, use a filter without $share, or another broker.',
    facts: factsOf(158),
  });

/** The error for a PUBACK, PUBREC or PUBCOMP that refuses (MQTT 5 only). */
export function publishRefused(topic: string, code: number, reasonString?: string): PenstockError {
  const error: MqttErrorCode =
    code === 149
      ? 'mqtt_packet_too_large'
      : code === 151
        ? 'mqtt_server_unavailable'
        : 'mqtt_publish_refused';
  return mqttError(error, `The broker refuses a message to ${topic}: ${inWords(code, reasonString)}`, {
    ...(error === 'mqtt_publish_refused'
      ? { hint: 'Check that the broker allows this user to write the topic.' }
      : {}),
    facts: factsOf(code, reasonString),
  });
}
