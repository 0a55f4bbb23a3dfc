import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import Type, { type Static } from 'typebox';
import type { Field } from '../../formats/schema/schema.ts';
import {
  type Delivery,
  defineConnector,
  type MetadataColumn,
  noProfile,
  type Source,
  type WatchContext,
} from '../connector.ts';

const ImpulseTable = Type.Object(
  {
    event_rate: Type.Number({
      title: 'Event Rate',
      description: 'Messages per second, of all tasks together',
      minimum: 0.001,
      maximum: 1_000_000,
    }),
    event_time_interval: Type.Optional(
      Type.Integer({
        title: 'Event Time Interval',
        description:
          'Microseconds between the timestamps of two messages. By default they come from the clock.',
        minimum: 0,
        maximum: 1_000_000_000_000,
      }),
    ),
    message_count: Type.Optional(
      Type.Integer({
        title: 'Message Count',
        description: 'Number of messages after which each task ends. By default tasks do not end.',
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      }),
    ),
  },
  { title: 'ImpulseTable', additionalProperties: false },
);
type ImpulseTable = Static<typeof ImpulseTable>;

const fields: Field[] = [
  { name: 'counter', type: 'int64', required: true },
  { name: 'subtask_index', type: 'int64', required: true },
];

const metadataColumns: MetadataColumn[] = [
  { name: 'timestamp', type: 'timestamp', description: 'When the message was made, or its event time' },
];

interface ImpulseOptions {
  table: ImpulseTable;
  taskIndex: number;
  window: number;
  signal: AbortSignal;
}

const nowMs = (): number => performance.timeOrigin + performance.now();

/** Makes messages by the clock. It remembers nothing: the counter of every source begins at 0. */
class ImpulseSource implements Source {
  readonly #options: ImpulseOptions;
  readonly #beganAt = nowMs();
  #made = 0;
  #unsettled = 0;
  #ended = false;
  #wake = (): void => {};

  constructor(options: ImpulseOptions) {
    options.signal.throwIfAborted();
    this.#options = options;
    options.signal.addEventListener('abort', this.#aborted);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery[]> {
    const { signal, table, window } = this.#options;
    const { event_rate, message_count = Number.POSITIVE_INFINITY } = table;
    while (!this.#ended && this.#made < message_count) {
      signal.throwIfAborted();
      const due = 1 + Math.floor(((nowMs() - this.#beganAt) * event_rate) / 1000);
      const room = window - this.#unsettled;
      const count = Math.min(due, message_count) - this.#made;
      if (count > 0 && room > 0) yield Array.from({ length: Math.min(count, room) }, () => this.#make());
      else await this.#pause(room > 0 ? this.#beganAt + (this.#made * 1000) / event_rate : undefined);
    }
    if (!this.#ended) signal.throwIfAborted();
  }

  async drain(): Promise<void> {
    this.#ended = true;
    this.#wake();
  }

  async close(): Promise<void> {
    await this.drain();
    this.#options.signal.removeEventListener('abort', this.#aborted);
  }

  readonly #aborted = (): void => this.#wake();

  /** Waits until `untilMs`, if given, or until an acknowledgement, `drain` or an abort. */
  async #pause(untilMs: number | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = untilMs && setTimeout(resolve, Math.max(1, untilMs - nowMs()));
    await promise;
    clearTimeout(timer);
  }

  #make(): Delivery {
    const { table, taskIndex } = this.#options;
    const counter = this.#made++;
    this.#unsettled += 1;
    const receivedAt = nowMs();
    const { event_time_interval: interval } = table;
    const micros =
      interval === undefined ? receivedAt * 1000 : Math.round(this.#beganAt * 1000) + interval * counter;
    return {
      payload: Buffer.from(`{"counter":${counter},"subtask_index":${taskIndex}}`),
      metadata: { timestamp: BigInt(Math.round(micros)) },
      receivedAt,
      ack: () => {
        this.#unsettled -= 1;
        this.#wake();
      },
    };
  }
}

async function watch({
  table,
  signal,
  listening,
  deliver,
  ended,
}: WatchContext<unknown, ImpulseTable>): Promise<never> {
  const source = new ImpulseSource({ table, taskIndex: 0, window: 1000, signal });
  listening();
  for await (const batch of source) {
    for (const delivery of batch) {
      deliver(delivery);
      delivery.ack();
    }
  }
  ended?.();
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason;
}

/** A source that generates messages at a constant rate, to try out pipelines without a broker. */
export const impulse = defineConnector({
  id: 'impulse',
  name: 'Impulse',
  description: 'Make messages at a constant rate',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: ImpulseTable,
  defaultSchema: { format: { type: 'json' }, fields },
  metadata: metadataColumns,
  describe: () => 'Impulse',
  direction: () => 'source',
  // Each task makes its share.
  shared: (table, _index, tasks) => ({ ...table, event_rate: table.event_rate / tasks }),
  watch,
  openSource: async ({ table, identity: { taskIndex }, window, signal }) =>
    new ImpulseSource({ table, taskIndex, window, signal }),
});
