import type { ErrorCode } from '../../src/errors.ts';

interface Help {
  /** The meaning of the code. */
  means: string;
  /** Advice for the operator. */
  todo: string;
}

/** Help for every code of the core, from which `npm run openapi` makes docs/errors.md. */
export const errorHelp: Record<ErrorCode, Help> = {
  invalid_request: {
    means: 'The path, the query string or the body does not match the definition of the operation.',
    todo: 'Correct each field in `errors`. The API document describes them.',
  },
  invalid_config: {
    means: 'The `config` of a profile or table breaks a rule of its connector. At start: a setting is wrong.',
    todo: 'Correct each field in `errors`. At start: correct the environment variables in the message.',
  },
  invalid_schema: {
    means: 'The format of the connection schema, one of its options or one of its fields is wrong.',
    todo: 'Correct each field in `errors`. docs/formats.md describes every format.',
  },
  invalid_query: {
    means:
      'The query has a syntax error, uses SQL that Penstock does not support, or names a table or column that does not ' +
      'exist.',
    todo: 'Correct the query at the line and column in the message. docs/sql.md describes the supported SQL.',
  },
  unknown_connector: {
    means: 'This version of Penstock has no connector with this id.',
    todo: 'Use a connector that `GET /api/v1/connectors` lists.',
  },
  not_found: {
    means: 'No object has this id or name. It may have been deleted.',
    todo: 'List the objects of this kind, and check the id.',
  },
  name_taken: {
    means: 'Another object of this kind has the same name.',
    todo: 'Choose another name, or change the existing object with PUT or PATCH.',
  },
  connection_profile_in_use: {
    means: 'The profile cannot be deleted because tables or pipelines use it.',
    todo: 'Delete its users first, or change them to use another profile.',
  },
  connection_table_in_use: {
    means: 'The table cannot be deleted because pipelines read or write it.',
    todo: 'Delete its users first, or change them to use another table.',
  },
  dependents_broken: {
    means: 'The change is valid, but would make a table or pipeline that uses the object invalid.',
    todo: 'Change the users first, or create a new object and move its users over one by one.',
  },
  precondition_failed: {
    means:
      'The object no longer has the ETag in `if-match`, or it already exists and the request has `if-none-match: *`.',
    todo: 'Get it again, review what has changed, and send the change with the new ETag.',
  },
  plan_stale: {
    means: 'Objects have changed since the plan was made, so applying it would have another result.',
    todo: 'Make a new plan (`dry_run=true`), review it, and apply that one.',
  },
  changed_meanwhile: {
    means: 'Each attempt to save the change failed because another request changed the same objects.',
    todo: 'Send the request again.',
  },
  pipeline_running: {
    means: 'A pipeline cannot be deleted while its job runs or while a worker holds it.',
    todo: 'Stop it (PATCH with `{"stop": "graceful"}`), and delete it when its job is Stopped or Failed.',
  },
  state_would_be_lost: {
    means:
      'The new query counts other rows than the current one, so it cannot go on with what open windows have collected. ' +
      'With the change, the windows that are open would begin again.',
    todo:
      'Send the change with `state=discard` to lose what they have collected. To keep it, stop the pipeline with ' +
      '`graceful` first, which closes the windows, or create a second pipeline.',
  },
  illegal_state: {
    means:
      'The current state does not allow the operation. For example, the last admin key cannot be revoked.',
    todo: 'Follow the hint of the error.',
  },
  host_not_allowed: {
    means:
      'No API key exists, so Penstock serves only loopback names. This keeps web pages from reaching it under a name of ' +
      'their own.',
    todo: 'Use http://127.0.0.1 or http://localhost, or create an admin key.',
  },
  cross_site_request: {
    means:
      'No API key exists, and a browser sent the request for a page of another web site. Such a page could otherwise ' +
      'make Penstock connect to a broker.',
    todo: 'Open Penstock itself. A console on another origin needs an API key.',
  },
  method_not_allowed: {
    means: 'The path exists, but not with this method.',
    todo: 'Use one of the methods in the header `allow`.',
  },
  request_timeout: {
    means: 'The headers took longer than 10 seconds, or the whole request longer than 30.',
    todo: 'Send the request again. A slow link needs smaller requests.',
  },
  headers_too_large: {
    means: 'The path, the query string and the headers are together larger than 16 KiB.',
    todo: 'Shorten them. Large values belong in a body. A proxy may add headers of its own.',
  },
  expectation_failed: {
    means: 'The header `expect` of the request has another value than `100-continue`.',
    todo: 'Send the request without it.',
  },
  unauthorized: {
    means: 'The request has no API key, or the key is unknown, revoked or expired.',
    todo: 'Send `authorization: Bearer <key>` with a key from `penstock keys create`.',
  },
  forbidden: {
    means: 'The key is valid, but its role does not allow the operation.',
    todo: 'Use a key with the role in the message.',
  },
  payload_too_large: {
    means: 'The body of the request is larger than 1 MiB.',
    todo: 'Send less in one request.',
  },
  unsupported_media_type: {
    means: 'The operation does not accept the media type of the body.',
    todo: 'Send JSON with `content-type: application/json`, or a patch with `application/merge-patch+json`.',
  },
  too_many_requests: {
    means:
      'The caller exceeded its requests per minute or its open event streams and tests, or its address sent too many wrong ' +
      'keys.',
    todo: 'Wait for the seconds in `retry-after`. `PENSTOCK_RATE_LIMIT` sets the requests per minute.',
  },
  overloaded: {
    means: 'The process is too busy to respond in time, so it refuses new requests.',
    todo: 'Try again shortly. If it lasts, run the API and the worker in separate processes.',
  },
  database_unavailable: {
    means: 'Penstock cannot connect to the database, or the database does not respond in time.',
    todo: 'Check that it runs and that `PENSTOCK_DATABASE_URL` is right. Running jobs continue during the outage.',
  },
  database_login_refused: {
    means: 'The server or pooler of the database knows no such user, or the password is another one.',
    todo:
      'Correct `PENSTOCK_DATABASE_URL`. Special characters in the password must be percent-encoded. If the sentence of the ' +
      'server names `pg_hba.conf`, admit the user, database and address there, or use TLS.',
  },
  database_missing: {
    means: 'The server has no database of this name, or the role may use no schema on its `search_path`.',
    todo: 'Create the database or the schema, or correct `PENSTOCK_DATABASE_URL` (`?schema=` names the schema).',
  },
  database_forbidden: {
    means: 'The role may not do what Penstock needs, such as creating tables in its schema.',
    todo:
      'Grant the role USAGE and CREATE on the schema, or give it a schema of its own: ' +
      '`CREATE SCHEMA penstock AUTHORIZATION <role>` and `?schema=penstock`.',
  },
  database_read_only: {
    means:
      'The database takes no writes: it is a standby, `default_transaction_read_only` is on, or the SQLite file cannot be ' +
      'written. Reads and running jobs continue.',
    todo: 'Lead `PENSTOCK_DATABASE_URL` to the primary, end the read-only mode, or correct the owner of the file.',
  },
  database_full: {
    means: 'The disk of the database is full. Running jobs continue, and their state is written afterwards.',
    todo: 'Make room on the disk of the database.',
  },
  database_too_many_connections: {
    means: 'The server, the role or the pooler allows no more connections.',
    todo: 'Raise the limit, or lower `connection_limit` in `PENSTOCK_DATABASE_URL` (10 connections for each process).',
  },
  database_tls_failed: {
    means:
      'The server does not speak TLS, or its certificate does not pass the check that `sslmode` asks for.',
    todo: 'Follow the hint: it tells which authority, name or mode to correct in `PENSTOCK_DATABASE_URL`.',
  },
  database_parameter_refused: {
    means: 'The server or pooler refuses a parameter that the URL sends at the start of a connection.',
    todo: 'Remove `options` from `PENSTOCK_DATABASE_URL`, use `?schema=`, and set the rest with `ALTER ROLE … SET`.',
  },
  database_damaged: {
    means:
      'SQLite cannot read the file: a part of it was overwritten or lost, or it is another kind of file.',
    todo: 'Correct `PENSTOCK_DATABASE_URL`, or restore a backup.',
  },
  database_migration_failed: {
    means: 'A migration of the database failed at start.',
    todo: 'Find the cause in the log and correct it. If the migration is half done, follow the hint.',
  },
  database_migration_edited: {
    means: 'A migration in this version differs from the one of the same name that the database has applied.',
    todo: 'Run an unchanged release of Penstock. Put further changes into a new migration.',
  },
  database_too_new: {
    means: 'A newer version of Penstock has migrated this database.',
    todo: 'Run that version or a newer one, or restore a backup from before.',
  },
  variable_not_allowed: {
    means:
      'A configuration uses `{{ NAME }}`, but this variable is not allowed or not set in the environment of Penstock.',
    todo: 'Add the name to `PENSTOCK_ALLOWED_VARS`, set the variable, and restart Penstock.',
  },
  certificate_unreadable: {
    means: 'The path of a certificate or key does not lead to a readable file below `PENSTOCK_CERT_DIR`.',
    todo: 'Put the file into that directory, or enter its PEM text instead of the path.',
  },
  secret_unreadable: {
    means: 'A stored secret was sealed with another key, or was changed or moved in the database.',
    todo: 'Add the key it was sealed with to `PENSTOCK_SECRET_KEY`, or enter the secret again.',
  },
  internal: {
    means: 'An unexpected error occurred. A job tries again.',
    todo: 'Find the log entry with the request id in `instance`, and report it.',
  },

  bad_data: {
    means: 'A message does not match the format or the fields of its source table.',
    todo: 'Read the messages with a tail of the table, then correct the sender or the schema. `bad_data` of the table sets whether such a message is dropped, kept as a dead letter or fails the job.',
  },
  bad_row: {
    means: 'The query failed for a row, or the format of the sink cannot represent the row.',
    todo: 'The message names the value. Correct the query or the schema of the sink. `bad_data` of the source table sets what happens to such rows.',
  },
  dead_letters_full: {
    means: 'The dead letters of a pipeline have reached the limit of its source table.',
    todo: 'Repair and replay dead letters, or delete them, or raise `max_count` or `max_bytes` of `bad_data`. See docs/bad-data.md.',
  },
  source_silent: {
    means: 'No message has arrived for longer than `maxSilenceSecs` of the source table. The job goes on.',
    todo: 'Check that a client publishes to the topic and that the broker lets this user read it. The pipeline needs no change.',
  },
  session_discarded: {
    means:
      'The broker, the client id or the number of tasks has changed, and a query with windows or aggregates reads the source. ' +
      'Only its own task can count messages, so those that wait in the former session are not processed.',
    todo: 'Nothing if the former session was empty. To lose nothing, stop the publishers before such a change.',
  },
  cannot_share: {
    means: 'The parallelism is above 1, but the source cannot distribute its messages among several readers.',
    todo: 'Set the parallelism to 1, or change the table as the message describes.',
  },
  task_taken: {
    means:
      'This worker could not tell the database for 10 s that it lives, so another worker has taken over the task. What this ' +
      'one had not finished is not recorded and is read again there.',
    todo: 'Check the connection between this worker and the database, and whether the process was suspended.',
  },
  thread_lost: {
    means:
      'The worker thread of a task crashed, or was ended after 30 s without a response. Its tasks start again in another ' +
      'thread. Messages without an acknowledgement arrive again.',
    todo:
      'If it happens once, do nothing. If it repeats, the cause is a message or a query of one of the jobs with this error: ' +
      'read the log, stop these jobs, start them one by one, and report the result.',
  },
  query_too_slow: {
    means: 'The query took longer for a batch of rows than the time limit allows.',
    todo: 'Simplify the query, or split it. Functions over long strings and lists cost the most.',
  },
  late_row: {
    means:
      'All windows of the row had closed when it came, or its time was further ahead of the clock than the source allows ' +
      '(`max_ahead`).',
    todo:
      "If devices report late, let the watermark wait longer: `WATERMARK FOR ts AS ts - INTERVAL '1 minute'`. Check the clocks " +
      'of the devices.',
  },
  state_full: {
    means: 'The rows of open windows need more than `max_state_bytes`.',
    todo:
      "Raise `max_state_bytes`, choose shorter windows, or keep fewer keys. With `when_state_full` = 'wait' the job goes on as soon " +
      'as windows close.',
  },
  window_failed: {
    means:
      'The aggregates of a query fail on the rows that they got. The message says which part of the query fails, but not on ' +
      'which value.',
    todo:
      'Change that part, for example with TRY_CAST or a wider type, or leave the rows out with WHERE. The job keeps its state ' +
      'and continues with it when it is started again.',
  },

  name_not_resolved: {
    means: 'The machine that runs Penstock cannot resolve the host name to an address.',
    todo: 'Check the spelling of the URL, and the DNS of that machine.',
  },
  target_not_allowed: {
    means:
      'Tests and jobs may not connect to any address of the host. By default, link-local, cloud metadata, multicast and ' +
      'similar addresses are blocked.',
    todo: 'If the address is right, add the host, address or network to `PENSTOCK_TARGETS` (docs/security.md) and restart Penstock.',
  },
  connection_refused: {
    means: 'The host is reachable, but nothing listens on the port.',
    todo: 'Check the port, and that the broker runs and listens on this address.',
  },
  connection_timeout: {
    means: 'The server did not respond within the timeout.',
    todo: 'Check the address, and that no firewall drops the connection. Raise `connectTimeoutMs` of the profile if the server is slow.',
  },
  connection_lost: {
    means: 'An open connection has ended. A job connects again.',
    todo: 'If it repeats, check the log of the broker, and whether another client uses the same id.',
  },
  network_unreachable: {
    means: 'The machine that runs Penstock has no route to the address.',
    todo: 'Check the address and the network of that machine.',
  },
  tls_certificate_expired: {
    means:
      'The server certificate, or that of its issuer, has expired or is not valid yet. The message says which.',
    todo: 'Renew the certificate. Check the clocks of both machines.',
  },
  tls_unknown_issuer: {
    means: 'The server certificate was issued by an authority that is not trusted.',
    todo:
      'The message names the issuer. Put its certificate into `tls.ca` of the profile, or let the server send its intermediate ' +
      'certificates: see Certificates in docs/connectors/mqtt.md.',
  },
  tls_self_signed: {
    means: 'The server certificate is self-signed and not in `tls.ca` of the profile.',
    todo: 'Put that certificate into `tls.ca` of the profile.',
  },
  tls_name_mismatch: {
    means: 'The server certificate does not contain the host name of the URL.',
    todo: 'Use a name that the hint proposes, in the URL or as `serverName` of the profile, or let the certificate be issued again.',
  },
  tls_client_certificate_required: {
    means: 'The server accepts only clients with a certificate.',
    todo: 'Set `tls.cert` and `tls.key` of the profile.',
  },
  tls_client_certificate_refused: {
    means: 'The server does not accept the client certificate of the profile.',
    todo: 'Check that it has not expired or been revoked, and that the server trusts its authority.',
  },
  tls_not_spoken: {
    means: 'The server responds on this port, but without TLS.',
    todo: 'Use the URL scheme without TLS, or the TLS port of the server.',
  },
  tls_bad_material: {
    means: 'A certificate, key or passphrase of the profile cannot be used.',
    todo: 'The message names the field, the block and what is wrong with it. A key must belong to the certificate, and an encrypted one needs its passphrase.',
  },
  tls_failed: {
    means: 'The handshake failed for another reason, such as no common TLS version or cipher.',
    todo: 'The message has the TLS error. The log of the server often has more.',
  },

  http_unauthorized: {
    means: 'The server responded with 401, 403 or 407.',
    todo: 'Correct the credentials in `headers`, such as `Authorization: Bearer …`, or let the server allow them.',
  },
  http_refused: {
    means: 'The server responded with a status that another try would not change, such as 404 or 405.',
    todo: 'Check the endpoint, its method and its headers. The message has the status.',
  },
  http_unavailable: {
    means:
      'The server responded with 408, 425, 429 or a status from 500 on, as a proxy does as long as the server behind it is down. It may be the response to the upgrade to WebSocket.',
    todo: 'Wait: Penstock tries again, after the time of `Retry-After` if there is one. Check the server if it goes on.',
  },
  http_protocol_error: {
    means: 'The response cannot be read: it is no HTTP, ends early, or has more headers than allowed.',
    todo: 'Check that the port of the endpoint speaks HTTP, and what stands between it and Penstock.',
  },
  http_too_large: {
    means: 'The body of the response is larger than the limit.',
    todo: 'Ask the endpoint for less, for example with a page size.',
  },
  websocket_refused: {
    means:
      'The server refused the upgrade to WebSocket for a reason that repeating does not change. Redirects are not followed.',
    todo: 'Check the port and the path of the URL. The path is often `/mqtt`.',
  },
  schema_registry_unavailable: {
    means:
      'The schema registry of the connection profile or table is unavailable, or a proxy responds instead, and a schema is needed that is not ' +
      'known yet. A job tries again; its messages stay where they are.',
    todo: 'Check that the registry runs and can be reached. The message has its address and what went wrong.',
  },
  schema_registry_unauthorized: {
    means: 'The schema registry responded with 401, 403 or 407.',
    todo: 'Check the API key and secret of the schema registry in the connection profile or table, and what the key may do.',
  },
  schema_registry_refused: {
    means:
      'The schema registry refuses a request, such as an invalid schema, or the server is not a schema registry with the API of Confluent.',
    todo: 'Look at the message, which has the words of the registry. Check the endpoint, and whether the API has a path.',
  },
  schema_not_registered: {
    means:
      'A subject does not have the schema of a sink that may not register it, or there is no schema with the `schema_id` of the format.',
    todo: 'Register the schema, set `schema_id`, or set `register_schema` to true.',
  },
  schema_incompatible: {
    means: 'The schema of a sink is not compatible with those in its subject, as the registry judges it.',
    todo: 'Take the latest schema of the subject as the definition of the table, or change the compatibility of the subject.',
  },
};
