export interface ErrorKind {
  title: string;
  /**
   * Whether trying again later can help: the worker retries a passing error, and fails a job on any other, though after some minutes
   * if the job had run and cannot connect again.
   */
  passing: boolean;
  /** It is not passing, and known to last: a job that had run fails at once too. */
  lasting?: true;
}

/** An error code of a connector, with its section of docs/errors.md. */
export interface DescribedError extends ErrorKind {
  means: string;
  todo: string;
}

/**
 * The error codes of the core; connectors bring their own (`errors` of their definition), and `errorCatalog` of the
 * registry has all of them. Codes are part of the API: they are never renamed. Nothing here knows HTTP.
 */
export const coreErrors = {
  invalid_request: { title: 'The request is invalid', passing: false },
  invalid_config: { title: 'The connector configuration is invalid', passing: false },
  invalid_schema: { title: 'The connection schema is invalid', passing: false },
  invalid_query: { title: 'The query is invalid', passing: false },
  unknown_connector: { title: 'The connector does not exist', passing: false },
  not_found: { title: 'The object does not exist', passing: false },
  name_taken: { title: 'The name is already in use', passing: false },
  connection_profile_in_use: { title: 'The connection profile is in use', passing: false },
  connection_table_in_use: { title: 'The connection table is in use', passing: false },
  dependents_broken: { title: 'The change would break objects that use this one', passing: false },
  precondition_failed: { title: 'The object has changed since it was read', passing: false },
  plan_stale: { title: 'The plan is out of date', passing: false },
  changed_meanwhile: { title: 'Concurrent changes kept conflicting', passing: true },
  pipeline_running: { title: 'The pipeline is still running', passing: false },
  state_would_be_lost: { title: 'The change would lose the state of open windows', passing: false },
  illegal_state: { title: 'The current state does not allow this', passing: false },
  host_not_allowed: { title: 'The request names a host that is not allowed', passing: false },
  cross_site_request: { title: 'The request comes from another web site', passing: false },
  method_not_allowed: { title: 'The path does not have this method', passing: false },
  request_timeout: { title: 'The request was not complete in time', passing: true },
  headers_too_large: { title: 'The path and the headers are too large', passing: false },
  expectation_failed: { title: 'The request expects something that is not supported', passing: false },
  unauthorized: { title: 'A valid API key is required', passing: false },
  forbidden: { title: 'The API key does not allow this', passing: false },
  payload_too_large: { title: 'The body is too large', passing: false },
  unsupported_media_type: { title: 'The media type of the body is not supported', passing: false },
  too_many_requests: { title: 'Too many requests', passing: true },
  overloaded: { title: 'Penstock is overloaded', passing: true },
  database_unavailable: { title: 'The database is unavailable', passing: true },
  database_login_refused: { title: 'The database refuses the login', passing: true },
  database_missing: { title: 'The database or its schema does not exist', passing: true },
  database_forbidden: { title: 'The database role lacks a right', passing: true },
  database_read_only: { title: 'The database refuses writes', passing: true },
  database_full: { title: 'The database has no space left', passing: true },
  database_too_many_connections: { title: 'The database accepts no more connections', passing: true },
  database_tls_failed: { title: 'TLS with the database fails', passing: true },
  database_parameter_refused: { title: 'The database refuses a parameter of the connection', passing: true },
  database_damaged: { title: 'The database file is damaged', passing: false },
  database_migration_failed: { title: 'A database migration failed', passing: false },
  database_migration_edited: { title: 'A database migration was changed after it ran', passing: false },
  database_too_new: { title: 'The database belongs to a newer version of Penstock', passing: false },
  variable_not_allowed: { title: 'A variable is not allowed or not set', passing: false },
  certificate_unreadable: { title: 'A file with a certificate or key cannot be read', passing: false },
  secret_unreadable: {
    title: 'A stored secret cannot be decrypted with the configured keys',
    passing: false,
  },
  internal: { title: 'Something went wrong inside Penstock', passing: true },

  bad_data: { title: 'A message could not be decoded', passing: false },
  bad_row: { title: 'A row could not be transformed or written', passing: false },
  dead_letters_full: { title: 'The limit of dead letters is reached', passing: false },
  source_silent: { title: 'A source has received no message for too long', passing: true },
  session_discarded: { title: 'A former session of a source was removed', passing: true },
  cannot_share: { title: 'The source does not support several tasks', passing: false },
  thread_lost: { title: 'The worker thread of the task was lost', passing: true },
  task_taken: { title: 'Another worker has taken over the task', passing: true },
  query_too_slow: { title: 'The query is too slow', passing: false },
  late_row: { title: 'A row came after its windows had closed', passing: false },
  state_full: { title: 'The state of the windows has reached its limit', passing: false },
  window_failed: { title: 'A window could not be computed', passing: false },

  name_not_resolved: { title: 'The host name cannot be resolved', passing: true },
  target_not_allowed: { title: 'The address is not allowed', passing: false, lasting: true },
  connection_refused: { title: 'The server refused the connection', passing: true },
  connection_timeout: { title: 'The server does not respond', passing: true },
  connection_lost: { title: 'The connection was lost', passing: true },
  network_unreachable: { title: 'There is no route to the host', passing: true },
  tls_certificate_expired: { title: 'The server certificate has expired', passing: false },
  tls_unknown_issuer: { title: 'The issuer of the server certificate is not trusted', passing: false },
  tls_self_signed: { title: 'The server certificate is self-signed and not trusted', passing: false },
  tls_name_mismatch: { title: 'The server certificate is for another host name', passing: false },
  tls_client_certificate_required: { title: 'The server requires a client certificate', passing: false },
  tls_client_certificate_refused: { title: 'The server refused the client certificate', passing: false },
  tls_not_spoken: { title: 'The server does not speak TLS on this port', passing: false },
  tls_bad_material: { title: 'A certificate or key cannot be read', passing: false },
  tls_failed: { title: 'The TLS handshake failed', passing: true },

  http_unauthorized: { title: 'The HTTP server refuses the credentials', passing: false },
  http_refused: { title: 'The HTTP server refuses the request', passing: false },
  http_unavailable: { title: 'The HTTP server cannot process the request now', passing: true },
  http_protocol_error: { title: 'The HTTP server violates HTTP', passing: true },
  http_too_large: { title: 'The HTTP response is too large', passing: false },
  schema_registry_unavailable: { title: 'The schema registry is unavailable', passing: true },
  schema_registry_unauthorized: { title: 'The schema registry refuses the credentials', passing: false },
  schema_registry_refused: { title: 'The schema registry refuses a request', passing: false },
  schema_not_registered: { title: 'The schema registry does not have the schema', passing: false },
  schema_incompatible: { title: 'The subject does not allow the schema', passing: false },
  websocket_refused: { title: 'The server refused the WebSocket connection', passing: false },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof coreErrors;

declare const ofConnector: unique symbol;
/** An error code that a connector defines. */
type ConnectorErrorCode = string & { readonly [ofConnector]: true };
export type AnyErrorCode = ErrorCode | ConnectorErrorCode;

/** An error in one field. `path` is a JSON pointer into the request body, `''` for the whole. */
export interface FieldError {
  path: string;
  message: string;
}

interface PenstockErrorDetails {
  hint?: string;
  errors?: FieldError[];
  /** Numbers and names for a program to look at, such as a reason code. No secrets. */
  facts?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error class. `message` is for people and holds no secret. */
export class PenstockError extends Error {
  readonly code: AnyErrorCode;
  readonly passing: boolean;
  readonly hint: string | undefined;
  readonly errors: FieldError[];
  readonly facts: Record<string, unknown>;

  /** `kind` is a code of the core, or the code and flag of another error, whose code may belong to a connector. */
  constructor(
    kind: ErrorCode | Pick<PenstockError, 'code' | 'passing'>,
    message: string,
    details: PenstockErrorDetails = {},
  ) {
    super(message, { cause: details.cause });
    const { code, passing } = typeof kind === 'string' ? { code: kind, ...coreErrors[kind] } : kind;
    this.name = 'PenstockError';
    this.code = code;
    this.passing = passing;
    this.hint = details.hint;
    this.errors = details.errors ?? [];
    this.facts = details.facts ?? {};
  }
}

/** Whether an error says that the database cannot be used now. Work goes on when it can. */
export const isDatabaseFailure = ({ code, passing }: PenstockError): boolean =>
  passing && code.startsWith('database_');

/** Returns a function that makes errors with the codes of a connector or of the core. */
export const errorMaker =
  <C extends string>(own: Readonly<Record<C, ErrorKind>>) =>
  (code: C | ErrorCode, message: string, details?: PenstockErrorDetails): PenstockError => {
    const kind = Object.hasOwn(own, code) ? own[code as C] : coreErrors[code as ErrorCode];
    return new PenstockError({ code: code as AnyErrorCode, passing: kind.passing }, message, details);
  };

/** Wraps an unexpected error, so that callers always get a `PenstockError`. */
export function asPenstockError(error: unknown): PenstockError {
  if (error instanceof PenstockError) return error;
  // The original message goes only to the log, as the cause: it may contain secrets.
  return new PenstockError('internal', 'Something went wrong inside Penstock; its log has the details', {
    cause: error,
  });
}
