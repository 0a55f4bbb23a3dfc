import Type, { type Static } from 'typebox';
import type { FieldError } from '../../errors.ts';

/**
 * The schema of an MQTT connection profile. Field names, titles and `sensitive` agree with Arroyo's, so its forms and
 * clients work; everything from `protocolVersion` on is ours.
 */

const pem = (title: string, what: string) =>
  Type.Optional(
    Type.String({
      title,
      description: `${what}, as PEM text that begins with -----BEGIN`,
      format: 'var-str',
      maxLength: 200_000,
    }),
  );

export const MqttTls = Type.Object(
  {
    ca: pem('CA', 'Certificates of the issuers to trust instead of the well-known ones'),
    cert: pem('Cert', 'Certificate that this client shows to the broker, followed by its intermediates'),
    key: pem('Key', 'Private key of the client certificate'),
  },
  { title: 'TLS', additionalProperties: false },
);

export const MqttProfile = Type.Object(
  {
    url: Type.String({
      title: 'Url',
      description:
        'Address of the broker, such as mqtt://broker.example:1883. Use mqtt:// or tcp:// without TLS, mqtts:// or ' +
        'ssl:// with it; the port may be left out (1883, with TLS 8883).',
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
          'MQTT version to speak; auto tries 5 and falls back to 3.1.1 where the broker refuses it',
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
        description: 'Milliseconds for connecting in all: name resolution, TCP, TLS and MQTT',
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
        maxLength: 253,
      }),
    ),
  },
  { title: 'MqttConfig', additionalProperties: false, sensitive: ['password', 'tls/key'] },
);
export type MqttProfile = Static<typeof MqttProfile>;

/** Where a profile's broker listens. */
export interface Endpoint {
  /** Name or address, an IPv6 address without brackets. */
  host: string;
  port: number;
  tls: boolean;
}

const schemes: Readonly<Record<string, { tls: boolean; port: number }>> = {
  'mqtt:': { tls: false, port: 1883 },
  'tcp:': { tls: false, port: 1883 },
  'mqtts:': { tls: true, port: 8883 },
  'ssl:': { tls: true, port: 8883 },
};

/** Reads a broker URL. Answers a sentence about what is wrong with it instead if it is not one; it repeats no part. */
export function parseUrl(url: string): Endpoint | string {
  if (!URL.canParse(url)) return 'is not a URL: write it like mqtt://broker.example:1883';
  const parsed = new URL(url);
  const scheme = schemes[parsed.protocol];
  if (/^wss?:$/.test(parsed.protocol))
    return 'MQTT over WebSocket is not supported yet: use mqtt:// or mqtts://';
  if (!scheme) return 'must begin with mqtt://, tcp://, mqtts:// or ssl://';
  if (parsed.username !== '' || parsed.password !== '') {
    return 'must not hold credentials: use the fields username and password';
  }
  if (parsed.hostname === '') return 'names no host';
  if (parsed.port === '0') return 'must not have port 0';
  if (!/^\/?$/.test(parsed.pathname) || parsed.search !== '' || parsed.hash !== '') {
    return 'must end after the port: there is no path in MQTT over TCP';
  }
  const host = parsed.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: parsed.port === '' ? scheme.port : Number(parsed.port), tls: scheme.tls };
}

/** The profile's address as people write it, without credentials. */
export function describe(profile: MqttProfile): string {
  const endpoint = parseUrl(profile.url);
  if (typeof endpoint === 'string') return 'an invalid URL';
  const host = endpoint.host.includes(':') ? `[${endpoint.host}]` : endpoint.host;
  return `${endpoint.tls ? 'mqtts' : 'mqtt'}://${host}:${endpoint.port}`;
}

/** A form sends an empty string for what was left blank: both mean that nothing was given. */
export const given = (text: string | undefined): text is string => text !== undefined && text !== '';

const variable = /\{\{.*\}\}/s;

/** What the schema cannot say about a profile: the URL, and options that contradict each other. */
export function validateProfile(profile: MqttProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => errors.push({ path, message });
  const endpoint = parseUrl(profile.url);
  if (typeof endpoint === 'string') refuse('/url', endpoint);

  const { ca, cert, key } = profile.tls ?? {};
  if (typeof endpoint === 'object' && !endpoint.tls && [ca, cert, key].some(given)) {
    refuse('/tls', 'is only used with mqtts:// or ssl://: change the URL or remove it');
  }
  for (const [name, value] of Object.entries({ ca, cert, key })) {
    if (given(value) && !value.trimStart().startsWith('-----BEGIN') && !variable.test(value)) {
      refuse(
        `/tls/${name}`,
        'must be PEM text that begins with -----BEGIN; file paths are not supported yet',
      );
    }
  }
  if (given(cert) && !given(key)) refuse('/tls/key', 'is needed with a client certificate');
  if (given(key) && !given(cert)) refuse('/tls/cert', 'is needed with a private key');

  if (given(profile.password) && !given(profile.username) && profile.protocolVersion !== '5') {
    refuse('/username', 'is needed with a password before MQTT 5 (MQTT 3.1.1, section 3.1.2.9)');
  }
  if (/[^0-9A-Za-z_-]/.test(profile.clientPrefix ?? '')) {
    refuse(
      '/clientPrefix',
      'may hold letters, digits, _ and - only, as some brokers accept no other client ids',
    );
  }
  return errors;
}
