import Type, { type Static, type TSchema } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import { given } from '../../network/tls.ts';
import { checkTlsFiles, refuseTls } from '../../network/tls-options.ts';
import {
  registryOf,
  registrySecrets,
  schemaRegistryField,
  validateRegistry,
} from '../../schema-registry/profile.ts';
import { type BrokerEndpoint, parseUrls } from './broker-url.ts';
import { checkTopicName, qosNames } from './topic.ts';

/**
 * An MQTT connection profile: its schema, and the rules that the schema cannot express. Field names, titles and
 * `sensitive` match Arroyo's, so that its forms and clients work. The fields from `protocolVersion` on are additions.
 */

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);

const text = (title: string, description: string, more: object) =>
  optional(Type.String({ title, description, maxLength: 65_535, ...more }));

const varText = (title: string, description: string, more: object = {}) =>
  text(title, description, { format: 'var-str', ...more });

const pem = (title: string, subject: string) =>
  varText(
    title,
    `${subject}: PEM text with its lines -----BEGIN and -----END, or the path of a PEM file in the folder PENSTOCK_CERT_DIR`,
    { file: true, maxLength: 200_000 },
  );

const integer = (title: string, description: string, limits: object) =>
  optional(Type.Integer({ title, description, ...limits }));

const flag = (title: string, description: string, byDefault: boolean) =>
  optional(Type.Boolean({ title, description, default: byDefault }));

const maxUint32 = 4_294_967_295;

const MqttTls = Type.Object(
  {
    ca: pem('CA', 'CA certificates to trust instead of the system ones'),
    cert: pem('Cert', 'Client certificate to present to the broker, followed by its intermediates'),
    key: pem('Key', 'Private key of the client certificate (PKCS#8, PKCS#1 or SEC1)'),
    passphrase: varText('Passphrase', 'Passphrase of an encrypted private key', { maxLength: 1_024 }),
  },
  { title: 'TLS', additionalProperties: false },
);

const Will = Type.Object(
  {
    topic: text('Topic', 'Topic of the last will; no wildcards. Without a topic there is no last will.', {}),
    payload: text('Payload', 'Payload of the last will', { default: '' }),
    qos: optional(
      Type.Enum([...qosNames], {
        title: 'Quality of Service',
        description: 'Quality of service at which the broker publishes the last will',
        default: 'AtMostOnce',
      }),
    ),
    retain: flag('Retain', 'Whether the broker retains the last will for later subscribers', false),
    delaySecs: integer('Delay', 'Seconds that the broker waits for the client to reconnect first (MQTT 5)', {
      default: 0,
      minimum: 0,
      maximum: maxUint32,
    }),
  },
  {
    title: 'Last Will',
    description:
      'Message that the broker publishes when a job loses its connection without a DISCONNECT. All sources and sinks ' +
      'of the profile use the same one. Connection tests use none.',
    additionalProperties: false,
  },
);

export const MqttProfile = Type.Object(
  {
    url: Type.String({
      title: 'Url',
      // One string, not an array: Arroyo's clients and forms know the field as a string, and a URL holds no comma here.
      description:
        'Address of the broker, such as mqtt://broker.example:1883. Use mqtt:// or tcp:// without TLS, mqtts:// or ' +
        'ssl:// with TLS, ws:// or wss:// for MQTT over WebSocket (often with the path /mqtt). The default port is ' +
        '1883, with TLS 8883; for WebSocket 80 and 443. Separate the servers of one cluster with commas. They are ' +
        'tried in order, beginning with the one that worked last.',
      minLength: 1,
      maxLength: 2048,
    }),
    username: varText('Username', 'User name to log in with'),
    password: varText('Password', 'Password to log in with'),
    tls: optional(MqttTls),
    clientPrefix: text('Client Prefix', 'Prefix of every client id: <prefix>_<job>_<operator>_<task>', {
      default: 'penstock',
      minLength: 1,
      maxLength: 200,
    }),
    maxPacketSize: integer(
      'Max Packet Size',
      'Maximum size of an MQTT packet in bytes, in both directions. The default is the protocol limit (256 MiB). A ' +
        'broker that speaks MQTT 5 discards larger messages instead of sending them.',
      { minimum: 1, maximum: maxUint32 },
    ),
    protocolVersion: optional(
      Type.Enum(['auto', '5', '3.1.1'], {
        title: 'Protocol Version',
        description:
          'MQTT version to speak. auto tries 5 first and falls back to 3.1.1; it remembers the result for an hour.',
        default: 'auto',
      }),
    ),
    keepAliveSecs: integer('Keep Alive', 'MQTT keep-alive: seconds between pings', {
      default: 30,
      minimum: 1,
      maximum: 65_535,
    }),
    connectTimeoutMs: integer(
      'Connect Timeout',
      'Timeout in milliseconds for one server, including name resolution, TCP, TLS and the MQTT login',
      { default: 10_000, minimum: 100, maximum: 300_000 },
    ),
    sessionExpirySecs: integer(
      'Session Expiry',
      'Seconds that the broker keeps the session of a disconnected source, with its queued messages (MQTT 5; with ' +
        '3.1.1 the broker decides)',
      { default: 604_800, minimum: 1, maximum: maxUint32 },
    ),
    insecureSkipVerify: flag(
      'Skip Certificate Verification',
      'Whether to connect to a broker whose certificate cannot be verified. Turn this on for experiments only.',
      false,
    ),
    serverName: text(
      'Server Name',
      'Name to send as SNI and to expect in the server certificate; by default the host of the URL',
      { pattern: '^[0-9A-Za-z._:-]*$', maxLength: 253 },
    ),
    alpn: optional(
      Type.Array(Type.String({ title: 'Protocol', minLength: 1, maxLength: 255 }), {
        title: 'ALPN',
        description: 'Application protocols to offer in TLS, such as mqtt, if one port serves several',
        maxItems: 8,
      }),
    ),
    will: optional(Will),
    ...schemaRegistryField,
  },
  {
    title: 'MqttConfig',
    additionalProperties: false,
    sensitive: ['password', 'tls/key', 'tls/passphrase', ...registrySecrets('schemaRegistryEnum')],
  },
);
export type MqttProfile = Static<typeof MqttProfile>;
type Will = Static<typeof Will>;
export type LastWill = Will & { topic: string };

/** The last will, if there is one. Forms fill in its other fields, also when it has no topic. */
export const willOf = ({ will }: MqttProfile): LastWill | undefined =>
  will !== undefined && given(will.topic) ? { ...will, topic: will.topic } : undefined;

/** Former names of fields, with what to write instead. */
export const renamedProfileFields = {
  '/rejectUnauthorized':
    'is now insecureSkipVerify, with the opposite meaning: remove it, or set insecureSkipVerify to true instead of ' +
    'rejectUnauthorized to false',
};

export const connectTimeoutMs = (profile: MqttProfile): number => profile.connectTimeoutMs ?? 10_000;

type Refuse = (path: string, message: string) => void;

/** Checks what the schema cannot express: the URL, the TLS files, and fields that contradict each other. */
export function validateProfile(profile: MqttProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse: Refuse = (path, message) => errors.push({ path, message });
  const endpoints = parseUrls(profile.url);
  if (typeof endpoints === 'string') refuse('/url', endpoints);
  else if (!endpoints.some(({ tls }) => tls)) refuseTlsOptions(profile, endpoints, refuse);
  checkTlsFiles(profile.tls, refuse);
  validateRegistry(registryOf(profile), '/schemaRegistryEnum', refuse);
  if (profile.will !== undefined) checkWill(profile.will, profile, refuse);
  if (given(profile.password) && !given(profile.username) && profile.protocolVersion !== '5')
    refuse(
      '/username',
      'is required with a password unless protocolVersion is 5 (MQTT 3.1.1, section 3.1.2.9)',
    );
  if (/[^0-9A-Za-z_-]/.test(profile.clientPrefix ?? ''))
    refuse(
      '/clientPrefix',
      'must contain letters, digits, _ and - only: some brokers accept no other client ids',
    );
  return errors;
}

function refuseTlsOptions(profile: MqttProfile, endpoints: BrokerEndpoint[], refuse: Refuse): void {
  const secure = endpoints.some(({ path }) => path !== undefined) ? 'wss://' : 'mqtts:// or ssl://';
  const unused = `is only used with ${secure}: change the URL or remove this field`;
  refuseTls(profile, secure, refuse);
  if (given(profile.serverName)) refuse('/serverName', unused);
  if (profile.alpn !== undefined && profile.alpn.length > 0) refuse('/alpn', unused);
}

function checkWill(will: Will, profile: MqttProfile, refuse: Refuse): void {
  if (!given(will.topic)) {
    const { payload, qos = 'AtMostOnce', retain, delaySecs } = will;
    if (given(payload) || qos !== 'AtMostOnce' || retain || delaySecs)
      refuse('/will/topic', 'is required for a last will: add it, or remove the last will');
    return;
  }
  const wrong = checkTopicName(will.topic);
  if (wrong !== null) refuse('/will/topic', wrong);
  else if (will.topic.startsWith('$')) {
    refuse('/will/topic', 'must not begin with $: the broker reserves those topics');
  }
  if (Buffer.byteLength(will.payload ?? '') > 65_535)
    refuse('/will/payload', 'must not be longer than 65,535 bytes (MQTT 3.1.3.3)');
  if (profile.protocolVersion === '3.1.1' && (will.delaySecs ?? 0) > 0)
    refuse('/will/delaySecs', 'requires MQTT 5: set protocolVersion to auto or 5, or remove this field');
  const expiry = profile.sessionExpirySecs;
  if (expiry !== undefined && (will.delaySecs ?? 0) > expiry)
    refuse(
      '/will/delaySecs',
      'must not exceed sessionExpirySecs: the will is published when the session ends',
    );
}
