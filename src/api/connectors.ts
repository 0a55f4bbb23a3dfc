import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import { connectors as known } from '../connectors/catalog.ts';
import { type ConnectorDefinition, noProfile } from '../connectors/connector.ts';
import { connectorFor } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import type { Deps } from './deps.ts';
import { problems } from './problem.ts';
import { Collection, IdParams, nullable } from './schemas.ts';

const example = {
  id: 'mqtt',
  name: 'MQTT',
  icon: '<svg xmlns="http://www.w3.org/2000/svg"/>',
  description: 'Read from and write to an MQTT broker',
  enabled: true,
  source: true,
  sink: true,
  testing: true,
  custom_schemas: true,
  hidden: false,
  connection_config: '{"type":"object"}',
  table_config: '{"type":"object"}',
};

const Connector = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    icon: Type.String({ description: 'An SVG document' }),
    description: Type.String(),
    enabled: Type.Boolean(),
    source: Type.Boolean({ description: 'Whether tables can be read from it' }),
    sink: Type.Boolean({ description: 'Whether tables can be written to it' }),
    testing: Type.Boolean({ description: 'Whether its connections can be tested' }),
    custom_schemas: Type.Boolean({ description: 'Whether a table has its own schema' }),
    hidden: Type.Boolean(),
    connection_config: nullable(Type.String(), {
      description: 'JSON Schema of the profile config, as text; null if its tables need no profile',
    }),
    table_config: Type.String({ description: 'JSON Schema of the table config, as text' }),
  },
  { title: 'Connector', examples: [example] },
);

const ConnectorDetail = Type.Object(
  {
    ...Connector.properties,
    connection_schema: Type.Record(Type.String(), Type.Unknown(), {
      description: 'connection_config, parsed; a schema without fields if it is null',
    }),
    table_schema: Type.Record(Type.String(), Type.Unknown(), { description: 'table_config, parsed' }),
    profile_optional: Type.Boolean({ description: 'Whether its tables may go without a profile' }),
    rows: Type.Boolean({
      description: 'Whether a sink may take typed rows, so that its schema has no format',
    }),
    idempotent: nullable(Type.String(), {
      description: 'When a message that is written twice leaves one; null if never',
    }),
    metadata_columns: Type.Array(
      Type.Object({ name: Type.String(), type: Type.String(), description: Type.String() }),
      { description: 'Values for the metadata_key of a field' },
    ),
  },
  {
    title: 'ConnectorDetail',
    examples: [
      {
        ...example,
        connection_schema: { type: 'object' },
        table_schema: { type: 'object' },
        profile_optional: false,
        rows: false,
        idempotent: null,
        metadata_columns: [{ name: 'topic', type: 'string', description: 'The topic of the message' }],
      },
    ],
  },
);

export function toWire(connector: ConnectorDefinition) {
  return {
    id: connector.id,
    name: connector.name,
    icon: connector.icon,
    description: connector.description,
    enabled: true,
    source: connector.openSource !== undefined,
    sink: connector.openSink !== undefined,
    testing: connector.check !== undefined,
    custom_schemas: connector.defaultSchema?.fields === undefined,
    hidden: connector.hidden ?? false,
    connection_config: connector.profile === noProfile ? null : JSON.stringify(formSchema(connector.profile)),
    table_config: JSON.stringify(formSchema(connector.table)),
  };
}

export const connectors =
  (_deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.get(
      '/connectors',
      {
        schema: {
          operationId: 'listConnectors',
          summary: 'List the connectors',
          tags: ['connectors'],
          response: { 200: Collection(Connector), ...problems() },
        },
      },
      async () => ({ data: known.map(toWire) }),
    );

    app.get(
      '/connectors/:id',
      {
        schema: {
          operationId: 'getConnector',
          summary: 'Get a connector with its schemas and metadata columns',
          tags: ['connectors'],
          params: IdParams,
          response: { 200: ConnectorDetail, ...problems(400, 404) },
        },
      },
      async ({ params }) => {
        if (!known.some(({ id }) => id === params.id))
          throw new PenstockError('not_found', `There is no connector ${params.id}`);
        const connector = connectorFor(params.id);
        return {
          ...toWire(connector),
          connection_schema: formSchema(connector.profile),
          table_schema: formSchema(connector.table),
          profile_optional: connector.profile === noProfile || (connector.profileOptional ?? false),
          rows: connector.takesRows !== undefined,
          idempotent: connector.idempotent?.when ?? null,
          metadata_columns: [...connector.metadata],
        };
      },
    );
  };

type FormSchema = { [keyword: string]: unknown };

const isSchema = (value: unknown): value is FormSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A connector's schema for Arroyo's web forms, whose validator throws on a keyword or format that it does not know. They
 * add values of their own, so the published schema allows unknown fields (requests with such fields are still refused).
 */
function formSchema(schema: unknown): FormSchema {
  return published(JSON.parse(JSON.stringify(schema)), false) as FormSchema;
}

/** Alternatives (`oneOf`, `anyOf`) still forbid unknown fields, which is what distinguishes them. */
function published(value: unknown, alternative: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => published(item, alternative));
  if (!isSchema(value)) return value;
  const { additionalProperties, file: _file, option: _option, optionGroup: _group, ...rest } = value;
  const open = additionalProperties === undefined || (additionalProperties === false && !alternative);
  const kept = open ? rest : { ...rest, additionalProperties };
  const adapted = asMap(asInput(withSecrets(kept), value.file === true));
  return Object.fromEntries(
    Object.entries(adapted).map(([keyword, inner]) => [
      keyword,
      keyword === 'properties' && isSchema(inner)
        ? Object.fromEntries(
            Object.entries(inner).map(([name, each]) => [name, published(each, alternative)]),
          )
        : published(inner, alternative || keyword === 'oneOf' || keyword === 'anyOf'),
    ]),
  );
}

/** Forms hide a secret if the object that has it lists it. The text of a key has several lines, which no password has. */
function withSecrets(schema: FormSchema): FormSchema {
  const { sensitive, properties, oneOf } = schema;
  if (!Array.isArray(sensitive)) return schema;
  if (Array.isArray(oneOf)) {
    const { sensitive: _, ...rest } = schema;
    return { ...rest, oneOf: oneOf.map((each: unknown) => withOwnSecrets(each, sensitive)) };
  }
  if (!isSchema(properties)) return schema;
  const secretsIn = ([name, property]: [string, unknown]): [string, unknown] => {
    const inner = sensitive.flatMap((path: string) =>
      path.startsWith(`${name}/`) ? [path.slice(name.length + 1)] : [],
    );
    return [name, isSchema(property) && inner.length > 0 ? { ...property, sensitive: inner } : property];
  };
  return { ...schema, properties: Object.fromEntries(Object.entries(properties).map(secretsIn)) };
}

/** An alternative with those secrets of all alternatives that it has. */
function withOwnSecrets(alternative: unknown, sensitive: readonly string[]): unknown {
  if (!isSchema(alternative) || !isSchema(alternative.properties)) return alternative;
  const { properties } = alternative;
  const own = sensitive.filter((path) => Object.hasOwn(properties, path.split('/')[0] as string));
  return own.length > 0 ? { ...alternative, sensitive: own } : alternative;
}

/**
 * They only draw an enumeration that has a type, and draw a text with a high limit as an area of several lines. An input
 * for numbers takes those that are whole steps above its minimum.
 */
function asInput(schema: FormSchema, severalLines: boolean): FormSchema {
  const { maxLength, minimum, ...rest } = schema;
  const keepsLength = maxLength !== undefined && (severalLines || Number(maxLength) < 100);
  const kept = {
    ...rest,
    ...(keepsLength && { maxLength }),
    ...(minimum !== undefined && { minimum: Math.floor(Number(minimum)) }),
  } as FormSchema;
  const { enum: values, type } = kept;
  const texts =
    type === undefined && Array.isArray(values) && values.every((each) => typeof each === 'string');
  return texts ? { type: 'string', ...kept } : kept;
}

/** They draw an object with arbitrary names only by its `additionalProperties`. */
function asMap(schema: FormSchema): FormSchema {
  const { patternProperties, ...rest } = schema;
  const [only, ...others] = isSchema(patternProperties) ? Object.values(patternProperties) : [];
  return only !== undefined && others.length === 0 ? { ...rest, additionalProperties: only } : schema;
}
