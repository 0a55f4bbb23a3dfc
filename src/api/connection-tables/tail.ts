import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger } from 'fastify';
import Type from 'typebox';
import type { ConnectorDefinition, Reachable } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { whileListening } from '../check.ts';
import type { Deps } from '../deps.ts';
import { Places } from '../places.ts';
import { problems } from '../problem.ts';
import { IdParams } from '../schemas.ts';
import { streamEvents } from '../sse.ts';
import { MessageEvents } from './message-event.ts';
import { Tail, TailQuery } from './tail-events.ts';
import { findTable } from './wire.ts';

/** At most so many run at a time in one process. */
const places = new Places(8, 'tails');
const tailResponse = Type.Unsafe<never>({
  description: 'Server-sent events, each a TailEvent, until the time or the number of messages is up',
  content: { 'text/event-stream': { schema: { $ref: 'TailEvent#' } } },
});

/** Looking at the messages of a table. */
export const tailTables =
  ({ db, catalog }: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.get(
      '/connection_tables/:id/tail',
      {
        exposeHeadRoute: false,
        config: { role: 'operator' },
        schema: {
          operationId: 'tailConnectionTable',
          summary: 'Look at the messages of a source table as they arrive',
          description:
            'Streams the rows that messages become, with their metadata, and bad messages with what is wrong with them. ' +
            'It reads beside the pipelines and takes nothing from them: under an identity of its own, at QoS 0, of a ' +
            'shared subscription the filter alone. Nothing is stored, and nothing is left behind.',
          tags: ['connection_tables'],
          params: IdParams,
          querystring: TailQuery,
          response: { 200: tailResponse, ...problems(400, 404) },
        },
      },
      async (request, reply) => {
        const { params, query } = request;
        const row = await findTable(db, params.id);
        const connector = connectorFor(row.connector);
        refuseSink(row.tableType);
        const config = row.connectionProfile ? catalog.profile(row.connectionProfile) : {};
        const tailed = {
          connector,
          ...catalog.resolve(connector, config),
          table: JSON.parse(row.config),
          schema: expandSchema(JSON.parse(row.schema ?? '{}') as ConnectionSchema),
        };
        const gone = whileListening(reply);
        const events = await startTail(tailed, query, gone, request.log);
        if (gone.aborted) return reply.hijack();
        return streamEvents(request, reply, () => events);
      },
    );
  };

/** Throws when a table is written to. */
export function refuseSink(direction: string, path = ''): void {
  if (direction === 'source') return;
  const message = 'is a sink: only the messages of a source can be looked at';
  throw new PenstockError('invalid_request', `The table ${message}`, {
    hint: 'Create a source table on the same topic to look at what is written there.',
    errors: [{ path, message }],
  });
}

interface Tailed extends Reachable<unknown> {
  connector: ConnectorDefinition;
  table: unknown;
  schema: ConnectionSchema;
}

/**
 * Answers its events once messages can arrive; none when the client has gone away by then. Throws what went wrong until
 * then, and `too_many_requests`.
 */
async function startTail(
  { connector, profile, targets, table, schema }: Tailed,
  query: TailQuery,
  gone: AbortSignal,
  log: FastifyBaseLogger,
): Promise<AsyncIterable<string>> {
  const tail = new Tail(new MessageEvents(connector, schema), query);
  const leave = places.take();
  const listening = Promise.withResolvers<void>();
  const signal = AbortSignal.any([gone, tail.over]);
  const watching = connector.watch
    ? connector.watch({
        profile,
        targets,
        table,
        signal,
        listening() {
          tail.start(connector.describe(profile));
          listening.resolve();
        },
        deliver: (message) => tail.deliver(message),
      })
    : Promise.reject(new PenstockError('invalid_request', `Messages of ${connector.id} cannot be looked at`));
  void watching
    .catch((error: unknown) => {
      listening.reject(error);
      const { code } = tail.end(error);
      if (code === 'internal' && !gone.aborted) log.error({ err: error }, 'tail failed');
    })
    .finally(leave);
  try {
    await listening.promise;
  } catch (error) {
    if (!gone.aborted) throw error;
  }
  return tail.events;
}
