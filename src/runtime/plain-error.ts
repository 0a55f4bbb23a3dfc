import { type AnyErrorCode, asPenstockError, type FieldError, PenstockError } from '../errors.ts';

/** A `PenstockError` as plain data, for the way from one thread to another. */
export interface PlainError {
  code: AnyErrorCode;
  passing: boolean;
  message: string;
  stack: string | undefined;
  hint: string | undefined;
  errors: FieldError[];
  facts: Record<string, unknown>;
  cause: Error | undefined;
}

/** Causes of causes that come along. */
const deepest = 4;

export function toPlain(error: unknown): PlainError {
  const { code, passing, message, stack, hint, errors, facts, cause } = asPenstockError(error);
  return { code, passing, message, stack, hint, errors, facts, cause: plainCause(cause) };
}

export function fromPlain({
  code,
  passing,
  message,
  stack,
  hint,
  errors,
  facts,
  cause,
}: PlainError): PenstockError {
  const error = new PenstockError({ code, passing }, message, {
    ...(hint ? { hint } : {}),
    errors,
    facts,
    cause,
  });
  if (stack !== undefined) error.stack = stack;
  return error;
}

/** What the log shows of it. Errors of libraries carry more, of which some cannot be cloned. */
export function plainCause(cause: unknown, depth = 0): Error | undefined {
  if (cause === undefined || depth === deepest) return undefined;
  if (!(cause instanceof Error)) return new Error(String(cause));
  const plain = new Error(cause.message, { cause: plainCause(cause.cause, depth + 1) });
  if (cause.stack !== undefined) plain.stack = cause.stack;
  return plain;
}
