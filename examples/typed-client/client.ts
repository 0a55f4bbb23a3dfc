import { type Operations, operations, type Problem } from './types.ts';

/** A client of Penstock with types for every request and response of the API. It only needs fetch. */

type Name = keyof Operations;
/** Parts that an operation lacks, or that are all optional, may be omitted. */
type Asked<N extends Name> = Part<N, 'params'> & Part<N, 'query'> & Part<N, 'headers'> & Part<N, 'body'>;
type Part<
  N extends Name,
  P extends 'params' | 'query' | 'headers' | 'body',
> = undefined extends Operations[N][P]
  ? { [K in P]?: Operations[N][P] }
  : Record<string, never> extends Operations[N][P]
    ? { [K in P]?: Operations[N][P] }
    : { [K in P]: Operations[N][P] };

/** An error response of Penstock: `problem.code` is for programs, the rest for people. */
export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super([problem.detail, problem.hint].filter(Boolean).join(' '));
    this.problem = problem;
  }
}

export class Client {
  readonly #address: string;
  readonly #key: string | undefined;

  /** `key` is an API key, if Penstock requires one. */
  constructor(address: string, key?: string) {
    this.#address = address;
    this.#key = key;
  }

  /** Throws `Refused`, or the error of fetch if Penstock cannot be reached. */
  async call<N extends Name>(name: N, asked: Asked<N>): Promise<Operations[N]['answer']> {
    const response = await this.#send(name, asked, 'application/json');
    const isJson = response.headers.get('content-type')?.includes('json');
    return (isJson ? await response.json() : await response.text()) as Operations[N]['answer'];
  }

  /** The events of a stream as they arrive. Leaving the loop closes the stream. */
  async *follow<N extends Name>(name: N, asked: Asked<N>): AsyncGenerator<Operations[N]['events']> {
    const { body } = await this.#send(name, asked, 'text/event-stream');
    let text = '';
    for await (const chunk of (body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
      const frames = (text + chunk).split('\n\n');
      text = frames.pop() ?? '';
      for (const frame of frames) if (frame.startsWith('data: ')) yield JSON.parse(frame.slice(6));
    }
  }

  async #send<N extends Name>(name: N, asked: Asked<N>, accept: string): Promise<Response> {
    const { params = {}, query = {}, headers = {}, body } = asked as Record<string, Record<string, string>>;
    const [method, template] = operations[name];
    const path = template.replaceAll(/\{(\w+)\}/g, (_, part: string) =>
      encodeURIComponent(params[part] ?? ''),
    );
    const response = await fetch(`${this.#address}${path}?${new URLSearchParams(query)}`, {
      method,
      headers: {
        ...headers,
        accept,
        ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Refused((await response.json()) as Problem);
    return response;
  }
}
