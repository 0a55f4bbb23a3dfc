import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import type { FastifyBaseLogger } from 'fastify';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition, Reachable, Watched } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { openSchemas } from '../../connectors/schema-registry/schemas.ts';
import { type AnyErrorCode, asPenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import type { Deps } from '../deps.ts';
import { enough, PerSecond, refuseSink, Slots, watchSource, whenReady } from '../live.ts';
import { problems } from '../problem.ts';
import { IdParams, nullable, strict } from '../schemas.ts';
import { clientGone, EventQueue, streamEvents } from '../sse.ts';
import { MessageEvents, messageProperties, rowExample } from './message-event.ts';
import { findTable } from './wire.ts';

const places = new Slots(8, 'tails');
/** Maximum number of characters that wait for a slow client; further messages are left out. */
const maxWaiting = 1024 * 1024;

const TailQuery = Type.Object(
  {
    seconds: Type.Integer({ minimum: 1, maximum: 600, default: 60, description: 'Duration of the tail' }),
    rows: Type.Integer({
      minimum: 1,
      maximum: 10_000,
      default: 1000,
      description: 'Maximum number of messages to show',
    }),
    rows_per_second: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 20,
      description: 'Maximum number of messages to show per second. An event once a second counts the others',
    }),
  },
  strict,
);
type TailQuery = Static<typeof TailQuery>;

const counts = {
  messages: Type.Integer({ description: 'Messages received' }),
  rows: Type.Integer({ description: 'Rows shown' }),
  bad_messages: Type.Integer({ description: 'Bad messages shown' }),
  left_out: Type.Integer({ description: 'Messages not shown because there were too many' }),
};

export const TailEvent = Type.Object(
  {
    error: Type.Boolean({
      description: 'Whether the message is bad. In the last event: whether the tail ended early',
    }),
    done: Type.Boolean({ description: 'Whether this is the last event' }),
    message: Type.String(),
    name: Type.Enum(['listening', 'row', 'bad_message', 'left_out', 'summary'], {
      description:
        'listening: the subscription is active. row, bad_message: one message. left_out: some messages were not shown. ' +
        'summary: the last event',
    }),
    hint: Type.Optional(nullable(Type.String())),
    ...messageProperties,
    left_out: Type.Optional(
      Type.Integer({ description: 'left_out: number of messages since the last such event' }),
    ),
    counts: Type.Optional(Type.Object(counts, { description: 'summary: totals' })),
  },
  { $id: 'TailEvent', examples: [rowExample] },
);

const tailResponse = Type.Unsafe<never>({
  description: 'Server-sent events, each a TailEvent, until the time or the number of messages is reached',
  content: { 'text/event-stream': { schema: { $ref: 'TailEvent#' } } },
});

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
          summary: 'Watch the messages of a source table as they arrive',
          description:
            'Streams messages as rows with their metadata, and bad messages with what is wrong. It takes nothing from ' +
            'the pipelines: it reads under its own client id, at QoS 0, and uses only the filter of a shared ' +
            'subscription. Nothing is stored.',
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
        const source = {
          connector,
          ...catalog.resolve(connector, config),
          table: catalog.resolveTable(connector, catalog.tableConfig(row)),
          schema: expandSchema(JSON.parse(row.schema ?? '{}') as ConnectionSchema),
        };
        const gone = clientGone(reply);
        const events = await startTail(source, query, gone, request.log);
        if (gone.aborted) return reply.hijack();
        return streamEvents(request, reply, () => events);
      },
    );
  };

interface TailedSource extends Reachable<unknown> {
  connector: ConnectorDefinition;
  table: unknown;
  schema: ConnectionSchema;
}

/** Returns the events when the subscription is active or the client has left. Throws what failed before that. */
async function startTail(
  { connector, profile, targets, table, schema }: TailedSource,
  query: TailQuery,
  gone: AbortSignal,
  log: FastifyBaseLogger,
): Promise<AsyncIterable<string>> {
  const unexpected = (error: unknown): void => log.error({ err: error }, 'a message could not be shown');
  const failure = new AbortController();
  const schemas = openSchemas({ connector, profile, config: table, targets }, schema, gone);
  const shown = new MessageEvents(connector, schema, { schemas, unexpected });
  const tail = new Tail(shown, query);
  const leave = places.take();
  const subscribed = Promise.withResolvers<void>();
  const signal = AbortSignal.any([gone, tail.over, failure.signal]);
  const listening = (): void => {
    tail.start(connector.describe(profile));
    subscribed.resolve();
  };
  const deliver = whenReady<Watched>((messages) => shown.ready(messages), {
    deliver: (message) => tail.deliver(message),
    leftOut: () => tail.leaveOut(),
    failed: (error) => failure.abort(error),
  });
  void watchSource(connector, { profile, targets, table, schema, signal, listening, deliver })
    .catch((error: unknown) => {
      subscribed.reject(error);
      const { code } = tail.end(error);
      if (code === 'internal' && !gone.aborted) log.error({ err: error }, 'tail failed');
    })
    .finally(() => {
      leave();
      void schemas?.close();
    });
  try {
    await subscribed.promise;
  } catch (error) {
    if (!gone.aborted) throw error;
  }
  return tail.events;
}

export class Tail {
  readonly events = new EventQueue<string>((json) => json.length);
  readonly #messages: MessageEvents;
  readonly #query: TailQuery;
  readonly #rate: PerSecond;
  readonly #over = new AbortController();
  readonly #counts = { messages: 0, rows: 0, bad_messages: 0, left_out: 0 };
  #leftOutToReport = 0;
  #timers: NodeJS.Timeout[] = [];

  constructor(messages: MessageEvents, query: TailQuery) {
    this.#messages = messages;
    this.#query = query;
    this.#rate = new PerSecond(query.rows_per_second);
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** Starts the clock, once the subscription is active. */
  start(address: string): void {
    if (this.#over.signal.aborted) return;
    this.#add({ error: false, done: false, name: 'listening', message: `Listening at ${address}` });
    this.#timers = [
      setTimeout(() => this.#over.abort(enough), this.#query.seconds * 1000),
      setInterval(() => this.#reportLeftOut(), 1000),
    ];
  }

  deliver(message: Watched): void {
    if (this.#over.signal.aborted) return;
    this.#counts.messages += 1;
    if (this.events.size >= maxWaiting || this.#rate.take() === 0) {
      this.#leaveOut();
      return;
    }
    for (const { bad, json } of this.#messages.show(message)) {
      this.#counts[bad ? 'bad_messages' : 'rows'] += 1;
      this.events.add(json);
    }
    if (this.#counts.rows + this.#counts.bad_messages >= this.#query.rows) this.#over.abort(enough);
  }

  /** Counts a message that is not shown. */
  leaveOut(): void {
    if (this.#over.signal.aborted) return;
    this.#counts.messages += 1;
    this.#leaveOut();
  }

  #leaveOut(): void {
    this.#counts.left_out += 1;
    this.#leftOutToReport += 1;
  }

  /** Adds the last event, and returns the code in it. `error` is the reason for the end. */
  end(error: unknown): { code: AnyErrorCode | null } {
    for (const timer of this.#timers) clearInterval(timer);
    this.#reportLeftOut();
    const { rows, bad_messages, left_out } = this.#counts;
    const sum = `rows: ${rows}, bad messages: ${bad_messages}, left out: ${left_out}`;
    const failure = error === enough ? undefined : asPenstockError(error);
    const { code = null, hint = null } = failure ?? {};
    this.#add({
      error: failure !== undefined,
      done: true,
      name: 'summary',
      message: `${failure?.message ?? 'The tail is over'} (${sum})`,
      code,
      hint,
      counts: this.#counts,
    });
    this.events.end();
    return { code };
  }

  #reportLeftOut(): void {
    if (this.#leftOutToReport === 0 || this.events.size >= maxWaiting) return;
    const left_out = this.#leftOutToReport;
    const message = `Messages left out: ${left_out}`;
    this.#add({ error: false, done: false, name: 'left_out', message, left_out });
    this.#leftOutToReport = 0;
  }

  #add(event: object): void {
    this.events.add(JSON.stringify(event));
  }
}
