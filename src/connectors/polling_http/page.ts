import { PenstockError } from '../../errors.ts';
import { parseAsWritten } from '../../formats/json/text.ts';
import type { HttpResponse } from '../network/http.ts';
import type { Incoming } from '../network/queue-source.ts';
import { pollingError, type polls } from './table.ts';

/** Content of one response. */
export interface Page {
  messages: Incoming[];
  /** The next page by the header Link. */
  next: URL | undefined;
  cursor: string | undefined;
}

/** Splits a response into messages. Throws `polling_unreadable`. */
export function readPage(
  response: HttpResponse,
  from: URL,
  { items, paging, cursor: place }: ReturnType<typeof polls>,
): Page {
  const { status, body, headers } = response;
  const timestamp = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000));
  const message = (payload: Buffer, item: number): Incoming => ({
    payload,
    metadata: { timestamp, status, item },
  });
  const document = items === undefined && paging !== 'cursor' ? undefined : parsed(body);
  const payloads = items === undefined ? (body.length > 0 ? [body] : []) : listAt(document, items);
  const cursor = paging === 'cursor' ? cursorAt(document, place as string) : undefined;
  return {
    messages: payloads.map(message),
    next: paging === 'link' ? nextOf(headers.link, from) : undefined,
    cursor,
  };
}

function parsed(body: Buffer): unknown {
  try {
    return parseAsWritten(body.toString());
  } catch (cause) {
    throw pollingError('polling_unreadable', 'The response is not JSON', { cause });
  }
}

function listAt(document: unknown, pointer: string): Buffer[] {
  const list = valueAt(document, pointer);
  if (!Array.isArray(list))
    throw pollingError('polling_unreadable', `The response has no list at ${pointer}`);
  return list.map((item) => Buffer.from(JSON.stringify(item)));
}

function cursorAt(document: unknown, pointer: string): string | undefined {
  const value = valueAt(document, pointer);
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  const text = JSON.stringify(value);
  if (/^-?[0-9]/.test(text)) return text;
  throw pollingError('polling_unreadable', `The cursor at ${pointer} is neither a text nor a number`);
}

/** RFC 6901; `/` alone is the whole document. */
function valueAt(document: unknown, pointer: string): unknown {
  if (pointer === '/') return document;
  return pointer
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (at, name) =>
        typeof at === 'object' && at !== null && Object.hasOwn(at, name)
          ? (at as Record<string, unknown>)[name]
          : undefined,
      document,
    );
}

/** The target of `rel=next` (RFC 8288), which must be of the same origin, because it gets the headers. */
function nextOf(header: string | undefined, from: URL): URL | undefined {
  for (const [, target = '', parameters = ''] of (header ?? '').matchAll(/<([^>]*)>([^<]*)/g)) {
    if (!/;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next\b)/i.test(parameters)) continue;
    const next = URL.canParse(target, from.href) ? new URL(target, from.href) : undefined;
    if (next?.origin === from.origin) return next;
    throw new PenstockError(
      'http_refused',
      'The header Link names a next page at another origin, which is not followed',
    );
  }
  return undefined;
}
