import { createHash, timingSafeEqual } from 'node:crypto';
import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyInstance } from 'fastify';
import { PenstockError } from '../errors.ts';
import { ConnectionSchema, Field, ListItem } from '../formats/schema.ts';
import { connectionProfiles } from './connection-profiles/index.ts';
import { connectionTables } from './connection-tables/index.ts';
import { InferredSchema } from './connection-tables/infer.ts';
import { TailEvent } from './connection-tables/tail-events.ts';
import { connectors } from './connectors.ts';
import type { Deps, Resource } from './deps.ts';
import { health } from './health.ts';
import { jobs } from './jobs.ts';
import { PipelineGraph, pipelines } from './pipelines/index.ts';
import { answerProblem, Problem } from './problem.ts';
import { TestMessage, TestResult } from './schemas.ts';
import { readJsonOnly, validatorCompiler } from './validation.ts';

const base = '/api/v1';

/** Schemas that others refer to by `$id`; in the document they are components of that name. */
const shared = [
  Problem,
  Field,
  ListItem,
  ConnectionSchema,
  TestMessage,
  TestResult,
  PipelineGraph,
  TailEvent,
  InferredSchema,
];

/** The HTTP service, ready to `listen()` or `inject()`. It owns nothing it was given: closing it leaves `deps` open. */
export async function buildApp(deps: Deps): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: deps.logger,
    bodyLimit: 1024 * 1024,
    requestTimeout: 30_000,
    connectionTimeout: 0,
    forceCloseConnections: true,
    frameworkErrors: answerProblem,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 128 },
    requestIdHeader: false,
  });
  readJsonOnly(app);
  app.setErrorHandler(answerProblem);
  app.setNotFoundHandler((request) => {
    throw new PenstockError('not_found', `There is no ${request.method} ${request.url.split('?')[0]}`, {
      hint: `See ${base}/swagger-ui for what there is.`,
    });
  });
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id);
  });
  app.addHook('onRequest', deps.adminKey ? requireKey(deps.adminKey) : requireLoopbackName);
  for (const schema of shared) app.addSchema(schema);
  app.setValidatorCompiler(validatorCompiler(shared));
  await document(app, deps.version);
  await app.register(health(deps));
  const resources: Resource[] = [connectors, connectionProfiles, connectionTables, pipelines, jobs];
  for (const resource of resources) await app.register(resource(deps), { prefix: base });
  return app;
}

/** Open to everybody: what a load balancer asks, and the documentation. */
const open = [/^\/(healthz|readyz)?$/, /^\/api\/v1\/(swagger-ui|api-docs)(\/|$)/, /^\/api\/v1\/ping$/];

function requireKey(adminKey: string) {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  const expected = digest(adminKey);
  return async (request: { url: string; headers: { authorization?: string | undefined } }): Promise<void> => {
    const path = request.url.split('?')[0] as string;
    if (open.some((pattern) => pattern.test(path))) return;
    const [scheme, token = ''] = (request.headers.authorization ?? '').split(' ');
    if (scheme?.toLowerCase() === 'bearer' && timingSafeEqual(digest(token), expected)) return;
    throw new PenstockError('unauthorized', 'This call needs a valid API key', {
      hint: 'Send the key as authorization: Bearer <key>.',
    });
  };
}

const loopbackName = /^(localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * Without a key everything rests on who can reach the loopback interface. A web page can, under a name of its own
 * that it lets resolve to 127.0.0.1: such names are refused.
 */
async function requireLoopbackName({ host }: { host: string }): Promise<void> {
  if (loopbackName.test(host.replace(/:\d+$/, ''))) return;
  throw new PenstockError('host_not_allowed', 'Without an API key only loopback names are served', {
    hint: 'Use http://127.0.0.1 or http://localhost, or set PENSTOCK_ADMIN_KEY.',
  });
}

async function document(app: FastifyInstance, version: string): Promise<void> {
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
        { name: 'operation', description: 'Health and metrics' },
      ],
      components: {
        securitySchemes: {
          key: {
            type: 'http',
            scheme: 'bearer',
            description: 'The key in PENSTOCK_ADMIN_KEY, where one is set',
          },
        },
      },
      security: [{ key: [] }, {}],
    },
    refResolver: { buildLocalReference: (json) => String(json.$id) },
  });
  await app.register(swaggerUi, { routePrefix: `${base}/swagger-ui` });
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect(`${base}/swagger-ui`));
  app.get(`${base}/api-docs/openapi.json`, { schema: { hide: true } }, async () => app.swagger());
}
