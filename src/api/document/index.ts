import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify';
import { roleFor } from '../access.ts';
import { finish } from './finish.ts';

/** Serves the OpenAPI document of the routes that are registered after it, and a page to try them. */
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
        { name: 'connectors', description: 'The kinds of system Penstock can talk to' },
        { name: 'connection_profiles', description: 'How to reach one such system' },
        { name: 'connection_tables', description: 'What to read or write there' },
        {
          name: 'pipelines',
          description: 'Stored queries that carry rows from source tables to sink tables',
        },
        { name: 'jobs', description: 'Pipelines being run' },
        { name: 'automation', description: 'Everything at once, by name' },
        { name: 'access', description: 'Keys, and who did what with them' },
        { name: 'operation', description: 'Health and metrics' },
      ],
      components: {
        securitySchemes: {
          key: {
            type: 'http',
            scheme: 'bearer',
            description: 'An API key, or the one in PENSTOCK_ADMIN_KEY. Needed as soon as there is one',
          },
        },
      },
      security: [{ key: [] }, {}],
    },
    transform: sayRole,
    // Done once, when somebody asks for the document.
    transformObject: (made) =>
      ('openapiObject' in made ? finish(made.openapiObject as never) : made.swaggerObject) as never,
    refResolver: { buildLocalReference: (json) => String(json.$id) },
  });
  await app.register(swaggerUi, { routePrefix: `${base}/swagger-ui` });
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect(`${base}/swagger-ui`));
  app.get(`${base}/api-docs/openapi.json`, { schema: { hide: true } }, async () => app.swagger());
}

interface Operation {
  schema: FastifySchema & { hide?: boolean; security?: readonly object[]; description?: string };
  url: string;
  route: RouteOptions;
}

/** Says in the document which role an operation needs. */
function sayRole({ schema, url, route }: Operation): { schema: FastifySchema; url: string } {
  if (schema === undefined || schema.hide === true || schema.security?.length === 0) return { schema, url };
  const role = roleFor([route.method].flat()[0] ?? 'GET', route.config?.role);
  const description = [schema.description, `Needs the role ${role}.`].filter(Boolean).join(' ');
  return { schema: { ...schema, description } as FastifySchema, url };
}
