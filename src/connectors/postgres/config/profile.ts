import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { Endpoint } from '../../network/dial.ts';
import { given, type TlsProfile } from '../../network/tls.ts';
import { checkTlsFiles } from '../../network/tls-options.ts';

/** A profile of a PostgreSQL server: its schema, and the rules that the schema cannot express. */

const varText = (title: string, description: string, more: object = {}) =>
  Type.Optional(Type.String({ title, description, format: 'var-str', maxLength: 1_024, ...more }));

const pem = (title: string, subject: string) =>
  varText(
    title,
    `${subject}: PEM text with its lines -----BEGIN and -----END, or the path of a PEM file in the folder PENSTOCK_CERT_DIR`,
    { file: true, maxLength: 200_000 },
  );

const milliseconds = (title: string, description: string, byDefault: number, minimum: number) =>
  Type.Optional(Type.Integer({ title, description, default: byDefault, minimum, maximum: 3_600_000 }));

const tlsModes = ['verify-full', 'verify-ca', 'require', 'disable'] as const;

const PostgresTls = Type.Object(
  {
    mode: Type.Optional(
      Type.Enum([...tlsModes], {
        title: 'Mode',
        description:
          'By the names of libpq. verify-full checks the certificate and its host name, verify-ca the certificate only, ' +
          'require nothing; disable uses no TLS. There is no allow and no prefer: an attacker could turn TLS off.',
        default: 'verify-full',
      }),
    ),
    ca: pem('CA', 'CA certificates to trust instead of the system ones'),
    cert: pem('Cert', 'Client certificate to present to the server, followed by its intermediates'),
    key: pem('Key', 'Private key of the client certificate (PKCS#8, PKCS#1 or SEC1)'),
    passphrase: varText('Passphrase', 'Passphrase of an encrypted private key'),
  },
  { title: 'TLS', additionalProperties: false },
);

export const PostgresProfile = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        title: 'Url',
        description:
          'Address of the database, such as postgresql://penstock@db.example:5432/plant. It replaces host, port, database ' +
          'and user. The password has a field of its own, which is stored sealed.',
        maxLength: 2_048,
      }),
    ),
    host: varText('Host', 'Host name or IP address of the server, if there is no URL', { maxLength: 253 }),
    port: Type.Optional(
      Type.Integer({
        title: 'Port',
        description: 'Port of the server, if there is no URL',
        default: 5432,
        minimum: 1,
        maximum: 65_535,
      }),
    ),
    database: varText('Database', 'Name of the database; by default that of the user'),
    user: varText('User', 'Role to log in as'),
    password: varText('Password', 'Password of the role'),
    tls: Type.Optional(PostgresTls),
    applicationName: Type.Optional(
      Type.String({
        title: 'Application Name',
        description: 'Name that the server shows for the connections, as in pg_stat_activity',
        default: 'penstock',
        pattern: '^[ -~]*$',
        maxLength: 63,
      }),
    ),
    connectTimeoutMs: milliseconds(
      'Connect Timeout',
      'Timeout in milliseconds for name resolution, TCP, TLS and the login',
      10_000,
      100,
    ),
    statementTimeoutMs: milliseconds(
      'Statement Timeout',
      'Timeout in milliseconds of each statement of a sink. The server cancels the statement then, such as one that waits ' +
        'for a lock.',
      60_000,
      1_000,
    ),
  },
  {
    title: 'PostgresConfig',
    additionalProperties: false,
    sensitive: ['password', 'tls/key', 'tls/passphrase'],
  },
);
export type PostgresProfile = Static<typeof PostgresProfile>;

const variable = /\{\{.*\}\}/s;

type Parsed = Pick<Address, 'host' | 'port'> & Partial<Pick<Address, 'database' | 'user'>>;

interface Address {
  host: string;
  port: number;
  database: string;
  user: string;
}

/** Parses the URL. Returns a predicate, such as `must …`, if it is invalid. Errors never repeat a part of a URL. */
function parseUrl(url: string): Parsed | string {
  if (!/^postgres(ql)?:\/\//.test(url)) return 'must begin with postgresql://';
  if (!URL.canParse(url)) return 'must be a URL, such as postgresql://penstock@db.example:5432/plant';
  const { hostname, port, username, password, pathname, search, hash } = new URL(url);
  if (password !== '') return 'must not contain a password: use the field password, which is stored sealed';
  if (hostname === '') return 'must have a host name: sockets of the file system are not supported';
  if (hostname.includes(',')) return 'must name one host';
  if (port === '0') return 'must have a port from 1 to 65535';
  if (search !== '' || hash !== '')
    return 'must not have a query or a fragment: use the fields tls.mode and applicationName';
  try {
    const [database, user] = [pathname.slice(1), username].map(decodeURIComponent) as [string, string];
    return {
      host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1'),
      port: port === '' ? 5432 : Number(port),
      ...(database === '' ? {} : { database }),
      ...(user === '' ? {} : { user }),
    };
  } catch {
    return 'must have valid percent-encoding';
  }
}

/** Where a valid profile leads. */
export function addressOf(profile: PostgresProfile): Address {
  const parsed = given(profile.url) ? parseUrl(profile.url) : undefined;
  const from = typeof parsed === 'object' ? parsed : { host: profile.host ?? '', port: profile.port ?? 5432 };
  const user = from.user ?? profile.user ?? '';
  return { ...from, user, database: from.database ?? (given(profile.database) ? profile.database : user) };
}

export const tlsMode = ({ tls }: PostgresProfile) => tls?.mode ?? 'verify-full';

export const endpointOf = (profile: PostgresProfile): Endpoint => {
  const { host, port } = addressOf(profile);
  return { host, port, tls: tlsMode(profile) !== 'disable' };
};

export const tlsOf = (profile: PostgresProfile): TlsProfile => ({
  tls: profile.tls,
  insecureSkipVerify: tlsMode(profile) === 'require',
  anyName: tlsMode(profile) === 'verify-ca',
});

export const connectTimeoutMs = (profile: PostgresProfile): number => profile.connectTimeoutMs ?? 10_000;

export const statementTimeoutMs = (profile: PostgresProfile): number => profile.statementTimeoutMs ?? 60_000;

export const applicationName = ({ applicationName }: PostgresProfile): string =>
  given(applicationName) ? applicationName : 'penstock';

export const describe = (profile: PostgresProfile): string => {
  const { host, port, database } = addressOf(profile);
  return `postgresql://${host.includes(':') ? `[${host}]` : host}:${port}/${database}`;
};

type Refuse = (path: string, message: string) => void;

/** Checks what the schema cannot express: the address, the TLS files, and fields that contradict each other. */
export function validateProfile(profile: PostgresProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse: Refuse = (path, message) => errors.push({ path, message });
  if (given(profile.url)) checkUrl(profile, profile.url, refuse);
  else checkParts(profile, refuse);
  for (const name of ['user', 'database', 'password'] as const)
    if (profile[name]?.includes('\0')) refuse(`/${name}`, 'must not contain a NUL character');
  checkTls(profile, refuse);
  return errors;
}

function checkUrl(profile: PostgresProfile, url: string, refuse: Refuse): void {
  const parsed = parseUrl(url);
  if (typeof parsed === 'string') {
    refuse('/url', parsed);
    return;
  }
  if (given(profile.host)) refuse('/host', 'must be left out, because the URL has it');
  for (const name of ['database', 'user'] as const)
    if (parsed[name] !== undefined && given(profile[name]))
      refuse(`/${name}`, 'must be left out, because the URL has it');
  if (parsed.user === undefined && !given(profile.user))
    refuse('/user', 'is required, because the URL has no user');
}

function checkParts({ host, user }: PostgresProfile, refuse: Refuse): void {
  if (!given(host)) refuse('/host', 'is required without a URL');
  else if (/[/\\@,\s]/.test(host) && !variable.test(host))
    refuse('/host', 'must be one host name or IP address: sockets of the file system are not supported');
  if (!given(user)) refuse('/user', 'is required');
}

function checkTls(profile: PostgresProfile, refuse: Refuse): void {
  const { ca, cert, key, passphrase } = profile.tls ?? {};
  const mode = tlsMode(profile);
  if (mode === 'disable' && [ca, cert, key, passphrase].some(given))
    refuse('/tls/mode', 'must not be disable with certificates or a key: choose verify-full, or remove them');
  if (mode === 'require' && given(ca))
    refuse('/tls/ca', 'is not used with require: set tls.mode to verify-full or verify-ca');
  // Any public CA would do, for any name.
  if (mode === 'verify-ca' && !given(ca))
    refuse(
      '/tls/ca',
      'is required with verify-ca, which compares no names: set it, or tls.mode to verify-full',
    );
  checkTlsFiles(profile.tls, refuse);
}
