import { createHash } from 'node:crypto';
import { dirname, relative } from 'node:path/posix';
import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';

export interface Versioned {
  id: string;
  version: number;
}

/**
 * The ETag of an object (RFC 9110, 8.8.3): its id, the version of its definition, and a hash of all that is shown with
 * it, such as the state of its job. A write depends only on the version.
 */
export function etagOf({ id, version }: Versioned, shown: object): string {
  const hash = createHash('sha256').update(JSON.stringify(shown)).digest('hex').slice(0, 12);
  return `"${id}.${version}.${hash}"`;
}

/** The path of an object relative to that of the request, because a proxy may serve both below a prefix. */
export const locationOf = ({ url }: { url: string }, path: string): string =>
  relative(dirname(`${url.split('?')[0]}.`), path);

/** Headers that make a write depend on the current version (RFC 9110, 13.1). */
export const Preconditions = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 1000,
      description: 'Write only if the object has this ETag, or with `*` if it exists. Otherwise 412',
    }),
  ),
  'if-none-match': Type.Optional(
    Type.String({
      maxLength: 1000,
      description:
        'With `*`: write only if the object does not exist. Otherwise 412. With ETags: read only if the object has none of ' +
        'them. Otherwise 304',
    }),
  ),
});
export type Preconditions = Static<typeof Preconditions>;

/** Throws `precondition_failed` if `current`, undefined for a new object, does not satisfy the headers. */
export function checkPreconditions(headers: Preconditions, current: Versioned | undefined): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch !== undefined && !namesVersion(ifMatch, '/if-match', current))
    throw new PenstockError(
      'precondition_failed',
      current
        ? `Its version is ${versionOf(current)}, not that of ${ifMatch}`
        : 'The object does not exist yet',
      { hint: 'Get it again, review what has changed, and send the change with the new ETag.' },
    );
  if (current && ifNoneMatch !== undefined && namesVersion(ifNoneMatch, '/if-none-match', current))
    throw new PenstockError(
      'precondition_failed',
      `The object already exists, with the version ${versionOf(current)}`,
      {
        hint: 'Omit if-none-match to change it.',
      },
    );
}

const versionOf = ({ id, version }: Versioned): string => `${id}.${version}`;

/** Whether `if-none-match` of a GET names what would be returned: then the response is 304. */
export function isKnown(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === '*' || tagsIn(ifNoneMatch).includes(etag.slice(1, -1));
}

const entityTags = /^\s*(?:W\/)?"[^"\s]*"(?:\s*,\s*(?:W\/)?"[^"\s]*")*\s*$/;

/** Whether a header names the version of `current`. Throws if it cannot be read. */
function namesVersion(header: string, path: string, current: Versioned | undefined): boolean {
  if (header.trim() === '*') return current !== undefined;
  if (!entityTags.test(header)) {
    const message = 'must be * or a comma-separated list of quoted ETags';
    throw new PenstockError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
  }
  if (!current) return false;
  const wanted = versionOf(current);
  return tagsIn(header).some((tag) => tag === wanted || tag.startsWith(`${wanted}.`));
}

/**
 * The tags without the marks of proxies: one that compresses makes a tag weak, or adds the coding to it. Weak or not, a
 * version is a version.
 */
const tagsIn = (header: string): string[] =>
  [...header.matchAll(/"([^"\s]*)"/g)].map(([, tag = '']) => tag.replace(/[-;]+(gzip|br|zstd|deflate)$/, ''));
