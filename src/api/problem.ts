import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify';
import Type, { type TSchema } from 'typebox';
import { errorCatalog } from '../connectors/catalog.ts';
import { type AnyErrorCode, asPenstockError, type ErrorCode, PenstockError } from '../errors.ts';
import { explainViolations } from '../violations.ts';

/** An error as RFC 9457 has it, with a stable `code` and, for Arroyo's clients, `error`. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'URN of the kind of error' }),
    title: Type.String({ description: 'Kind of error' }),
    status: Type.Integer({ description: 'HTTP status' }),
    detail: Type.String({ description: 'What is wrong with this request' }),
    instance: Type.String({ description: 'Request id, for the log' }),
    code: Type.Enum(Object.keys(errorCatalog), { description: 'Stable error code for programs' }),
    hint: Type.Union([Type.String(), Type.Null()], { description: 'What to do about it' }),
    errors: Type.Array(
      Type.Object({
        path: Type.String({ description: 'JSON pointer into the request; empty for all of it' }),
        message: Type.String(),
      }),
    ),
    error: Type.String({ description: 'Same as detail, for clients of Arroyo' }),
  },
  {
    $id: 'Problem',
  },
);

/** All other codes are errors of the client: 400. */
const statuses: Partial<Record<AnyErrorCode, number>> = {
  unauthorized: 401,
  forbidden: 403,
  host_not_allowed: 403,
  cross_site_request: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  name_taken: 409,
  connection_profile_in_use: 409,
  connection_table_in_use: 409,
  state_would_be_lost: 409,
  dependents_broken: 409,
  changed_meanwhile: 409,
  precondition_failed: 412,
  plan_stale: 412,
  pipeline_running: 409,
  illegal_state: 409,
  payload_too_large: 413,
  unsupported_media_type: 415,
  expectation_failed: 417,
  headers_too_large: 431,
  too_many_requests: 429,
  secret_unreadable: 500,
  internal: 500,
  database_unavailable: 503,
  database_login_refused: 503,
  database_missing: 503,
  database_forbidden: 503,
  database_read_only: 503,
  database_full: 503,
  database_too_many_connections: 503,
  database_tls_failed: 503,
  database_parameter_refused: 503,
  database_damaged: 500,
  overloaded: 503,
};

export const statusOf = (code: AnyErrorCode): number => statuses[code] ?? 400;

const descriptions: Record<number, string> = {
  400: 'The request is invalid',
  401: 'A valid API key is required',
  403: 'The API key does not allow this, or the host name or the calling web site is not allowed',
  404: 'The object does not exist',
  405: 'The path does not have this method; `allow` lists those it has',
  408: 'The request was not complete in time',
  409: 'The request conflicts with other objects',
  412: 'The object has changed since it was read',
  413: 'The body is too large',
  415: 'The body is not JSON, or it is compressed',
  417: 'The request expects something other than 100-continue',
  429: 'Too many requests',
  431: 'The path and the headers are too large',
  500: 'Something went wrong inside Penstock; the log has the details',
  503: 'Temporarily unavailable',
};

/** Any request can get these, whatever its path: some come from the HTTP server itself. */
const always = [400, 401, 403, 405, 408, 417, 429, 431, 500, 503];

/** The error responses of a route: the given ones and those of every route. */
export function problems(...named: number[]): Record<number, TSchema> {
  const all = [...new Set([...named, ...always])].sort();
  return Object.fromEntries(
    all.map((status) => [
      status,
      Type.Unsafe({
        description: descriptions[status],
        content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
      }),
    ]),
  );
}

/** The error responses of a route whose method may have a body, even if the route ignores it. */
export const bodyProblems = (...named: number[]): Record<number, TSchema> => problems(413, 415, ...named);

/** Sent with every response. Pages of the documentation replace the policy for content with their own. */
export const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'cross-origin-resource-policy': 'same-origin',
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const;

export function sendProblem(error: FastifyError | Error, request: FastifyRequest, reply: FastifyReply): void {
  const raised = translate(error);
  const status = statusOf(raised.code);
  if (status >= 500) request.log.error({ err: error }, 'request failed');
  const { retryAfterSecs = 5, headers } = raised.facts;
  // Errors before the routing run no hook.
  reply.headers({
    ...securityHeaders,
    'x-request-id': request.id,
    ...(headers as Record<string, string> | undefined),
  });
  if (status === 503 || status === 429) reply.header('retry-after', String(retryAfterSecs));
  if (status === 401) reply.header('www-authenticate', 'Bearer');
  reply.code(status).type('application/problem+json').send(problemOf(raised, request.id));
}

type ProblemSource = Pick<PenstockError, 'code' | 'message' | 'errors'> & {
  hint?: string | null | undefined;
};

export const problemOf = ({ code, message, hint, errors }: ProblemSource, instance: string) => ({
  type: `urn:penstock:error:${code}`,
  title: errorCatalog[code]?.title ?? code,
  status: statusOf(code),
  detail: message,
  instance,
  code,
  hint: hint ?? null,
  errors,
  error: message,
});

type Violations = Parameters<typeof explainViolations>[0];

const fastifyErrors: Record<string, [ErrorCode, string]> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['payload_too_large', 'The body is larger than 1 MiB'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_media_type',
    'The body must be JSON: send content-type: application/json',
  ],
  FST_ERR_CTP_INVALID_JSON_BODY: ['invalid_request', 'The body is not valid JSON'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: [
    'invalid_request',
    'The length of the body differs from content-length; let the HTTP client set it',
  ],
  FST_ERR_BAD_URL: ['invalid_request', 'The path is not a valid URL'],
  FST_ERR_MAX_PARAM_LENGTH: ['invalid_request', 'A segment of the path is too long'],
};

function translate(error: FastifyError | Error): PenstockError {
  if (error instanceof PenstockError) return error;
  if ('validation' in error && error.validation)
    return refusedBySchema(error.validation as Violations, error.validationContext ?? 'request');
  const code = 'code' in error ? String(error.code) : '';
  const known = fastifyErrors[code];
  if (known) return new PenstockError(known[0], known[1]);
  const status = 'statusCode' in error ? Number(error.statusCode) : 500;
  if (status >= 400 && status < 500) return new PenstockError('invalid_request', error.message);
  return asPenstockError(error);
}

const partNames: Record<string, string> = { params: 'path', querystring: 'query' };

/** The error for a part of a request, such as the body, that violates its schema. */
export function refusedBySchema(violations: Violations, part: string): PenstockError {
  const errors = explainViolations(violations);
  const sentences = errors.map(({ path, message }) => `${path || 'it'} ${message}`).join('; ');
  return new PenstockError('invalid_request', `The ${partNames[part] ?? part} is not valid: ${sentences}`, {
    errors,
  });
}
