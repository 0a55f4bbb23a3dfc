import Type, { type Static } from 'typebox';
import type { FieldError } from '../../../errors.ts';
import type { Endpoint } from '../../network/dial.ts';
import { given, type TlsProfile } from '../../network/tls.ts';
import { checkTlsFiles, tlsFields, tlsSecrets } from '../../network/tls-options.ts';
import {
  registryOf,
  registrySecrets,
  schemaRegistryField,
  validateRegistry,
} from '../../schema-registry/profile.ts';

/** A profile of a Kafka cluster, wire-compatible with Arroyo's, and the rules that its schema cannot express. */

const secret = (title: string, description: string) =>
  Type.String({ title, description, format: 'var-str', maxLength: 16_384 });

const None = Type.Object({}, { title: 'None', additionalProperties: false });

const Tls = Type.Object(
  {
    protocol: Type.Enum(['SSL'], { title: 'Protocol', description: 'TLS without a login by SASL' }),
  },
  { title: 'TLS', additionalProperties: false },
);

const Sasl = Type.Object(
  {
    protocol: Type.Enum(['SASL_SSL', 'SASL_PLAINTEXT'], {
      title: 'Protocol',
      description: 'SASL_SSL logs in over TLS, SASL_PLAINTEXT over a plain connection',
    }),
    mechanism: Type.Enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'], {
      title: 'Mechanism',
      description: 'SASL mechanism that the listener offers. With OAUTHBEARER the password is the token.',
    }),
    username: secret('Username', 'User to log in as; not used with OAUTHBEARER'),
    password: secret('Password', 'Password of the user, or the token of OAUTHBEARER'),
  },
  { title: 'SASL', additionalProperties: false },
);

const milliseconds = (title: string, description: string, byDefault: number) =>
  Type.Optional(Type.Integer({ title, description, default: byDefault, minimum: 100, maximum: 3_600_000 }));

export const KafkaProfile = Type.Object(
  {
    bootstrapServers: Type.String({
      title: 'Bootstrap Servers',
      description: 'Comma-separated list of Kafka servers to connect to, such as broker-1:9092,broker-2:9092',
      minLength: 1,
      maxLength: 4_096,
    }),
    authentication: Type.Unsafe<Static<typeof None> | Static<typeof Tls> | Static<typeof Sasl>>({
      title: 'Authentication',
      description: 'How to connect to the listener of the brokers',
      optionGroup: 'auth',
      oneOf: [None, Tls, Sasl],
    }),
    ...schemaRegistryField,
    connectionProperties: Type.Optional(
      Type.Record(Type.String({ maxLength: 256 }), Type.String({ maxLength: 1_024 }), {
        title: 'Connection Properties',
        description: 'Properties of librdkafka in Arroyo. Only client.id is supported.',
        maxProperties: 16,
      }),
    ),
    ...tlsFields,
    connectTimeoutMs: milliseconds(
      'Connect Timeout',
      'Timeout in milliseconds for name resolution, TCP, TLS and the login at one broker',
      10_000,
    ),
    requestTimeoutMs: milliseconds(
      'Request Timeout',
      'Timeout in milliseconds for a response of a broker. The connection counts as lost then.',
      30_000,
    ),
  },
  {
    title: 'KafkaConfig',
    additionalProperties: false,
    sensitive: ['authentication/password', ...registrySecrets('schemaRegistryEnum'), ...tlsSecrets],
  },
);
export type KafkaProfile = Static<typeof KafkaProfile>;

export const saslOf = ({ authentication }: KafkaProfile): Static<typeof Sasl> | undefined =>
  'mechanism' in authentication ? authentication : undefined;

export const hasTls = ({ authentication }: KafkaProfile): boolean =>
  'protocol' in authentication && authentication.protocol !== 'SASL_PLAINTEXT';

export const tlsOf = ({ tls, insecureSkipVerify }: KafkaProfile): TlsProfile => ({ tls, insecureSkipVerify });

export const connectTimeoutMs = (profile: KafkaProfile): number => profile.connectTimeoutMs ?? 10_000;

export const requestTimeoutMs = (profile: KafkaProfile): number => profile.requestTimeoutMs ?? 30_000;

export const clientId = ({ connectionProperties }: KafkaProfile): string =>
  connectionProperties?.['client.id'] || 'penstock';

const variable = /\{\{.*\}\}/s;

const serversIn = (text: string): string[] => text.split(',').map((server) => server.trim());

const shape = /^(?:\[([0-9a-fA-F:.]+)\]|([\w.-]+)):(\d{1,5})$/;

/** The bootstrap servers of a valid profile. */
export const endpointsOf = (profile: KafkaProfile): Endpoint[] =>
  serversIn(profile.bootstrapServers).map((server) => {
    const [, address, name, port] = shape.exec(server) ?? [];
    return { host: address ?? name ?? server, port: Number(port ?? 9092), tls: hasTls(profile) };
  });

export const addressOf = ({ host, port }: Pick<Endpoint, 'host' | 'port'>): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;

export const describe = ({ bootstrapServers }: KafkaProfile): string => `kafka://${bootstrapServers}`;

/** Checks the servers, and fields that contradict each other. */
export function validateProfile(profile: KafkaProfile): FieldError[] {
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const wrong = serversIn(profile.bootstrapServers).filter((server) => {
    const port = Number(shape.exec(server)?.[3]);
    return !(port > 0 && port < 65_536) && !variable.test(server);
  });
  if (wrong.length > 0)
    refuse('/bootstrapServers', 'must be a list of host:port, such as broker-1:9092,broker-2:9092');
  for (const name of Object.keys(profile.connectionProperties ?? {}))
    if (name !== 'client.id')
      refuse(
        '/connectionProperties',
        `has ${name}, which is not supported: use the fields of the profile. Only client.id is supported here`,
      );
  if (!/^[ -~]{0,255}$/.test(clientId(profile)))
    refuse('/connectionProperties', 'has a client.id that is not plain text of up to 255 characters');
  if (!hasTls(profile)) {
    const unused = 'is only used with TLS: set the protocol of authentication to SSL or SASL_SSL';
    if (Object.values(profile.tls ?? {}).some(given)) refuse('/tls', unused);
    if (profile.insecureSkipVerify) refuse('/insecureSkipVerify', unused);
  }
  checkTlsFiles(profile.tls, refuse);
  validateRegistry(registryOf(profile), '/schemaRegistryEnum', refuse);
  return errors;
}
