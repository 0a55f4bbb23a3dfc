import {
  type Asked,
  accepted,
  Client,
  Foreign,
  frames,
  type Name,
  Refused,
} from '../../../examples/typed-client/client.ts';
import { type Operations, operations } from '../../../examples/typed-client/types.ts';
import { setClock } from './clock.ts';

/** The way to the API: the typed client that anyone may copy, with the key of this tab. */

export type * from '../../../examples/typed-client/types.ts';
export { type Asked, type Name, type Operations, operations, Refused };

/** Folder of the page, without its final slash: the API is below it, also behind a proxy with a prefix. */
export const base = new URL('.', location.href.split('#')[0]).href.replace(/\/$/, '');

const storedAs = 'penstock.key';
let key = sessionStorage.getItem(storedAs) ?? undefined;

/** It also tells the time of Penstock. */
class OwnClient extends Client {
  override async send<N extends Name>(name: N, asked: Asked<N>, accept: string): Promise<Response> {
    const response = await super.send(name, asked, accept);
    setClock(response.headers.get('date'));
    return response;
  }
}

let client = new OwnClient(base, key);

/** Keeps the key for this tab only, until it is closed. Undefined forgets it. */
export function keepKey(given: string | undefined): void {
  key = given;
  if (given === undefined) sessionStorage.removeItem(storedAs);
  else sessionStorage.setItem(storedAs, given);
  client = new OwnClient(base, given);
}

/** Options of a query whose answer is read once. */
export const unchanging = { staleTime: Number.POSITIVE_INFINITY, refetchInterval: false } as const;

export const hasKey = (): boolean => key !== undefined;

/** Throws `Refused` with the problem, `Foreign`, or `Unreachable`. */
export const call = <N extends Name>(name: N, asked: Asked<N>): Promise<Operations[N]['answer']> =>
  reached(client.call(name, asked));

export const callWithTag = <N extends Name>(
  name: N,
  asked: Asked<N>,
): Promise<{ answer: Operations[N]['answer']; etag: string | null }> =>
  reached(client.callWithTag(name, asked));

/** Text of a response, for values that JSON.parse would round. */
export const callText = async <N extends Name>(name: N, asked: Asked<N>, accept: string): Promise<string> =>
  (await reached(client.send(name, asked, accept))).text();

/** Sends a bundle as a person wrote it, so that errors name its lines. Returns the text of the response. */
export const applyText = async (
  text: string,
  contentType: 'application/json' | 'application/yaml',
  query: Operations['apply']['query'],
): Promise<string> => {
  const given = Object.entries(query).map(([name, value]): [string, string] => [name, `${value}`]);
  const headers = {
    'content-type': contentType,
    ...(key === undefined ? {} : { authorization: `Bearer ${key}` }),
  };
  const sent = fetch(`${base}${operations.apply[1]}?${new URLSearchParams(given)}`, {
    method: 'POST',
    headers,
    body: text,
  });
  return (await reached(sent.then(accepted))).text();
};

export class Unreachable extends Error {
  constructor(cause: unknown) {
    super('Penstock cannot be reached. It may be restarting, or the network is down.', { cause });
  }
}

/** Status of the response that is this error. Undefined if there was no response. */
export function statusOf(error: unknown): number | undefined {
  if (error instanceof Refused) return error.problem.status;
  return error instanceof Foreign ? error.status : undefined;
}

async function reached<T>(response: Promise<T>): Promise<T> {
  try {
    return await response;
  } catch (error) {
    if (error instanceof Refused || (error as Error).name === 'AbortError') throw error;
    const away = error instanceof Foreign && [502, 503, 504].includes(error.status);
    // fetch fails with a TypeError, and JSON that was cut off with a SyntaxError.
    throw away || error instanceof TypeError || error instanceof SyntaxError ? new Unreachable(error) : error;
  }
}

/** Frames of a stream, comments included, as text. Leaving the loop closes it. Throws as `call` does. */
export async function* follow<N extends Name>(name: N, asked: Asked<N>): AsyncGenerator<string> {
  const response = await reached(client.send(name, asked, 'text/event-stream'));
  try {
    yield* frames(response);
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new Unreachable(error);
  }
}
