import Type, { type Static } from 'typebox';
import type { FieldError } from '../../errors.ts';
import {
  type KafkaProfile,
  KafkaProfile as kafkaSchema,
  validateProfile as validateKafka,
} from '../kafka/config/profile.ts';
import { given } from '../network/tls.ts';
import { tlsSecrets } from '../network/tls-options.ts';
import {
  type SchemaRegistry as Registry,
  registrySecrets,
  SchemaRegistry,
  validateRegistry,
} from '../schema-registry/profile.ts';

/** A profile of a cluster in Confluent Cloud, wire-compatible with Arroyo's. */

const {
  bootstrapServers,
  connectionProperties,
  tls,
  insecureSkipVerify,
  connectTimeoutMs,
  requestTimeoutMs,
} = kafkaSchema.properties;

const credential = (title: string, description: string) =>
  Type.String({ title, description, format: 'var-str', minLength: 1, maxLength: 16_384 });

export const ConfluentProfile = Type.Object(
  {
    bootstrapServers: { ...bootstrapServers, examples: ['pkc-f25ac.us-east-1.aws.confluent.cloud:9092'] },
    key: credential('Key', 'API key of the Kafka cluster'),
    secret: credential('Secret', 'Secret of the API key'),
    schemaRegistry: Type.Optional(
      Type.Partial(SchemaRegistry, {
        title: 'Confluent Schema Registry',
        description: 'Where the schemas of messages are. It has an API key of its own.',
        additionalProperties: false,
      }),
    ),
    connectionProperties,
    tls,
    insecureSkipVerify,
    connectTimeoutMs,
    requestTimeoutMs,
  },
  {
    title: 'ConfluentProfile',
    additionalProperties: false,
    sensitive: ['secret', ...registrySecrets('schemaRegistry'), ...tlsSecrets],
  },
);
export type ConfluentProfile = Static<typeof ConfluentProfile>;

export const registryOf = ({ schemaRegistry: registry }: ConfluentProfile): Registry | undefined =>
  registry && given(registry.endpoint) ? { ...registry, endpoint: registry.endpoint } : undefined;

/** The same cluster as a profile of the connector kafka. */
export const toKafka = ({ key, secret, schemaRegistry: _, ...profile }: ConfluentProfile): KafkaProfile => ({
  ...profile,
  authentication: { protocol: 'SASL_SSL', mechanism: 'PLAIN', username: key, password: secret },
});

export function validateProfile(profile: ConfluentProfile): FieldError[] {
  const errors = validateKafka(toKafka(profile));
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const { apiKey, apiSecret, endpoint } = profile.schemaRegistry ?? {};
  if (!given(endpoint) && (given(apiKey) || given(apiSecret)))
    refuse('/schemaRegistry/endpoint', 'is required with an API key');
  validateRegistry(registryOf(profile), '/schemaRegistry', refuse);
  return errors;
}
