import Type, { type Static } from 'typebox';
import type { FieldError } from '../../errors.ts';
import { given } from '../network/tls.ts';
import { checkTlsFiles, refuseTls, tlsFields } from '../network/tls-options.ts';

/** A schema registry with the API of Confluent's, as a part of a connection profile, or of a table whose connector has none. */

const properties = {
  endpoint: Type.String({
    title: 'Endpoint',
    description: 'Address of the registry: https://host or http://host:8081, with a path if it has one',
    examples: ['http://localhost:8081'],
    format: 'var-str',
    minLength: 1,
    maxLength: 2_048,
  }),
  apiKey: Type.Optional(
    Type.String({
      title: 'API Key',
      description: 'API key or user name, if the registry asks for a login',
      format: 'var-str',
      maxLength: 1_024,
    }),
  ),
  apiSecret: Type.Optional(
    Type.String({
      title: 'API Secret',
      description: 'Secret of the API key, or password',
      format: 'var-str',
      maxLength: 1_024,
    }),
  ),
  ...tlsFields,
};

export const SchemaRegistry = Type.Object(properties, {
  title: 'Confluent Schema Registry',
  additionalProperties: false,
});
export type SchemaRegistry = Static<typeof SchemaRegistry>;

const None = Type.Object({}, { title: 'None', additionalProperties: false });

type Chosen = Static<typeof None> | SchemaRegistry;

/** The field of a profile or table, as in Arroyo. In SQL: `schema_registry.endpoint = 'http://…'`. */
export const schemaRegistryField = {
  schemaRegistryEnum: Type.Optional(
    Type.Unsafe<Chosen>({
      title: 'Schema Registry',
      description: 'Where the schemas of messages are',
      optionGroup: 'schema_registry',
      oneOf: [None, SchemaRegistry],
    }),
  ),
};

/** The secrets of a registry in the field of that name of a profile. */
export const registrySecrets = (field: string): string[] =>
  ['apiSecret', 'tls/key', 'tls/passphrase'].map((path) => `${field}/${path}`);

export const registryOf = ({
  schemaRegistryEnum: chosen,
}: {
  schemaRegistryEnum?: Chosen;
}): SchemaRegistry | undefined => (chosen && 'endpoint' in chosen ? chosen : undefined);

/** That of a table whose connector has no profiles. */
export const registryOfTable = (
  _profile: unknown,
  table: Parameters<typeof registryOf>[0] | undefined,
): SchemaRegistry | undefined => table && registryOf(table);

/** Parses an endpoint. Returns a predicate, such as `must …`, if it is invalid. Errors never repeat a part of it. */
export function parseEndpoint(text: string): URL | string {
  if (!/^https?:\/\//i.test(text)) return 'must begin with http:// or https://';
  if (!URL.canParse(text)) return 'must be a URL, such as http://localhost:8081';
  const url = new URL(text);
  if (url.username !== '' || url.password !== '')
    return 'must not contain credentials: use apiKey and apiSecret, which is stored sealed';
  if (url.search !== '' || url.hash !== '') return 'must not have a query or a fragment';
  if (url.port === '0') return 'must have a port from 1 to 65535';
  return url;
}

/** Checks the registry of such a table. */
export function refuseRegistry(table: Parameters<typeof registryOf>[0]): FieldError[] {
  const errors: FieldError[] = [];
  validateRegistry(registryOf(table), '/schemaRegistryEnum', (path, message) =>
    errors.push({ path, message }),
  );
  return errors;
}

/** Checks what the schema of the field `at` cannot express. */
export function validateRegistry(
  registry: SchemaRegistry | undefined,
  at: string,
  refuse: (path: string, message: string) => void,
): void {
  if (!registry) return;
  const { endpoint, apiKey, apiSecret, tls } = registry;
  const below = (path: string, message: string) => refuse(`${at}${path}`, message);
  const parsed = endpoint.includes('{{') ? undefined : parseEndpoint(endpoint);
  if (typeof parsed === 'string') below('/endpoint', parsed);
  if (given(apiSecret) && !given(apiKey)) below('/apiKey', 'is required with apiSecret');
  if (apiKey?.includes(':')) below('/apiKey', 'must not have a colon, which ends the name in a login');
  if (typeof parsed === 'object' && parsed.protocol === 'http:') refuseTls(registry, 'https://', below);
  checkTlsFiles(tls, below);
}
