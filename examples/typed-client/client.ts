import { type Operations, operations, type Problem } from './types.ts';

/** A client of Penstock with types for every request and response of the API. It only needs fetch. */

export type Name = keyof Operations;
/** Parts that an operation lacks, or that are all optional, may be omitted. `signal` ends the request early. */
export type Asked<N extends Name> = Part<N, 'params'> &
  Part<N, 'query'> &
  Part<N, 'headers'> &
  Part<N, 'body'> & { signal?: AbortSignal | undefined };
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

/** A response that is not of Penstock, such as the page of a proxy before it. */
export class Foreign extends Error {
  readonly status: number;

  constructor({ status, url }: Response) {
    super(`${new URL(url).origin} responded with status ${status}, but not as Penstock does.`);
    this.status = status;
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

  /** Throws `Refused`, `Foreign`, or the error of fetch if Penstock cannot be reached. */
  async call<N extends Name>(name: N, asked: Asked<N>): Promise<Operations[N]['answer']> {
    return (await this.callWithTag(name, asked)).answer;
  }

  /** Also returns the ETag, to send as `if-match` with a later change. */
  async callWithTag<N extends Name>(
    name: N,
    asked: Asked<N>,
  ): Promise<{ answer: Operations[N]['answer']; etag: string | null }> {
    const response = await this.send(name, asked, 'application/json');
    const isJson = response.headers.get('content-type')?.includes('json');
    const answer = (isJson ? await response.json() : await response.text()) as Operations[N]['answer'];
    return { answer, etag: response.headers.get('etag') };
  }

  /** The events of a stream as they arrive. Leaving the loop closes the stream. */
  async *follow<N extends Name>(name: N, asked: Asked<N>): AsyncGenerator<Operations[N]['events']> {
    const response = await this.send(name, asked, 'text/event-stream');
    for await (const frame of frames(response))
      if (frame.startsWith('data: ')) yield JSON.parse(frame.slice(6));
  }

  /** The response itself. Throws as `call` does. */
  async send<N extends Name>(name: N, asked: Asked<N>, accept: string): Promise<Response> {
    type Parts = Record<string, Record<string, string | undefined>>;
    const { signal, ...parts } = asked;
    const { params = {}, query = {}, headers = {}, body } = parts as Parts;
    const [method, template] = operations[name];
    const path = template.replaceAll(/\{(\w+)\}/g, (_, part: string) =>
      encodeURIComponent(params[part] ?? ''),
    );
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined);
    const search = given.length > 0 ? `?${new URLSearchParams(given)}` : '';
    const response = await fetch(`${this.#address}${path}${search}`, {
      method,
      headers: {
        ...(headers as Record<string, string>),
        accept,
        ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
    return accepted(response);
  }
}

/** The response, if it is not an error. Throws `Refused` or `Foreign`. */
export async function accepted(response: Response): Promise<Response> {
  const type = response.headers.get('content-type') ?? '';
  if (!response.ok && type.includes('application/problem+json'))
    throw new Refused((await response.json()) as Problem);
  // Penstock has no page that an operation returns, but a proxy has one for logging in.
  if (!response.ok || type.includes('text/html')) throw new Foreign(response);
  return response;
}

/** The frames of server-sent events: data, or comments that only keep the stream open. */
export async function* frames({ body }: Response): AsyncGenerator<string> {
  if (body === null) return;
  // Not every browser can iterate over a stream.
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const complete = (text + next.value).split(/\r?\n\r?\n/);
      text = complete.pop() ?? '';
      yield* complete;
    }
  } finally {
    // It only fails if reading has failed.
    await reader.cancel().catch(() => {});
  }
}
