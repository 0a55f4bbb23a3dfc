import type { ConnectorDefinition, Reachable, Watched } from '../../connectors/connector.ts';
import { PenstockError } from '../../errors.ts';
import { SchemaInference } from '../../formats/infer/infer-schema.ts';
import type { JsonObject } from '../../security/config-secrets.ts';

/** Messages that are taken as they arrive, to learn from. */

/** After so many bytes of payload enough was seen. */
const maxBytes = 8 * 1024 * 1024;
/** How many messages are kept. */
export const previewed = 10;

export interface Sampled extends Reachable<JsonObject> {
  connector: ConnectorDefinition;
  table: JsonObject;
}

/** Why sampling ends that was not cut short. */
const enough = new Error('enough');

/** What is kept of the messages that arrive. */
export class Sample {
  readonly inference = new SchemaInference();
  /** Those to show. */
  readonly first: Watched[] = [];
  messages = 0;
  bytes = 0;
  /** Why there are not more, when that is neither the number nor the time. */
  lost: PenstockError | undefined;
  readonly #most: number;
  readonly #over = new AbortController();
  #since: number | undefined;
  #until: number | undefined;

  constructor(most: number) {
    this.#most = most;
  }

  /** Aborts when there is enough. */
  get over(): AbortSignal {
    return this.#over.signal;
  }

  /** From when messages could arrive until there was enough; undefined when they never could. */
  get elapsedMs(): number | undefined {
    return this.#since === undefined
      ? undefined
      : Math.round((this.#until ?? performance.now()) - this.#since);
  }

  readonly listening = (): void => {
    this.#since ??= performance.now();
  };

  readonly deliver = (message: Watched): void => {
    if (this.#over.signal.aborted) return;
    this.listening();
    this.messages += 1;
    this.bytes += message.payload.length;
    this.inference.observe(message.payload);
    if (this.first.length < previewed) this.first.push(message);
    if (this.messages >= this.#most || this.bytes >= maxBytes) this.stop();
  };

  readonly stop = (): void => {
    this.#until ??= performance.now();
    this.#over.abort(enough);
  };
}

/**
 * Waits for so many messages for so long. Throws what went wrong before the first one, unless it is only that none
 * came.
 */
export async function takeSample(
  { connector, profile, targets, table }: Sampled,
  { messages, timeoutMs }: { messages: number; timeoutMs: number },
  gone: AbortSignal,
): Promise<Sample> {
  const sample = new Sample(messages);
  const { listening, deliver } = sample;
  const timer = setTimeout(sample.stop, timeoutMs);
  try {
    const signal = AbortSignal.any([gone, sample.over]);
    await connector.watch?.({ profile, targets, table, signal, listening, deliver });
    throw new PenstockError('invalid_request', `Messages of ${connector.id} cannot be looked at`);
  } catch (error) {
    if (gone.aborted || (error !== enough && sample.messages === 0)) throw error;
    if (sample.elapsedMs === undefined) throw tooSlow(timeoutMs);
    if (error instanceof PenstockError) sample.lost = error;
    else if (error !== enough) throw error;
  } finally {
    clearTimeout(timer);
  }
  return sample;
}

const tooSlow = (timeoutMs: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not take a subscription within ${timeoutMs} ms`, {
    hint: 'Test the connection to see which step takes long, or allow more time with timeout_ms, up to 60000.',
  });
