import Fastify, { type FastifyInstance } from 'fastify';
import { PenstockError } from '../errors.ts';
import { ConnectionSchema, Field, ListItem } from '../formats/schema/schema.ts';
import { guard } from './access.ts';
import { apiKeys } from './api-keys.ts';
import { audit, keepAudit } from './audit.ts';
import { bundles } from './bundle/index.ts';
import { connectionProfiles } from './connection-profiles/index.ts';
import { connectionTables } from './connection-tables/index.ts';
import { InferredSchema } from './connection-tables/infer.ts';
import { TailEvent } from './connection-tables/tail-events.ts';
import { connectors } from './connectors.ts';
import type { Deps, Resource } from './deps.ts';
import { document } from './document/index.ts';
import { health } from './health.ts';
import { jobs } from './jobs/index.ts';
import { TaskStatus } from './jobs/stats.ts';
import { Job } from './jobs/wire.ts';
import { maxConnections, serverLimits, setLimits } from './limits.ts';
import { PipelineEvent } from './pipelines/events.ts';
import { PipelineGraph, pipelines } from './pipelines/index.ts';
import { answerPreviews, OutputData, Previews, previewRoutes } from './pipelines/previews.ts';
import { answerProblem, Problem } from './problem.ts';
import { TestMessage, TestResult } from './schemas.ts';
import { lazySerializers } from './serializers.ts';
import { closeGently } from './shutdown.ts';
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
  Job,
  TaskStatus,
  PipelineEvent,
  OutputData,
  InferredSchema,
];

/** The HTTP service, ready to `listen()` or `inject()`. It owns nothing it was given: closing it leaves `deps` open. */
export async function buildApp(deps: Deps): Promise<FastifyInstance> {
  const app = Fastify({
    loggerInstance: deps.logger,
    bodyLimit: 1024 * 1024,
    requestTimeout: 30_000,
    connectionTimeout: 0,
    // What `closeGently` has not seen the end of.
    forceCloseConnections: true,
    frameworkErrors: answerProblem,
    // A name of 100 characters, each of them encoded.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1_200 },
    requestIdHeader: false,
    http: serverLimits,
    schemaController: { compilersFactory: { buildSerializer: lazySerializers() } },
  });
  app.server.maxConnections = maxConnections;
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
  const close = closeGently(app);
  guard(app, deps.keys, await setLimits(app, deps.limits));
  keepAudit(app, deps.db);
  for (const schema of shared) app.addSchema(schema);
  app.setValidatorCompiler(validatorCompiler(shared));
  await document(app, deps.version, base);
  await app.register(health(deps));
  const previews = new Previews(deps);
  answerPreviews(app, previews, base);
  const resources: Resource[] = [
    connectors,
    connectionProfiles,
    connectionTables,
    pipelines,
    () => previewRoutes(previews),
    jobs,
    bundles,
    apiKeys,
    audit,
  ];
  for (const resource of resources) await app.register(resource(deps), { prefix: base });
  await app.register(close);
  return app;
}
