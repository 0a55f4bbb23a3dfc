import Type, { type Static } from 'typebox';
import { PenstockError } from '../errors.ts';

/** What decides over an ETag: which object, and how often its definition was changed. */
export interface Versioned {
  id: string;
  version: number;
}

/** A strong ETag (RFC 9110, 8.8.3) of an object's definition. What its job does meanwhile makes no difference. */
export const etagOf = ({ id, version }: Versioned): string => `"${id}.${version}"`;

/** The headers by which a write depends on the version that is there (RFC 9110, 13.1). */
export const Preconditions = Type.Object({
  'if-match': Type.Optional(
    Type.String({
      maxLength: 1000,
      description: 'Only when the object has this ETag; `*` when there is one at all. Otherwise 412',
    }),
  ),
  'if-none-match': Type.Optional(
    Type.String({
      maxLength: 1000,
      description: 'With `*`: only when there is no such object yet. Otherwise 412',
    }),
  ),
});
export type Preconditions = Static<typeof Preconditions>;

/** Throws `precondition_failed` when `current`, undefined where there is none, is not what the headers ask for. */
export function checkPreconditions(headers: Preconditions, current: Versioned | undefined): void {
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers;
  if (ifMatch !== undefined && !names(ifMatch, '/if-match', current, false))
    throw new PenstockError(
      'precondition_failed',
      current ? `Its ETag is ${etagOf(current)}, not ${ifMatch}` : 'There is no such object yet',
      { hint: 'Get it again, look at what has changed, and send the change with the new ETag.' },
    );
  if (current && ifNoneMatch !== undefined && names(ifNoneMatch, '/if-none-match', current, true))
    throw new PenstockError('precondition_failed', `There is one already, with the ETag ${etagOf(current)}`, {
      hint: 'Leave if-none-match out to change it.',
    });
}

const entityTags = /^\s*(?:W\/)?"[^"\s]*"(?:\s*,\s*(?:W\/)?"[^"\s]*")*\s*$/;

/** Whether a header names `current`. A weak tag never does where a strong one is needed. */
function names(header: string, path: string, current: Versioned | undefined, weakly: boolean): boolean {
  if (header.trim() === '*') return current !== undefined;
  if (!entityTags.test(header)) {
    const message = 'must be * or ETags in double quotes, with commas between them';
    throw new PenstockError('invalid_request', `${path} ${message}`, { errors: [{ path, message }] });
  }
  if (!current) return false;
  const tags = header.split(',').map((tag) => tag.trim());
  const wanted = etagOf(current);
  return tags.some((tag) => tag === wanted || (weakly && tag === `W/${wanted}`));
}
