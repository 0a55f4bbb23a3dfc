import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Fastify, { type FastifyInstance } from 'fastify';
import Type from 'typebox';
import { databaseFailure } from '../store/db.ts';
import { guard } from './api-keys.ts';
import type { Deps } from './deps.ts';
import {
  explainParserErrors,
  loggedRequest,
  pathOf,
  readJsonOnly,
  refuseOddRequests,
  sendCommonHeaders,
  unrouted,
} from './http.ts';
import { serverLimits, setLimits } from './limits.ts';
import { Problem, problems, sendProblem } from './problem.ts';

const Status = Type.Object({ status: Type.Literal('ok') }, { examples: [{ status: 'ok' }] });

export const health =
  (deps: Pick<Deps, 'db' | 'metrics'>): FastifyPluginAsyncTypebox =>
  async (app) => {
    const schema = (operationId: string, summary: string) => ({
      operationId,
      summary,
      tags: ['operation'],
      security: [],
    });

    app.get(
      '/api/v1/ping',
      {
        schema: {
          ...schema('ping', 'Return Pong'),
          response: { 200: Type.String({ examples: ['Pong'] }), ...problems() },
        },
      },
      async (_request, reply) => reply.type('application/json').send(JSON.stringify('Pong')),
    );

    app.get(
      '/healthz',
      {
        logLevel: 'warn',
        schema: {
          ...schema('getHealth', 'Check that the process is alive'),
          response: { 200: Status, ...problems() },
        },
      },
      async () => ({ status: 'ok' as const }),
    );

    app.get(
      '/readyz',
      {
        logLevel: 'warn',
        schema: {
          ...schema('getReadiness', 'Check whether the service can handle requests, writes included'),
          response: { 200: Status, ...problems(503) },
        },
      },
      async () => {
        const failure = await databaseFailure(deps.db);
        if (failure) throw failure;
        return { status: 'ok' as const };
      },
    );

    app.get(
      '/metrics',
      {
        logLevel: 'warn',
        schema: {
          operationId: 'getMetrics',
          summary: 'Get the metrics in the Prometheus text format',
          tags: ['operation'],
          produces: ['text/plain'],
          response: {
            200: {
              description: 'Metrics',
              content: { 'text/plain': { schema: Type.String({ examples: ['up 1'] }) } },
            },
            ...problems(),
          },
        },
      },
      async (_request, reply) => reply.type(deps.metrics.contentType).send(await deps.metrics.metrics()),
    );
  };

/** Builds the listener of a process without the API: health checks for everybody, metrics with a key as in the API. */
export async function buildHealthApp(
  deps: Pick<Deps, 'db' | 'logger' | 'metrics' | 'keys' | 'limits'>,
): Promise<FastifyInstance> {
  let explain: ReturnType<typeof explainParserErrors> | undefined;
  const app = Fastify({
    loggerInstance: deps.logger.child({}, { serializers: { req: loggedRequest } }),
    rewriteUrl: pathOf,
    clientErrorHandler: (error, socket) => explain?.(error, socket),
    bodyLimit: 1024,
    requestTimeout: 30_000,
    forceCloseConnections: true,
    frameworkErrors: sendProblem,
    requestIdHeader: false,
    http: serverLimits,
  });
  app.server.maxConnections = 100;
  readJsonOnly(app);
  const noRoute = unrouted(
    app,
    'A worker serves /healthz, /readyz and /metrics only. Send requests of the API to a process with the role api or all.',
  );
  explain = explainParserErrors(app, noRoute);
  app.setErrorHandler(sendProblem);
  app.setNotFoundHandler(({ method, url }) => {
    throw noRoute(method, url.split('?')[0] as string);
  });
  sendCommonHeaders(app);
  guard(app, deps.keys, await setLimits(app, deps.limits));
  refuseOddRequests(app);
  app.addSchema(Problem);
  await app.register(health(deps));
  return app;
}
