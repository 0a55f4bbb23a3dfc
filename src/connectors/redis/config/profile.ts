import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { Endpoint } from '../../network/dial.ts';
import type { TlsProfile } from '../../network/tls.ts';
import { checkTlsFiles, refuseTls, tlsFields, tlsSecrets } from '../../network/tls-options.ts';
import {
  registryOf,
  registrySecrets,
  schemaRegistryField,
  validateRegistry,
} from '../../schema-registry/profile.ts';

/** A profile of a Redis server or cluster, wire-compatible with Arroyo's, and the rules that its schema cannot express. */

const address = (title: string, description: string) =>
  Type.String({
    title,
    description,
    examples: ['redis://localhost:6379'],
    pattern: '^rediss?://.*$',
    maxLength: 2_048,
  });

const Standard = Type.Object(
  {
    address: address(
      'Address',
      'Address of the server: redis://host:6379, or rediss://host:6379 with TLS. A number of a database may follow: /2',
    ),
  },
  { title: 'Standard', additionalProperties: false },
);

const Clustered = Type.Object(
  {
    addresses: Type.Array(address('Address', 'Address of a node'), {
      title: 'Addresses',
      description: 'Addresses of some nodes of a cluster. The first that responds names all the others.',
      option: 'cluster.addresses',
      minItems: 1,
      maxItems: 100,
    }),
  },
  { title: 'Clustered', additionalProperties: false },
);

const credential = (title: string, description: string) =>
  Type.Optional(Type.String({ title, description, format: 'var-str', maxLength: 1_024 }));

const milliseconds = (title: string, description: string, byDefault: number) =>
  Type.Optional(Type.Integer({ title, description, default: byDefault, minimum: 100, maximum: 3_600_000 }));

export const RedisProfile = Type.Object(
  {
    connection: Type.Unsafe<Static<typeof Standard> | Static<typeof Clustered>>({
      title: 'Connection',
      description: 'A single server, or a cluster',
      oneOf: [Standard, Clustered],
      // In SQL, as in Arroyo: address = '…', or 'cluster.addresses' = '…'.
      option: '',
    }),
    username: credential('Username', 'ACL user to log in as; by default the user default'),
    password: credential('Password', 'Password of the user'),
    ...tlsFields,
    ...schemaRegistryField,
    connectTimeoutMs: milliseconds(
      'Connect Timeout',
      'Timeout in milliseconds for name resolution, TCP, TLS and the login',
      10_000,
    ),
    commandTimeoutMs: milliseconds(
      'Command Timeout',
      'Time in milliseconds after which a server that does not reply counts as lost',
      30_000,
    ),
  },
  {
    title: 'RedisConfig',
    additionalProperties: false,
    sensitive: ['password', ...tlsSecrets, ...registrySecrets('schemaRegistryEnum')],
  },
);
export type RedisProfile = Static<typeof RedisProfile>;

export interface Address extends Endpoint {
  database: number;
}

/** Parses an address. Returns a predicate, such as `must …`, if it is invalid. Errors never repeat a part of it. */
function parseAddress(text: string): Address | string {
  if (!/^rediss?:\/\//.test(text)) return 'must begin with redis:// or rediss://';
  if (!URL.canParse(text)) return 'must be a URL, such as redis://localhost:6379';
  const { hostname, port, username, password, pathname, search, hash, protocol } = new URL(text);
  if (username !== '' || password !== '')
    return 'must not contain credentials: use the fields username and password, which is stored sealed';
  if (hostname === '') return 'must have a host name';
  if (port === '0') return 'must have a port from 1 to 65535';
  if (search !== '' || hash !== '') return 'must not have a query or a fragment';
  const [, database] = /^\/?(\d{0,4})$/.exec(pathname) ?? [];
  if (database === undefined) return 'must end with the port, or with the number of a database, such as /2';
  return {
    host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'),
    port: port === '' ? 6379 : Number(port),
    tls: protocol === 'rediss:',
    database: Number(database),
  };
}

export const isCluster = ({ connection }: RedisProfile): boolean => 'addresses' in connection;

const textsOf = ({ connection }: RedisProfile): string[] =>
  'addresses' in connection ? connection.addresses : [connection.address];

/** The addresses of a valid profile. */
export const addressesOf = (profile: RedisProfile): Address[] =>
  textsOf(profile).map((text) => {
    const parsed = parseAddress(text);
    if (typeof parsed === 'string') throw new Error(`an address of a stored profile ${parsed}`);
    return parsed;
  });

export const tlsOf = ({ tls, insecureSkipVerify }: RedisProfile): TlsProfile => ({ tls, insecureSkipVerify });

export const connectTimeoutMs = ({ connectTimeoutMs: ms }: RedisProfile): number => ms ?? 10_000;

export const commandTimeoutMs = ({ commandTimeoutMs: ms }: RedisProfile): number => ms ?? 30_000;

export const nameOf = ({ host, port }: Endpoint): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

export const describe = (profile: RedisProfile): string => textsOf(profile).join(', ');

/** Checks what the schema cannot express: the addresses, the TLS files, and fields that contradict each other. */
export function validateProfile(profile: RedisProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const texts = textsOf(profile);
  const parsed = texts.map(parseAddress);
  const pathOf = (index: number) =>
    isCluster(profile) ? `/connection/addresses/${index}` : '/connection/address';
  for (const [index, one] of parsed.entries()) {
    if (typeof one === 'string') refuse(pathOf(index), one);
    else if (isCluster(profile) && one.database !== 0)
      refuse(pathOf(index), 'must not name a database: a cluster has only one');
  }
  const found = parsed.filter((one) => typeof one === 'object');
  if (new Set(found.map(({ tls }) => tls)).size > 1)
    refuse('/connection/addresses', 'must all begin with redis://, or all with rediss://');
  if (found.some(({ tls }) => !tls)) refuseTls(profile, 'rediss://', refuse);
  if (profile.username && !profile.password) refuse('/password', 'is required with a username');
  checkTlsFiles(profile.tls, refuse);
  validateRegistry(registryOf(profile), '/schemaRegistryEnum', refuse);
  return errors;
}
