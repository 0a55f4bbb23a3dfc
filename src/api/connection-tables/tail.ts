import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition, Watched } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { asPenstockError, PenstockError } from '../../errors.ts';
import type { ConnectionSchema } from '../../formats/schema.ts';
import { whileListening } from '../check.ts';
import type { Deps } from '../deps.ts';
import { EventQueue } from '../event-queue.ts';
import { Places } from '../places.ts';
import { problems } from '../problem.ts';
import { IdParams, strict } from '../schemas.ts';
import { streamEvents } from '../sse.ts';
import { MessageEvents, messageProperties, rowExample } from './message-event.ts';
import { findTable } from './wire.ts';

/** At most so many run at a time in one process. */
const places = new Places(8, 'tails');
/** So many events wait for a client that reads slowly; what comes meanwhile is left out. */
const mostWaiting = 50;

const TailQuery = Type.Object(
  {
    seconds: Type.Integer({ minimum: 1, maximum: 600, default: 60, description: 'How long to look' }),
    rows: Type.Integer({ minimum: 1, maximum: 10_000, default: 1000, description: 'Most messages to show' }),
    rows_per_second: Type.Integer({
      minimum: 1,
      maximum: 100,
      default: 20,
      description: 'Most messages to show in a second; how many were left out is told once a second',
    }),
  },
  strict,
);

const counts = {
  messages: Type.Integer({ description: 'Arrived' }),
  rows: Type.Integer({ description: 'Shown as rows' }),
  bad_messages: Type.Integer({ description: 'Shown with what is wrong with them' }),
  left_out: Type.Integer({ description: 'Not shown, because there were too many' }),
};

/** One event of a tail. */
export const TailEvent = Type.Object(
  {
    error: Type.Boolean({
      description: 'Whether the message is bad, or in the last event why the tail ended early',
    }),
    done: Type.Boolean({ description: 'Whether this is the last event' }),
    message: Type.String(),
    name: Type.Enum(['listening', 'row', 'bad_message', 'left_out', 'summary'], {
      description:
        'listening: messages that arrive from now on are seen. row, bad_message: one message. left_out: messages were ' +
        'not shown. summary: the last event',
    }),
    hint: Type.Optional(Type.Union([Type.String(), Type.Null()])),
    ...messageProperties,
    left_out: Type.Optional(Type.Integer({ description: 'left_out: how many since the last such event' })),
    counts: Type.Optional(Type.Object(counts, { description: 'summary' })),
  },
  { $id: 'TailEvent', examples: [rowExample] },
);

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
          response: { 200: tailResponse, ...problems(400, 404, 429) },
        },
      },
      async ({ params, query }, reply) => {
        const row = await findTable(db, params.id);
        const connector = connectorFor(row.connector);
        refuseSink(row.tableType);
        const config = row.connectionProfile ? catalog.profile(row.connectionProfile) : {};
        const tailed = {
          connector,
          profile: catalog.resolve(connector, config),
          table: JSON.parse(row.config),
          schema: JSON.parse(row.schema ?? '{}') as ConnectionSchema,
        };
        const gone = whileListening(reply);
        const events = await startTail(tailed, query, gone);
        if (gone.aborted) return reply.hijack();
        return streamEvents(reply, events);
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

interface Tailed {
  connector: ConnectorDefinition;
  profile: unknown;
  table: unknown;
  schema: ConnectionSchema;
}

/**
 * Answers its events once messages can arrive; none when the client has gone away by then. Throws what went wrong until
 * then, and `too_many_requests`.
 */
async function startTail(
  { connector, profile, table, schema }: Tailed,
  query: Static<typeof TailQuery>,
  gone: AbortSignal,
): Promise<AsyncIterable<string>> {
  const tail = new Tail(new MessageEvents(connector, schema), query);
  const leave = places.take();
  const listening = Promise.withResolvers<void>();
  const signal = AbortSignal.any([gone, tail.over]);
  const watching = connector.watch
    ? connector.watch({
        profile,
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
      tail.end(error);
    })
    .finally(leave);
  try {
    await listening.promise;
  } catch (error) {
    if (!gone.aborted) throw error;
  }
  return tail.events;
}

/** Decides what is shown, and counts. */
class Tail {
  readonly events = new EventQueue<string>();
  readonly #shown: MessageEvents;
  readonly #query: Static<typeof TailQuery>;
  readonly #over = new AbortController();
  readonly #startedAt = performance.now();
  readonly #counts = { messages: 0, rows: 0, bad_messages: 0, left_out: 0 };
  #second = 0;
  #inSecond = 0;
  /** Left out, and not told yet. */
  #untold = 0;
  #timers: NodeJS.Timeout[] = [];

  constructor(shown: MessageEvents, query: Static<typeof TailQuery>) {
    this.#shown = shown;
    this.#query = query;
  }

  /** Aborts when enough was seen. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** The time begins to count. */
  start(address: string): void {
    if (this.#over.signal.aborted) return;
    const { seconds } = this.#query;
    this.#add({ error: false, done: false, name: 'listening', message: `Listening at ${address}` });
    this.#timers = [
      setTimeout(() => this.#over.abort(enough), seconds * 1000),
      setInterval(() => this.#tellLeftOut(), 1000),
    ];
  }

  deliver(message: Watched): void {
    if (this.#over.signal.aborted) return;
    this.#counts.messages += 1;
    if (!this.#hasRoom()) {
      this.#counts.left_out += 1;
      this.#untold += 1;
      return;
    }
    const { bad, json } = this.#shown.show(message);
    this.#counts[bad ? 'bad_messages' : 'rows'] += 1;
    this.events.add(json);
    if (this.#counts.rows + this.#counts.bad_messages >= this.#query.rows) this.#over.abort(enough);
  }

  /** Adds the last event. `error` is why nothing comes any more. */
  end(error: unknown): void {
    for (const timer of this.#timers) clearInterval(timer);
    this.#tellLeftOut();
    const { rows, bad_messages, left_out } = this.#counts;
    const { code, message, hint } = error === enough ? ended : asPenstockError(error);
    const sum = `${rows} rows, ${bad_messages} bad messages, ${left_out} left out`;
    const said = error === enough ? sum : `${message} (${sum})`;
    const summary = {
      error: error !== enough,
      done: true,
      name: 'summary',
      message: said,
      code,
      hint: hint ?? null,
    };
    this.#add({ ...summary, counts: this.#counts });
    this.events.end();
  }

  #hasRoom(): boolean {
    const second = Math.floor((performance.now() - this.#startedAt) / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    if (this.events.length >= mostWaiting || this.#inSecond >= this.#query.rows_per_second) return false;
    this.#inSecond += 1;
    return true;
  }

  #tellLeftOut(): void {
    if (this.#untold === 0 || this.events.length >= mostWaiting) return;
    const message = `${this.#untold} messages were left out`;
    this.#add({ error: false, done: false, name: 'left_out', message, left_out: this.#untold });
    this.#untold = 0;
  }

  #add(event: object): void {
    this.events.add(JSON.stringify(event));
  }
}

/** Why a tail ends that was not cut short. */
const enough = new Error('enough');
const ended = { code: null, message: '', hint: null };
