import { setImmediate as nextTurn } from 'node:timers/promises';
import { SerializerSelector } from '@fastify/fast-json-stringify-compiler';
import { Ajv, type ErrorObject, type Options } from 'ajv';
import addFormats from 'ajv-formats';
import Fastify, {
  type FastifyInstance,
  type FastifyPluginAsync,
  type FastifyReply,
  type FastifySchemaCompiler,
} from 'fastify';
import type { TSchema } from 'typebox';
import { ConnectionSchema, Field, ListItem } from '../formats/schema/schema.ts';
import { apiKeys, guard } from './api-keys.ts';
import { audit, keepAudit } from './audit.ts';
import { bundles } from './bundle/index.ts';
import { connectionProfiles } from './connection-profiles/index.ts';
import { connectionTables } from './connection-tables/index.ts';
import { InferredSchema } from './connection-tables/infer.ts';
import { TailEvent } from './connection-tables/tail.ts';
import { connectors } from './connectors.ts';
import { serveConsole } from './console.ts';
import { dependents } from './dependents.ts';
import type { Deps, Resource } from './deps.ts';
import { document } from './document/index.ts';
import { health } from './health.ts';
import {
  explainParserErrors,
  loggedRequest,
  pathOf,
  readJsonOnly,
  refuseOddRequests,
  sendCommonHeaders,
  unrouted,
} from './http.ts';
import { checkpoints } from './jobs/checkpoints.ts';
import { Job, jobs } from './jobs/index.ts';
import { jobMessages } from './jobs/messages.ts';
import { jobSeries } from './jobs/series.ts';
import { TaskStatus } from './jobs/stats.ts';
import { maxConnections, serverLimits, setLimits } from './limits.ts';
import { overview } from './overview/index.ts';
import { Overview, OverviewEntry, OverviewEvent } from './overview/wire.ts';
import { PipelineEvent } from './pipelines/events.ts';
import { pipelines } from './pipelines/index.ts';
import { OutputData } from './pipelines/preview-wire.ts';
import { interceptPreviews, Previews, previewRoutes } from './pipelines/previews.ts';
import { PipelineGraph } from './pipelines/wire.ts';
import { Problem, sendProblem } from './problem.ts';
import { TestMessage, TestResult } from './schemas.ts';
import { udfs } from './udfs.ts';
import { workers } from './workers/index.ts';

/**
 * The HTTP API. It runs in the main thread of the roles `api` and `all`. There is one file or folder per resource; each
 * is a Fastify plugin with a schema on every route, and every error passes through `sendProblem`.
 */

const base = '/api/v1';

/** Schemas that others refer to by `$id`. In the document they are components of that name. */
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
  OverviewEntry,
  Overview,
  OverviewEvent,
];

/** Returns the service, ready to `listen()` or `inject()`. Closing it does not close `deps`. */
export async function buildApp(deps: Deps): Promise<FastifyInstance> {
  let explain: ReturnType<typeof explainParserErrors> | undefined;
  const app = Fastify({
    loggerInstance: deps.logger.child({}, { serializers: { req: loggedRequest } }),
    rewriteUrl: pathOf,
    clientErrorHandler: (error, socket) => explain?.(error, socket),
    bodyLimit: 1024 * 1024,
    requestTimeout: 30_000,
    connectionTimeout: 0,
    // Closes what is left after `closeGently`.
    forceCloseConnections: true,
    frameworkErrors: sendProblem,
    // Room for a name of 100 characters, all of them percent-encoded.
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 1_200 },
    requestIdHeader: false,
    http: serverLimits,
    schemaController: { compilersFactory: { buildSerializer: serializers } },
  });
  app.server.maxConnections = maxConnections;
  readJsonOnly(app);
  const noRoute = unrouted(app, `See ${base}/swagger-ui for the available operations.`);
  explain = explainParserErrors(app, noRoute);
  app.setErrorHandler(sendProblem);
  app.setNotFoundHandler(({ method, url }) => {
    throw noRoute(method, url.split('?')[0] as string);
  });
  sendCommonHeaders(app);
  const close = closeGently(app);
  guard(app, deps.keys, await setLimits(app, deps.limits));
  refuseOddRequests(app);
  keepAudit(app, deps.db);
  for (const schema of shared) app.addSchema(schema);
  app.setValidatorCompiler(validators);
  await document(app, deps.version, base);
  await serveConsole(app, deps.console, `.${base}/swagger-ui/`);
  await app.register(health(deps));
  const previews = new Previews(deps);
  interceptPreviews(app, previews, base);
  const resources: Resource[] = [
    connectors,
    connectionProfiles,
    connectionTables,
    dependents,
    pipelines,
    overview,
    () => previewRoutes(previews, deps),
    jobs,
    jobMessages,
    checkpoints,
    jobSeries,
    workers,
    udfs,
    bundles,
    apiKeys,
    audit,
  ];
  for (const resource of resources) await app.register(resource(deps), { prefix: base });
  await app.register(close);
  return app;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Aborts when streams must end because the service stops. */
    closing: AbortSignal;
  }
}

const graceMs = 5_000;

/**
 * Makes `app.close()` wait for requests in flight and end event streams. Fastify then refuses new requests with 503.
 * Register the returned plugin last, so that the last events of the other plugins are still sent.
 */
function closeGently(app: FastifyInstance): FastifyPluginAsync {
  const closing = new AbortController();
  const answering = new Set<FastifyReply['raw']>();
  let answered = (): void => {};
  let stopped = false;
  app.decorate('closing', closing.signal);
  app.addHook('onRequest', async (_request, reply) => {
    answering.add(reply.raw);
    reply.raw.once('close', () => {
      answering.delete(reply.raw);
      if (answering.size === 0) answered();
    });
  });
  // Otherwise the client could send its next request on a connection that is being closed.
  app.addHook('onSend', async (_request, reply) => {
    if (stopped) reply.header('connection', 'close');
  });
  return async (last) => {
    last.addHook('preClose', async () => {
      stopped = true;
      // Lets the last events of the other plugins pass first.
      await nextTurn();
      closing.abort();
      if (answering.size === 0) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      answered = resolve;
      const late = setTimeout(resolve, graceMs);
      await promise;
      clearTimeout(late);
    });
  };
}

/** Maximum size of a body that is checked for all errors, which takes quadratic time; a larger one reports the first. */
const allErrorsUpTo = 16 * 1024;

interface Validate {
  (data: unknown): boolean;
  errors?: ErrorObject[] | null;
}

/**
 * Validates bodies as they were sent: nothing is coerced, removed or filled in. Parameters arrive as text, so they are
 * converted to their declared type. Fastify by default coerces both.
 */
function validatorCompiler(): FastifySchemaCompiler<TSchema> {
  const exact = { coerceTypes: false, useDefaults: false };
  const body = lazyValidators({ ...exact, allErrors: false });
  const thorough = lazyValidators({ ...exact, allErrors: true });
  const parameters = lazyValidators({ coerceTypes: true, useDefaults: true, allErrors: true });
  return ({ schema, httpPart }) =>
    httpPart === 'body' ? inTwoPasses(body(schema), thorough(schema)) : parameters(schema);
}

function inTwoPasses(first: Validate, thorough: Validate): Validate {
  const validate: Validate = (data) => {
    if (first(data)) return true;
    const small = (JSON.stringify(data) ?? '').length <= allErrorsUpTo;
    if (small) thorough(data);
    validate.errors = small ? thorough.errors : first.errors;
    return false;
  };
  return validate;
}

/** Compiles a schema on its first use, and equal ones once. Compiling all of them took a fifth of the startup time. */
function lazyValidators(options: Options): (schema: TSchema) => Validate {
  let ajv: Ajv | undefined;
  const compiled = new Map<string, Validate>();
  const compile = (schema: TSchema): Validate => {
    ajv ??= validator(options);
    const text = JSON.stringify(schema);
    const found = compiled.get(text) ?? ajv.compile(schema);
    compiled.set(text, found);
    return found;
  };
  return (schema) => {
    let own: Validate | undefined;
    const validate: Validate = (data) => {
      own ??= compile(schema);
      const valid = own(data);
      validate.errors = own.errors;
      return valid;
    };
    return validate;
  };
}

function validator(options: Options): Ajv {
  const ajv = new Ajv({ strict: false, removeAdditional: false, discriminator: true, ...options });
  addFormats.default(ajv);
  for (const schema of shared) ajv.addSchema(schema);
  return ajv;
}

type BuildSerializers = ReturnType<typeof SerializerSelector>;

/**
 * Compiles the serializer of a response on its first use, and equal ones once. Compiling all of them, mostly for errors,
 * took half of the startup time.
 */
function lazySerializers(): BuildSerializers {
  const build = SerializerSelector();
  const compiled = new Map<string, ReturnType<ReturnType<BuildSerializers>>>();
  return (schemas, options) => {
    const compile = build(schemas, options);
    return (route) => {
      const text = JSON.stringify(route.schema);
      return (value) => {
        const serialize = compiled.get(text) ?? compile(route);
        compiled.set(text, serialize);
        return serialize(value);
      };
    };
  };
}

/** All apps of a process have the same schemas, so they share what is compiled. */
const validators = validatorCompiler();
const serializers = lazySerializers();
