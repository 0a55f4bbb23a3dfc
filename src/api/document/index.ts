import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema, RouteOptions } from 'fastify';
import { roleFor } from '../api-keys.ts';
import { codesFor, eventExamples, problemExamples } from './examples.ts';

/** Serves the OpenAPI document of the routes registered after this call, and Swagger UI. */
export async function document(app: FastifyInstance, version: string, base: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Penstock',
        version,
        description: 'A control plane for streaming connections: profiles, tables, live tests and pipelines.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/', description: 'This server' }],
      tags: [
        { name: 'connectors', description: 'Kinds of systems that Penstock connects to' },
        { name: 'connection_profiles', description: 'Connections to such systems' },
        { name: 'connection_tables', description: 'Sources to read and sinks to write' },
        {
          name: 'pipelines',
          description: 'Stored queries that move rows from source tables to sink tables',
        },
        { name: 'jobs', description: 'Runs of pipelines' },
        { name: 'workers', description: 'Processes that run jobs' },
        { name: 'automation', description: 'Many objects at once, by name' },
        { name: 'access', description: 'API keys and the audit log' },
        { name: 'operation', description: 'Health and metrics' },
      ],
      components: {
        securitySchemes: {
          key: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key, or PENSTOCK_ADMIN_KEY. Required once a key exists',
          },
        },
      },
      security: [{ key: [] }, {}],
    },
    transform: addRole,
    // Runs once, on the first request for the document.
    transformObject: (made) =>
      ('openapiObject' in made ? finish(made.openapiObject as never) : made.swaggerObject) as never,
    refResolver: { buildLocalReference: (json) => String(json.$id) },
  });
  await app.register(swaggerUi, {
    routePrefix: `${base}/swagger-ui`,
    staticCSP: pagePolicy,
    uiHooks: { onRequest: toFolder },
    transformSpecification: belowProxy,
  });
  app.get(`${base}/api-docs/openapi.json`, { schema: { hide: true } }, async () => belowProxy(app.swagger()));
}

/** Swagger UI sets styles on its elements. */
const pagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * All addresses of the documentation are relative, because a proxy may serve it below a prefix. They are relative to the
 * folder, so its address must end in a slash.
 */
async function toFolder({ url }: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  const [path = ''] = url.split('?');
  if (path.endsWith('/static/index.html')) return reply.redirect('../');
  if (path.endsWith('/swagger-ui')) return reply.redirect('swagger-ui/');
  return undefined;
}

/** Relative to the document, which is always served three levels below the root. */
const belowProxy = <T extends object>(document: T): T => ({
  ...document,
  servers: [{ url: '../../..', description: 'This server' }],
});

interface RouteOperation {
  schema: FastifySchema & { hide?: boolean; security?: readonly object[]; description?: string };
  url: string;
  route: RouteOptions;
}

function addRole({ schema, url, route }: RouteOperation): { schema: FastifySchema; url: string } {
  if (schema === undefined || schema.hide === true || schema.security?.length === 0) return { schema, url };
  const role = roleFor([route.method].flat()[0] ?? 'GET', route.config?.role);
  const description = [schema.description, `Needs the role ${role}.`].filter(Boolean).join(' ');
  return { schema: { ...schema, description } as FastifySchema, url };
}

interface DocumentSchema {
  $ref?: string;
  title?: string;
  type?: string | string[];
  enum?: unknown[];
  properties?: Record<string, DocumentSchema>;
  items?: DocumentSchema;
  examples?: unknown[];
  discriminator?: object;
  oneOf?: DocumentSchema[];
}
interface Media {
  schema?: DocumentSchema;
  example?: unknown;
  examples?: Record<string, object>;
}
interface DocumentedOperation {
  operationId: string;
  parameters?: { required?: boolean; schema: object }[];
  responses: Record<string, { description: string; content?: Record<string, Media> }>;
}
interface ApiDocument {
  paths: Record<string, Record<string, DocumentedOperation>>;
  components: { schemas: Record<string, DocumentSchema>; examples?: object };
}

const reference = (kind: 'schemas' | 'examples', name: string) => ({ $ref: `#/components/${kind}/${name}` });

/**
 * Completes the document that the routes give. Schemas with a title become components of that name, so that clients get
 * named types. Errors, events and responses get examples. Parameters with a default become optional.
 */
function finish(document: ApiDocument): ApiDocument {
  // A copy, because routes share schema objects.
  const own = structuredClone(document);
  nameSchemas(own);
  own.components.examples = problemExamples();
  for (const operation of Object.values(own.paths).flatMap((methods) => Object.values(methods))) {
    // Ajv applies the default before it checks for required parameters.
    for (const one of operation.parameters ?? []) if ('default' in one.schema) one.required = false;
    for (const [status, response] of Object.entries(operation.responses)) {
      for (const [type, media] of Object.entries(response.content ?? {})) {
        if (type === 'application/problem+json') media.examples = problemsOf(operation.operationId, status);
        else if (type === 'text/event-stream') describeEvents(response, media, own.components.schemas);
        else addExample(media, own);
      }
    }
  }
  return own;
}

const problemsOf = (operationId: string, status: string): Record<string, object> =>
  Object.fromEntries(codesFor(operationId, status).map((code) => [code, reference('examples', code)]));

/** OpenAPI 3.1 has no schema for a single event of a stream, so the description explains it. */
function describeEvents(
  response: { description: string },
  media: Media,
  schemas: Record<string, DocumentSchema>,
): void {
  const events = eventExamples(nameOf(media.schema) ?? '', (name) => schemas[name]?.examples?.[0] as object);
  media.examples = Object.fromEntries(
    events.map((value, index) => {
      const { name = `event_${index + 1}` } = value as { name?: string };
      return [name, { value }];
    }),
  );
  const stream = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join('');
  response.description +=
    `. For text/event-stream, the schema and the examples describe the data of one event: JSON on one line, without ` +
    `an event type or id. A comment every 15 seconds keeps a quiet stream open. Example:\n\n~~~\n${stream}~~~`;
}

function addExample(media: Media, { components }: ApiDocument): void {
  const schema = resolve(media.schema ?? {}, components.schemas);
  if (media.example !== undefined || media.examples || schema.examples) return;
  media.example = compose(schema, components.schemas);
}

function compose(schema: DocumentSchema, schemas: Record<string, DocumentSchema>): unknown {
  const { examples, type, properties = {}, items = {} } = resolve(schema, schemas);
  if (examples) return examples[0];
  if (type === 'array') return [compose(items, schemas)];
  if (type === 'boolean') return false;
  if (type !== 'object') return undefined;
  return Object.fromEntries(
    Object.entries(properties).map(([name, inner]) => [name, compose(inner, schemas)]),
  );
}

const nameOf = (schema: DocumentSchema | undefined): string | undefined => schema?.$ref?.split('/').at(-1);

function resolve(schema: DocumentSchema, schemas: Record<string, DocumentSchema>): DocumentSchema {
  const name = nameOf(schema);
  return name === undefined ? schema : (schemas[name] ?? {});
}

const values = ['example', 'examples', 'default', 'enum', 'const'];

function nameSchemas({ paths, components }: ApiDocument): void {
  const { schemas } = components;
  const named = (name: string, { title: _, ...schema }: DocumentSchema): DocumentSchema => {
    const known = schemas[name];
    if (known && textOf(known) !== textOf(schema))
      throw new Error(`Two different schemas of the document are called ${name}`);
    schemas[name] = { ...known, ...schema };
    return reference('schemas', name);
  };
  /** Replaces named schemas by references; `key` is the property that has the schema. */
  const walk = (node: unknown, key: string): unknown => {
    if (Array.isArray(node)) return node.map((inner) => walk(inner, key));
    if (typeof node !== 'object' || node === null) return node;
    const { discriminator, oneOf } = node as DocumentSchema;
    // A variant is named after itself and its union: Json of a format becomes JsonFormat.
    const tagged = discriminator && oneOf;
    const suffix = key.charAt(0).toUpperCase() + key.slice(1);
    const walked = Object.fromEntries(
      Object.entries(node).map(([name, inner]) => {
        if (values.includes(name)) return [name, inner];
        if (name === 'oneOf' && tagged)
          return [name, tagged.map((one) => walk({ ...one, title: `${one.title}${suffix}` }, key))];
        if (name === 'properties')
          return [name, mapValues(inner as object, (property, its) => walk(property, its))];
        return [name, walk(inner, key)];
      }),
    ) as DocumentSchema;
    // Without a type, generators for some languages take an enum for any value.
    const texts = Array.isArray(walked.enum) && walked.enum.every((value) => typeof value === 'string');
    if (texts) walked.type ??= 'string';
    return typeof walked.title === 'string' ? named(walked.title, walked) : walked;
  };
  for (const [name, schema] of Object.entries(schemas)) schemas[name] = walk(schema, '') as DocumentSchema;
  for (const [path, methods] of Object.entries(paths)) paths[path] = walk(methods, '') as typeof methods;
}

/** Examples of a whole body are outside its schema. */
const textOf = ({ examples: _, ...schema }: DocumentSchema): string => JSON.stringify(schema);

const mapValues = (object: object, change: (value: unknown, key: string) => unknown): object =>
  Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value, key)]));
