import Type, { type Static } from 'typebox';
import type { Watched } from '../../connectors/connector.ts';
import { type AnyErrorCode, asPenstockError } from '../../errors.ts';
import { EventQueue } from '../event-queue.ts';
import { strict } from '../schemas.ts';
import { type MessageEvents, messageProperties, rowExample } from './message-event.ts';

/** What a tail answers. */

/** So many characters wait for a client that reads slowly; what comes meanwhile is left out. */
const maxWaiting = 1024 * 1024;

export const TailQuery = Type.Object(
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
export type TailQuery = Static<typeof TailQuery>;

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

/** Decides what is shown, and counts. */
export class Tail {
  readonly events = new EventQueue<string>((json) => json.length);
  readonly #shown: MessageEvents;
  readonly #query: TailQuery;
  readonly #over = new AbortController();
  readonly #startedAt = performance.now();
  readonly #counts = { messages: 0, rows: 0, bad_messages: 0, left_out: 0 };
  #second = 0;
  #inSecond = 0;
  /** Left out, and not told yet. */
  #untold = 0;
  #timers: NodeJS.Timeout[] = [];

  constructor(shown: MessageEvents, query: TailQuery) {
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
    for (const { bad, json } of this.#shown.show(message)) {
      this.#counts[bad ? 'bad_messages' : 'rows'] += 1;
      this.events.add(json);
    }
    if (this.#counts.rows + this.#counts.bad_messages >= this.#query.rows) this.#over.abort(enough);
  }

  /** Adds the last event. `error` is why nothing comes any more; answers the code that it was given there. */
  end(error: unknown): { code: AnyErrorCode | null } {
    for (const timer of this.#timers) clearInterval(timer);
    this.#tellLeftOut();
    const { rows, bad_messages, left_out } = this.#counts;
    const { code, message, hint } = error === enough ? ended : asPenstockError(error);
    const sum = `rows: ${rows}, bad messages: ${bad_messages}, left out: ${left_out}`;
    const said = error === enough ? `The tail is over (${sum})` : `${message} (${sum})`;
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
    return { code };
  }

  #hasRoom(): boolean {
    const second = Math.floor((performance.now() - this.#startedAt) / 1000);
    if (second !== this.#second) this.#inSecond = 0;
    this.#second = second;
    if (this.events.size >= maxWaiting || this.#inSecond >= this.#query.rows_per_second) return false;
    this.#inSecond += 1;
    return true;
  }

  #tellLeftOut(): void {
    if (this.#untold === 0 || this.events.size >= maxWaiting) return;
    const message = `Messages left out: ${this.#untold}`;
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
