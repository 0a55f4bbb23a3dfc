import { expect } from 'vitest';
import { until } from './until.ts';

/** A caller that reads server-sent events as they arrive. */
export class EventReader<T extends object = Record<string, unknown>> {
  readonly events: T[] = [];
  /** All that was sent, as it was sent. */
  text = '';
  readonly #caller = new AbortController();
  readonly #over: Promise<void>;
  #failure: unknown;

  constructor(address: string, headers: Record<string, string> = {}) {
    this.#over = this.#read(address, headers);
    this.#over.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  async has(what: string, found: (event: T) => boolean, ms = 60_000): Promise<T> {
    const has = (): boolean => {
      if (this.events.some(found)) return true;
      if (this.#failure !== undefined) throw new Error(`No ${what}`, { cause: this.#failure });
      return false;
    };
    await until(what, has, ms);
    return this.events.find(found) as T;
  }

  /** Reads to the end, and returns the last event. */
  async last(): Promise<T> {
    await this.#over;
    return this.events.at(-1) as T;
  }

  async hangUp(): Promise<void> {
    this.#caller.abort();
    await this.#over.catch(() => {});
  }

  async #read(address: string, headers: Record<string, string>): Promise<void> {
    const response = await fetch(address, { headers, signal: this.#caller.signal });
    if (response.status !== 200) throw new Error(await response.text());
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    let rest = '';
    const decoder = new TextDecoder();
    for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
      const text = decoder.decode(chunk, { stream: true });
      this.text += text;
      const frames = (rest + text).split('\n\n');
      rest = frames.pop() ?? '';
      for (const frame of frames)
        if (frame.startsWith('data: ')) this.events.push(JSON.parse(frame.slice('data: '.length)));
    }
  }
}
