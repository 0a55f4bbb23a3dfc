import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { Endpoint } from '../../network/dial.ts';
import { given } from '../../network/tls.ts';
import { checkTlsFiles, tlsFields, tlsSecrets } from '../../network/tls-options.ts';
import {
  registryOf,
  registrySecrets,
  schemaRegistryField,
  validateRegistry,
} from '../../schema-registry/profile.ts';

/**
 * A NATS connection profile, wire-compatible with Arroyo's, and the rules that its schema cannot express. Token, NKey and Creds
 * of `authentication`, and the fields after it, are additions.
 */

const strict = { additionalProperties: false } as const;

const secret = (title: string, description: string, option: string, more: object = {}) =>
  Type.String({ title, description, format: 'var-str', option: `auth.${option}`, ...more });

const nkeySeed = secret(
  'NKey Seed',
  'Seed of the user’s key: SU and 56 more letters and digits',
  'nkey_seed',
);

const None = Type.Object({}, { title: 'None', ...strict });
const Credentials = Type.Object(
  {
    username: Type.String({
      title: 'Username',
      description: 'User name to log in with',
      format: 'var-str',
      option: 'auth.username',
    }),
    password: secret('Password', 'Password to log in with', 'password'),
  },
  { title: 'Credentials', ...strict },
);
const Jwt = Type.Object(
  { jwt: secret('JWT', 'JWT of the user', 'jwt'), nkeySeed },
  { title: 'Jwt', ...strict },
);
const Token = Type.Object(
  { token: secret('Token', 'Token to log in with', 'token') },
  { title: 'Token', ...strict },
);
const NKey = Type.Object({ nkeySeed }, { title: 'NKey', ...strict });
const Creds = Type.Object(
  {
    creds: secret(
      'Creds',
      'Content of a .creds file, or its path in the folder PENSTOCK_CERT_DIR: a JWT and the seed of its key',
      'creds',
      { file: true, maxLength: 64_000 },
    ),
  },
  { title: 'Creds', ...strict },
);

type Authentication =
  | Static<typeof None>
  | Static<typeof Credentials>
  | Static<typeof Jwt>
  | Static<typeof Token>
  | Static<typeof NKey>
  | Static<typeof Creds>;

export const NatsProfile = Type.Object(
  {
    servers: Type.String({
      title: 'NATS Servers',
      description:
        'Servers of one cluster, with commas between them, such as nats-1:4222,nats-2:4222. They are tried in order. With ' +
        'tls:// before a server TLS is required; otherwise it is used if the server asks for it.',
      format: 'var-str',
      minLength: 1,
      maxLength: 2_048,
      examples: ['nats-1:4222,nats-2:4222'],
    }),
    authentication: Type.Unsafe<Authentication>({
      title: 'Authentication',
      oneOf: [None, Credentials, Jwt, Token, NKey, Creds],
      // In SQL: auth.type = 'credentials', auth.username = '…'.
      option: 'auth.type',
    }),
    ...tlsFields,
    ...schemaRegistryField,
    tlsFirst: Type.Optional(
      Type.Boolean({
        title: 'TLS First',
        description:
          'Whether TLS begins before the server says anything (handshake_first of nats-server 2.10). It needs tls://',
        default: false,
      }),
    ),
    connectTimeoutMs: Type.Optional(
      Type.Integer({
        title: 'Connect Timeout',
        description:
          'Timeout in milliseconds for one server, including name resolution, TCP, TLS and the login',
        default: 10_000,
        minimum: 100,
        maximum: 300_000,
      }),
    ),
    pingIntervalSecs: Type.Optional(
      Type.Integer({
        title: 'Ping Interval',
        description: 'Seconds between pings. The connection counts as lost after two without a response',
        default: 20,
        minimum: 1,
        maximum: 3_600,
      }),
    ),
    domain: Type.Optional(
      Type.String({
        title: 'JetStream Domain',
        description: 'Domain of JetStream, if the streams are behind a leaf node',
        pattern: '^[0-9A-Za-z_-]*$',
        maxLength: 99,
      }),
    ),
    inboxPrefix: Type.Optional(
      Type.String({
        title: 'Inbox Prefix',
        description: 'Prefix of the subjects for responses, if the user may not subscribe to _INBOX.>',
        default: '_INBOX',
        pattern: '^[0-9A-Za-z_.-]*$',
        maxLength: 99,
      }),
    ),
  },
  {
    title: 'NatsConfig',
    ...strict,
    sensitive: [
      ...['password', 'jwt', 'nkeySeed', 'token', 'creds'].map((name) => `authentication/${name}`),
      ...tlsSecrets,
      ...registrySecrets('schemaRegistryEnum'),
    ],
  },
);
export type NatsProfile = Static<typeof NatsProfile>;

export interface NatsServer extends Endpoint {
  /** `host:port`, as people write it. */
  name: string;
}

const defaultPort = 4222;

/** Returns the servers of a profile, or what is wrong with them. */
export function parseServers(text: string): NatsServer[] | string {
  const parts = text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  if (parts.length === 0) return 'must name a server, such as nats-1:4222';
  if (parts.length > 16) return 'must name at most 16 servers';
  const servers: NatsServer[] = [];
  for (const part of parts) {
    const server = parseServer(part);
    if (typeof server === 'string') return server;
    servers.push(server);
  }
  return servers;
}

function parseServer(text: string): NatsServer | string {
  const [, scheme = 'nats', rest = ''] = /^(?:([a-z]+):\/\/)?(.*)$/is.exec(text) ?? [];
  const name = scheme.toLowerCase();
  if (name === 'ws' || name === 'wss') return 'must not be a WebSocket: use the port for clients';
  if (name !== 'nats' && name !== 'tls') return 'may begin with nats:// or tls:// only';
  if (rest.includes('@')) return 'must not have a login: put it into authentication, which is stored sealed';
  // A special scheme, so that the host is normalised; `http` keeps every port but 80.
  const bracketed =
    /^[0-9a-f:]*::?[0-9a-f:]*$/i.test(rest) && rest.split(':').length > 2 ? `[${rest}]` : rest;
  const url = URL.parse(`http://${bracketed.replace(/\/$/, '')}`);
  if (url?.pathname !== '/' || url.search || url.hash || url.port === '0')
    return 'must be host:port for each server';
  const port = url.port !== '' ? Number(url.port) : /:80\/?$/.test(bracketed) ? 80 : defaultPort;
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (host === '' || /\s/.test(rest)) return 'must be host:port for each server';
  return { host, port, tls: name === 'tls', name: `${url.hostname}:${port}` };
}

/** The servers of a valid profile. Throws the reason otherwise. */
export function serversOf({ servers }: NatsProfile): NatsServer[] {
  const found = parseServers(servers);
  if (typeof found === 'string') throw new Error(`servers ${found}`);
  return found;
}

export const connectTimeoutMs = ({ connectTimeoutMs: ms }: NatsProfile): number => ms ?? 10_000;

/** Whether a connection without TLS is refused: a server, or somebody between, could leave it out. */
export const requiresTls = ({ tls }: NatsProfile, server: NatsServer): boolean =>
  server.tls || given(tls?.ca) || given(tls?.cert);

export const describe = ({ servers }: NatsProfile): string => servers.replaceAll(/[^,\s/]*@/g, '');

export function validateProfile(profile: NatsProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const servers = profile.servers.includes('{{') ? [] : parseServers(profile.servers);
  if (typeof servers === 'string') refuse('/servers', servers);
  else if (profile.tlsFirst && servers.some(({ tls }) => !tls))
    refuse('/tlsFirst', 'needs tls:// before each server');
  checkTlsFiles(profile.tls, refuse);
  validateRegistry(registryOf(profile), '/schemaRegistryEnum', refuse);
  checkLogin(profile.authentication, refuse);
  if (/^\.|\.\.|\.$/.test(profile.inboxPrefix ?? ''))
    refuse('/inboxPrefix', 'must not begin or end with a dot, or have two in a row');
  return errors;
}

const hasVariable = (text: string): boolean => text.includes('{{');

function checkLogin(login: Authentication, refuse: (path: string, message: string) => void): void {
  if ('nkeySeed' in login && !hasVariable(login.nkeySeed) && !/^SU[A-Z2-7]{56}$/.test(login.nkeySeed))
    refuse('/authentication/nkeySeed', 'must be the seed of a user: SU and 56 more letters and digits');
  if ('creds' in login && !hasVariable(login.creds) && /\n/.test(login.creds)) {
    const complete = /BEGIN NATS USER JWT-+\s.*BEGIN USER NKEY SEED-+\s/s.test(login.creds);
    if (!complete) refuse('/authentication/creds', 'must have a NATS USER JWT and a USER NKEY SEED');
  }
}
