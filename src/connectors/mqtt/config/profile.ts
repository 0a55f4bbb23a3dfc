import Type, { type Static } from 'typebox';
import { qosNames } from './qos.ts';

/**
 * The schema of an MQTT connection profile. Field names, titles and `sensitive` agree with Arroyo's, so its forms and
 * clients work; everything from `protocolVersion` on is ours.
 */

const pem = (title: string, what: string) =>
  Type.Optional(
    Type.String({
      title,
      description: `${what}: PEM text that begins with -----BEGIN, or the path of such a file in the folder PENSTOCK_CERT_DIR`,
      format: 'var-str',
      file: true,
      maxLength: 200_000,
    }),
  );

export const MqttTls = Type.Object(
  {
    ca: pem('CA', 'Certificates of the issuers to trust instead of the well-known ones'),
    cert: pem('Cert', 'Certificate that this client shows to the broker, followed by its intermediates'),
    key: pem('Key', 'Private key of the client certificate (PKCS#8, PKCS#1 or SEC1)'),
    passphrase: Type.Optional(
      Type.String({
        title: 'Passphrase',
        description: 'What the private key is encrypted with, if it is',
        format: 'var-str',
        maxLength: 1_024,
      }),
    ),
  },
  { title: 'TLS', additionalProperties: false },
);

const Will = Type.Object(
  {
    topic: Type.String({
      title: 'Topic',
      description: 'Topic that the last will is published to; no wildcards',
      minLength: 1,
      maxLength: 65_535,
    }),
    payload: Type.Optional(
      Type.String({
        title: 'Payload',
        description: 'What the last will says',
        default: '',
        maxLength: 65_535,
      }),
    ),
    qos: Type.Optional(
      Type.Enum([...qosNames], {
        title: 'Quality of Service',
        description: 'With which quality of service the broker publishes it',
        default: 'AtMostOnce',
      }),
    ),
    retain: Type.Optional(
      Type.Boolean({
        title: 'Retain',
        description: 'Whether the broker keeps it for later subscribers',
        default: false,
      }),
    ),
    delaySecs: Type.Optional(
      Type.Integer({
        title: 'Delay',
        description: 'Seconds that the broker waits for the client to come back first (MQTT 5)',
        default: 0,
        minimum: 0,
        maximum: 4_294_967_295,
      }),
    ),
  },
  {
    title: 'Last Will',
    description:
      'Message that the broker publishes when a connection of a job ends without a DISCONNECT. Every source and ' +
      'sink of the profile leaves the same one; a connection test leaves none.',
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
        'ssl:// with it, ws:// or wss:// for MQTT over WebSocket (often with the path /mqtt); the port may be left ' +
        'out (1883, with TLS 8883; WebSocket 80 and 443). Several addresses with commas between them are the ' +
        'servers of one cluster, tried in turn, the one that worked last first.',
      minLength: 1,
      maxLength: 2048,
    }),
    username: Type.Optional(
      Type.String({
        title: 'Username',
        description: 'User name to log in with',
        format: 'var-str',
        maxLength: 65_535,
      }),
    ),
    password: Type.Optional(
      Type.String({
        title: 'Password',
        description: 'Password to log in with',
        format: 'var-str',
        maxLength: 65_535,
      }),
    ),
    tls: Type.Optional(MqttTls),
    clientPrefix: Type.Optional(
      Type.String({
        title: 'Client Prefix',
        description: 'Start of every client id. The whole id is prefix_job_operator_task.',
        default: 'penstock',
        minLength: 1,
        maxLength: 200,
      }),
    ),
    maxPacketSize: Type.Optional(
      Type.Integer({
        title: 'Max Packet Size',
        description:
          'Largest MQTT packet in bytes, in both directions; left out, the limit of the protocol (256 MiB). A broker ' +
          'that speaks MQTT 5 discards larger messages instead of sending them.',
        minimum: 1,
        maximum: 4_294_967_295,
      }),
    ),
    protocolVersion: Type.Optional(
      Type.Enum(['auto', '5', '3.1.1'], {
        title: 'Protocol Version',
        description:
          'MQTT version to speak; auto tries 5 and falls back to 3.1.1 where the broker refuses it, and remembers that ' +
          'for an hour',
        default: 'auto',
      }),
    ),
    keepAliveSecs: Type.Optional(
      Type.Integer({
        title: 'Keep Alive',
        description: 'Seconds of silence after which the connection is probed',
        default: 30,
        minimum: 1,
        maximum: 65_535,
      }),
    ),
    connectTimeoutMs: Type.Optional(
      Type.Integer({
        title: 'Connect Timeout',
        description: 'Milliseconds for connecting to one server in all: name resolution, TCP, TLS and MQTT',
        default: 10_000,
        minimum: 100,
        maximum: 300_000,
      }),
    ),
    sessionExpirySecs: Type.Optional(
      Type.Integer({
        title: 'Session Expiry',
        description:
          'Seconds for which the broker keeps messages for a source that is not connected (MQTT 5; with 3.1.1 the ' +
          'broker decides)',
        default: 604_800,
        minimum: 1,
        maximum: 4_294_967_295,
      }),
    ),
    rejectUnauthorized: Type.Optional(
      Type.Boolean({
        title: 'Verify Server Certificate',
        description:
          'Whether a broker whose certificate cannot be verified is refused. Turn off only to try out.',
        default: true,
      }),
    ),
    serverName: Type.Optional(
      Type.String({
        title: 'Server Name',
        description:
          'Name that the server certificate must be for, and that is sent as SNI, if not the host of the URL',
        pattern: '^[0-9A-Za-z._:-]*$',
        maxLength: 253,
      }),
    ),
    alpn: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
        title: 'ALPN',
        description: 'Application protocols to offer in TLS, such as mqtt, where one port serves several',
        maxItems: 8,
      }),
    ),
    will: Type.Optional(Will),
  },
  { title: 'MqttConfig', additionalProperties: false, sensitive: ['password', 'tls/key', 'tls/passphrase'] },
);
export type MqttProfile = Static<typeof MqttProfile>;

/** A form sends an empty string for what was left blank: both mean that nothing was given. */
export const given = (text: string | undefined): text is string => text !== undefined && text !== '';
