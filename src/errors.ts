/**
 * Every error Penstock raises on purpose, by its stable code.
 *
 * `passing` says whether trying again later can help: the worker retries a passing error and fails a job on any
 * other. Codes are part of the API: they are never renamed. Nothing here knows HTTP.
 */
export const errorCatalog = {
  invalid_request: { title: 'The request is not valid', passing: false },
  invalid_config: { title: 'The connector configuration is not valid', passing: false },
  invalid_schema: { title: 'The connection schema is not valid', passing: false },
  invalid_query: { title: 'The query is not valid', passing: false },
  unknown_connector: { title: 'There is no such connector', passing: false },
  not_found: { title: 'There is no such object', passing: false },
  name_taken: { title: 'The name is already used', passing: false },
  connection_profile_in_use: { title: 'The connection profile is in use', passing: false },
  connection_table_in_use: { title: 'The connection table is in use', passing: false },
  dependents_broken: { title: 'What uses it would no longer be valid', passing: false },
  precondition_failed: { title: 'It is not in the version that was asked for', passing: false },
  plan_stale: { title: 'The plan is not what would be done any more', passing: false },
  changed_meanwhile: { title: 'Others change the same all the time', passing: true },
  pipeline_running: { title: 'The pipeline is still running', passing: false },
  illegal_state: { title: 'The job is in a state that does not allow this', passing: false },
  host_not_allowed: { title: 'The host name is not one of ours', passing: false },
  unauthorized: { title: 'A valid API key is required', passing: false },
  forbidden: { title: 'The API key does not allow this', passing: false },
  payload_too_large: { title: 'The body is too large', passing: false },
  unsupported_media_type: { title: 'The body is not of a type that can be read', passing: false },
  too_many_requests: { title: 'Too many requests at once', passing: true },
  overloaded: { title: 'Penstock is overloaded', passing: true },
  database_unavailable: { title: 'The database does not answer', passing: true },
  database_migration_failed: { title: 'A database migration did not succeed', passing: false },
  database_migration_edited: { title: 'A database migration was changed after it ran', passing: false },
  database_too_new: { title: 'The database belongs to a newer version of Penstock', passing: false },
  variable_not_allowed: { title: 'A variable may not be read', passing: false },
  certificate_unreadable: { title: 'A file with a certificate or key cannot be read', passing: false },
  secret_unreadable: { title: 'A stored secret cannot be opened with the configured key', passing: false },
  internal: { title: 'Something went wrong inside Penstock', passing: true },

  bad_data: { title: 'A message could not be decoded', passing: false },
  bad_row: { title: 'A row could not be transformed or written', passing: false },
  dead_letters_full: { title: 'There is no more room for dead letters', passing: false },
  source_silent: { title: 'A source has brought no message for too long', passing: true },
  cannot_share: { title: 'The source cannot be read by several tasks', passing: false },
  thread_lost: { title: 'The thread that ran the task has ended', passing: true },
  query_too_slow: { title: 'The query needs too long for its rows', passing: false },

  name_not_resolved: { title: 'The host name does not resolve', passing: true },
  target_not_allowed: { title: 'The address is not one that may be reached', passing: false },
  connection_refused: { title: 'The port is closed', passing: true },
  connection_timeout: { title: 'The server does not answer', passing: true },
  connection_lost: { title: 'The connection was lost', passing: true },
  network_unreachable: { title: 'There is no route to the host', passing: true },
  tls_certificate_expired: { title: 'The server certificate has expired', passing: false },
  tls_unknown_issuer: { title: 'The issuer of the server certificate is not trusted', passing: false },
  tls_self_signed: { title: 'The server certificate is signed by itself and not trusted', passing: false },
  tls_name_mismatch: { title: 'The server certificate is for another name', passing: false },
  tls_client_certificate_required: { title: 'The server asks for a client certificate', passing: false },
  tls_client_certificate_refused: { title: 'The server refuses the client certificate', passing: false },
  tls_not_spoken: { title: 'The server does not speak TLS on this port', passing: false },
  tls_bad_material: { title: 'A certificate or key cannot be read', passing: false },
  tls_failed: { title: 'The TLS handshake failed', passing: true },

  websocket_refused: { title: 'The server refuses the WebSocket', passing: false },
  mqtt_not_spoken: { title: 'The server does not speak MQTT on this port', passing: false },
  mqtt_bad_credentials: { title: 'The broker refuses the user name or password', passing: false },
  mqtt_not_authorized: { title: 'The broker does not allow this client', passing: false },
  mqtt_client_id_rejected: { title: 'The broker refuses the client id', passing: false },
  mqtt_client_id_in_use: { title: 'Another client uses the same client id', passing: false },
  mqtt_protocol_refused: { title: 'The broker does not speak this MQTT version', passing: false },
  mqtt_server_unavailable: { title: 'The broker is not available', passing: true },
  mqtt_refused: { title: 'The broker refused the connection', passing: true },
  mqtt_will_refused: { title: 'The broker does not take the last will', passing: false },
  mqtt_shared_unsupported: { title: 'The broker knows no shared subscriptions', passing: false },
  mqtt_retained_not_shared: { title: 'Retained messages do not reach shared subscriptions', passing: false },
  mqtt_session_lost: { title: 'The broker has forgotten a session', passing: true },
  mqtt_subscribe_refused: { title: 'The broker refuses the subscription', passing: false },
  mqtt_qos_downgraded: { title: 'The broker grants a lower quality of service', passing: false },
  mqtt_publish_refused: { title: 'The broker refuses the message', passing: false },
  mqtt_packet_too_large: { title: 'A message is larger than allowed', passing: false },
  mqtt_no_message: { title: 'No message arrived while testing', passing: false },
  mqtt_protocol_error: { title: 'The broker broke the MQTT protocol', passing: true },
} as const;

export type ErrorCode = keyof typeof errorCatalog;

/** One thing wrong with one field. `path` is a JSON pointer into what was sent, `''` for the whole. */
export interface FieldError {
  path: string;
  message: string;
}

export interface PenstockErrorDetails {
  /** What the reader can do about it. */
  hint?: string;
  errors?: FieldError[];
  /** Numbers and names for a program to look at, such as a reason code. No secrets. */
  facts?: Record<string, unknown>;
  cause?: unknown;
}

/** The one error class. `message` is for people and holds no secret. */
export class PenstockError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly errors: FieldError[];
  readonly facts: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, details: PenstockErrorDetails = {}) {
    super(message, { cause: details.cause });
    this.name = 'PenstockError';
    this.code = code;
    this.hint = details.hint;
    this.errors = details.errors ?? [];
    this.facts = details.facts ?? {};
  }

  /** Whether trying the same again later can help. */
  get passing(): boolean {
    return errorCatalog[this.code].passing;
  }
}

/** Wraps what was not raised on purpose, so that callers can rely on `PenstockError`. */
export function asPenstockError(error: unknown): PenstockError {
  if (error instanceof PenstockError) return error;
  // What it says is for the log, as the cause: it was not written for people, and may hold anything.
  return new PenstockError('internal', 'Something went wrong inside Penstock; its log has the details', {
    cause: error,
  });
}
