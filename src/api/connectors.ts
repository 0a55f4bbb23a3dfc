import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type from 'typebox';
import type { ConnectorDefinition } from '../connectors/connector.ts';
import { connectorFor, connectors as known } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import type { Deps } from './deps.ts';
import { problems } from './problem.ts';
import { Collection, IdParams } from './schemas.ts';

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
    connection_config: Type.String({ description: 'JSON Schema of the profile config, as text' }),
    table_config: Type.String({ description: 'JSON Schema of the table config, as text' }),
  },
  { title: 'Connector', examples: [example] },
);

const ConnectorDetail = Type.Object(
  {
    ...Connector.properties,
    connection_schema: Type.Record(Type.String(), Type.Unknown(), {
      description: 'connection_config, parsed',
    }),
    table_schema: Type.Record(Type.String(), Type.Unknown(), { description: 'table_config, parsed' }),
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
        metadata_columns: [{ name: 'topic', type: 'string', description: 'The topic of the message' }],
      },
    ],
  },
);

function toWire(connector: ConnectorDefinition) {
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
    hidden: false,
    connection_config: JSON.stringify(formSchema(connector.profile)),
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
          metadata_columns: [...connector.metadata],
        };
      },
    );
  };

type FormSchema = { [keyword: string]: unknown };

const isSchema = (value: unknown): value is FormSchema =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * A connector's schema for Arroyo's web forms. They add values of their own, so the published schema allows unknown
 * fields (requests with such fields are still refused). They only draw an enumeration that has a type.
 */
function formSchema(schema: unknown): FormSchema {
  return relaxed(JSON.parse(JSON.stringify(schema)), false) as FormSchema;
}

/** Alternatives (`oneOf`, `anyOf`) still forbid unknown fields, which is what distinguishes them. */
function relaxed(value: unknown, alternative: boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => relaxed(item, alternative));
  if (!isSchema(value)) return value;
  const { additionalProperties, ...rest } = value;
  const kept = alternative || additionalProperties !== false ? value : rest;
  const typed = isTextEnum(kept) ? { type: 'string', ...kept } : kept;
  return Object.fromEntries(
    Object.entries(typed).map(([keyword, inner]) => [
      keyword,
      relaxed(inner, alternative || keyword === 'oneOf' || keyword === 'anyOf'),
    ]),
  );
}

const isTextEnum = ({ enum: values, type }: FormSchema): boolean =>
  type === undefined && Array.isArray(values) && values.every((value) => typeof value === 'string');
