import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';

export interface Versioned {
  id: string;
  version: number;
}

/** A strong ETag (RFC 9110, 8.8.3) of a definition; the state of its job is not part of it. */
export const etagOf = ({ id, version }: Versioned): string => `"${id}.${version}"`;

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
      description: 'With `*`: write only if the object does not exist. Otherwise 412',
    }),
  ),
});
export type Preconditions = Static<typeof Preconditions>;

/** Throws `precondition_failed` if `current`, undefined for a new object, does not satisfy the headers. */
export function checkPreconditions(headers: Preconditions, current: Versioned | undefined): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch !== undefined && !names(ifMatch, '/if-match', current, false))
    throw new PenstockError(
      'precondition_failed',
      current ? `Its ETag is ${etagOf(current)}, not ${ifMatch}` : 'The object does not exist yet',
      { hint: 'Get it again, review what has changed, and send the change with the new ETag.' },
    );
  if (current && ifNoneMatch !== undefined && names(ifNoneMatch, '/if-none-match', current, true))
    throw new PenstockError(
      'precondition_failed',
      `The object already exists, with the ETag ${etagOf(current)}`,
      {
        hint: 'Omit if-none-match to change it.',
      },
    );
}

const entityTags = /^\s*(?:W\/)?"[^"\s]*"(?:\s*,\s*(?:W\/)?"[^"\s]*")*\s*$/;

/** Whether a header names `current`. A weak tag only counts if `weakly`. */
function names(header: string, path: string, current: Versioned | undefined, weakly: boolean): boolean {
  if (header.trim() === '*') return current !== undefined;
  if (!entityTags.test(header)) {
    const message = 'must be * or a comma-separated list of quoted ETags';
    throw new PenstockError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
  }
  if (!current) return false;
  const tags = header.split(',').map((tag) => tag.trim());
  const wanted = etagOf(current);
  return tags.some((tag) => tag === wanted || (weakly && tag === `W/${wanted}`));
}
