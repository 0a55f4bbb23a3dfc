export class Refused extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(problem.detail);
    this.problem = problem;
  }
}

interface Problem {
  status: number;
  code: string;
  detail: string;
  hint: string | null;
  errors: { path: string; message: string }[];
}

/** No response, or none from Penstock. */
export class Unreachable extends Error {}

interface Call {
  method?: 'GET' | 'POST' | 'DELETE';
  query?: Record<string, string | undefined>;
  body?: { type: string; text: string };
}

const answerWithinMs = 60_000;

/** A client of Penstock's API. Every call throws `Refused` or `Unreachable`. */
export class Server {
  readonly #base: URL;
  readonly #key: string | undefined;

  /** `base` is an http or https address, without the path of the API. */
  constructor(base: URL, key: string | undefined) {
    this.#base = base;
    this.#key = key;
  }

  async json<T>(path: string, call: Call = {}): Promise<T> {
    const text = await this.text(path, call);
    try {
      return JSON.parse(text) as T;
    } catch {
      throw this.#notPenstock();
    }
  }

  async text(path: string, call: Call = {}): Promise<string> {
    const response = await this.#ask(path, call, 'application/json', AbortSignal.timeout(answerWithinMs));
    return this.#reading(() => response.text());
  }

  async *events(path: string, call: Call = {}): AsyncGenerator<string> {
    const response = await this.#ask(path, call, 'text/event-stream', null);
    if (!response.body) throw this.#notPenstock();
    const events = eventsIn(response.body);
    for (;;) {
      const { done, value } = await this.#reading(() => events.next());
      if (done) return;
      yield value;
    }
  }

  async #ask(
    path: string,
    { method = 'GET', query = {}, body }: Call,
    accept: string,
    signal: AbortSignal | null,
  ): Promise<Response> {
    const url = new URL(`api/v1${path}`, this.#base);
    for (const [name, value] of Object.entries(query))
      if (value !== undefined) url.searchParams.set(name, value);
    const headers: Record<string, string> = { accept };
    if (this.#key !== undefined) headers.authorization = `Bearer ${this.#key}`;
    if (body) headers['content-type'] = body.type;
    // A redirect would receive the key too, or turn a write into a GET.
    const redirect = 'error' as const;
    const response = await this.#reading(() =>
      fetch(url, { method, headers, redirect, signal, ...(body && { body: body.text }) }),
    );
    if (response.ok) return response;
    throw await this.#refusal(response);
  }

  async #refusal(response: Response): Promise<Error> {
    const text = await this.#reading(() => response.text());
    if (!(response.headers.get('content-type') ?? '').startsWith('application/problem+json'))
      return this.#notPenstock(`HTTP ${response.status}`);
    return new Refused(JSON.parse(text) as Problem);
  }

  async #reading<T>(read: () => Promise<T>): Promise<T> {
    try {
      return await read();
    } catch (error) {
      const { message, name, cause } = error as Error & { cause?: Error };
      const why =
        name === 'TimeoutError' ? `no response within ${answerWithinMs / 1000} s` : cause?.message || message;
      throw new Unreachable(`${this.#base.origin} cannot be reached: ${why}`);
    }
  }

  #notPenstock(reason = 'unexpected response'): Unreachable {
    return new Unreachable(`${this.#base.origin} is not Penstock: ${reason}`);
  }
}

/** Maximum length of an event; ours are far shorter. */
const maxCharacters = 16 * 1024 * 1024;

/** Reads server-sent events (WHATWG HTML, 9.2) and yields the data of each. Skips comments and other fields. */
export async function* eventsIn(body: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  let rest = '';
  let data: string[] = [];
  for await (const text of body.pipeThrough(new TextDecoderStream() as never) as ReadableStream<string>) {
    rest += text;
    if (rest.length > maxCharacters) throw new Error('an event has no end');
    // The last line may be incomplete, and a final carriage return may be half a line break.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() as string;
    for (const line of lines) {
      if (line.startsWith('data:')) data.push(line.slice(line[5] === ' ' ? 6 : 5));
      if (line !== '' || data.length === 0) continue;
      yield data.join('\n');
      data = [];
    }
  }
  return undefined;
}
