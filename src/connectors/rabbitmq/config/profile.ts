import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { Endpoint } from '../../network/dial.ts';
import { given, type TlsProfile } from '../../network/tls.ts';
import { checkTlsFiles } from '../../network/tls-options.ts';
import {
  registryOf,
  registrySecrets,
  schemaRegistryField,
  validateRegistry,
} from '../../schema-registry/profile.ts';

/**
 * A RabbitMQ connection profile, wire-compatible with Arroyo's, and the rules that its schema cannot express. Several hosts,
 * `client_keys_passphrase` and the fields after `load_balancer_mode` are additions.
 */

const strict = { additionalProperties: false } as const;

const text = (title: string, description: string, more: object = {}) =>
  Type.Optional(Type.String({ title, description, format: 'var-str', maxLength: 1_024, ...more }));

const pem = (title: string, subject: string) =>
  text(title, `${subject}: PEM text, or the path of a PEM file in the folder PENSTOCK_CERT_DIR`, {
    file: true,
    maxLength: 200_000,
  });

const flag = (title: string, description: string) =>
  Type.Optional(Type.Boolean({ title, description, default: false }));

export const RabbitmqProfile = Type.Object(
  {
    host: text(
      'Host',
      'Host of the server; localhost by default. Several hosts of one cluster have commas between them and are tried in order; each ' +
        'may have a port: rabbit-1,rabbit-2:5673',
      { maxLength: 2_048, examples: ['rabbit-1,rabbit-2'] },
    ),
    username: text('Username', 'User name to log in with; guest by default'),
    password: text('Password', 'Password to log in with; guest by default'),
    virtual_host: text('Virtual Host', 'Virtual host to use; / by default', { maxLength: 255 }),
    port: Type.Optional(
      Type.Integer({
        title: 'Port',
        description:
          'Port for AMQP 0-9-1; 5672 by default, and 5671 with TLS. Not that of the stream protocol (5552)',
        minimum: 0,
        maximum: 65_535,
      }),
    ),
    tls_config: Type.Optional(
      Type.Object(
        {
          enabled: flag('Enabled', 'Whether to use TLS'),
          trust_certificates: flag(
            'Trust Certificates',
            'Whether to connect to a server whose certificate cannot be verified. Turn this on for experiments only.',
          ),
          root_certificates_path: pem(
            'Root Certificates',
            'CA certificates to trust instead of the system ones',
          ),
          client_certificates_path: pem(
            'Client Certificates',
            'Client certificate, followed by its intermediates',
          ),
          client_keys_path: pem('Client Keys', 'Private key of the client certificate'),
          client_keys_passphrase: text('Client Keys Passphrase', 'Passphrase of an encrypted private key'),
        },
        { title: 'TLS Config', ...strict },
      ),
    ),
    load_balancer_mode: flag(
      'Load Balancer Mode',
      'Accepted for Arroyo. It has no effect: Penstock never connects to an address that a server announces.',
    ),
    external_login: flag(
      'External Login',
      'Whether the client certificate is the login (EXTERNAL, plugin rabbitmq_auth_mechanism_ssl), without user name and password',
    ),
    connect_timeout_ms: Type.Optional(
      Type.Integer({
        title: 'Connect Timeout',
        description:
          'Timeout in milliseconds for one host, including name resolution, TCP, TLS and the login',
        default: 10_000,
        minimum: 100,
        maximum: 300_000,
      }),
    ),
    heartbeat_secs: Type.Optional(
      Type.Integer({
        title: 'Heartbeat',
        description:
          'Seconds between heartbeats, or fewer if the server wants so. The connection counts as lost after two without a sign of life',
        default: 20,
        minimum: 1,
        maximum: 3_600,
      }),
    ),
    ...schemaRegistryField,
  },
  {
    title: 'RabbitmqStreamConfig',
    ...strict,
    sensitive: [
      'password',
      'tls_config/client_keys_path',
      'tls_config/client_keys_passphrase',
      ...registrySecrets('schemaRegistryEnum'),
    ],
  },
);
export type RabbitmqProfile = Static<typeof RabbitmqProfile>;

export const tlsOf = ({ tls_config: tls = {} }: RabbitmqProfile): TlsProfile => ({
  tls: {
    ca: tls.root_certificates_path,
    cert: tls.client_certificates_path,
    key: tls.client_keys_path,
    passphrase: tls.client_keys_passphrase,
  },
  insecureSkipVerify: tls.trust_certificates,
});

export const connectTimeoutMs = ({ connect_timeout_ms: ms = 10_000 }: RabbitmqProfile): number => ms;
export const vhostOf = ({ virtual_host: vhost }: RabbitmqProfile): string => (given(vhost) ? vhost : '/');
export const isExternal = ({ external_login: external }: RabbitmqProfile): boolean => external === true;

/** The user and the password; the server's defaults if neither is set. */
export function loginOf({ username, password }: RabbitmqProfile): { username: string; password: string } {
  if (!given(username) && !given(password)) return { username: 'guest', password: 'guest' };
  return { username: username ?? '', password: password ?? '' };
}

const address = /^(?:\[([0-9a-f:.]+)\]|([^\s:/@[\]]+))(?::(\d{1,5}))?$/i;

/** Returns the servers of a profile, or what is wrong with `host`. */
export function parseHosts(profile: RabbitmqProfile): Endpoint[] | string {
  const { host, port, tls_config: tls } = profile;
  const secure = tls?.enabled === true;
  const usual = port || (secure ? 5671 : 5672);
  const parts = (given(host) ? host : 'localhost').split(',').map((part) => part.trim());
  if (parts.length > 16) return 'must name at most 16 hosts';
  const found: Endpoint[] = [];
  for (const part of parts) {
    // An IPv6 address alone needs no brackets.
    const bare = /^[0-9a-f:.]+$/i.test(part) && part.split(':').length > 2;
    const [, six, name, own] = address.exec(bare ? `[${part}]` : part) ?? [];
    const chosen = own === undefined ? usual : Number(own);
    if ((six ?? name) === undefined || chosen < 1 || chosen > 65_535)
      return 'must be a host, such as rabbit-1, or several with commas between them; each may have a port';
    found.push({ host: (six ?? name) as string, port: chosen, tls: secure });
  }
  return found;
}

/** The servers of a valid profile. Throws the reason otherwise. */
export function endpointsOf(profile: RabbitmqProfile): Endpoint[] {
  const found = parseHosts(profile);
  if (typeof found === 'string') throw new Error(`host ${found}`);
  return found;
}

export const nameOf = ({ host, port }: Endpoint): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

export function describe(profile: RabbitmqProfile): string {
  const found = parseHosts(profile);
  const hosts = typeof found === 'string' ? (profile.host ?? '') : found.map(nameOf).join(',');
  const vhost = vhostOf(profile);
  return `${profile.tls_config?.enabled ? 'amqps' : 'amqp'}://${hosts}${vhost === '/' ? '' : `/${vhost}`}`;
}

const tlsFieldNames: Readonly<Record<string, string>> = {
  '/tls/ca': '/tls_config/root_certificates_path',
  '/tls/cert': '/tls_config/client_certificates_path',
  '/tls/key': '/tls_config/client_keys_path',
  '/tls/passphrase': '/tls_config/client_keys_passphrase',
};

export function validateProfile(profile: RabbitmqProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const { host = '', tls_config: tls = {}, username, password } = profile;
  const hosts = host.includes('{{') ? [] : parseHosts(profile);
  if (typeof hosts === 'string') refuse('/host', hosts);
  if (/^amqps?:\/\//i.test(host))
    refuse('/host', 'must be a host without amqp://: the other parts have fields');
  const files = tlsOf(profile).tls ?? {};
  if (!tls.enabled && (Object.values(files).some(given) || tls.trust_certificates))
    refuse('/tls_config/enabled', 'must be true for the other fields of tls_config to be used');
  checkTlsFiles(files, (path, message) => refuse(tlsFieldNames[path] ?? path, message));
  validateRegistry(registryOf(profile), '/schemaRegistryEnum', refuse);
  if (!isExternal(profile)) return errors;
  if (!given(files.cert)) refuse('/external_login', 'needs a client certificate in tls_config');
  if (given(username) || given(password))
    refuse('/external_login', 'takes the place of username and password: remove them');
  return errors;
}
