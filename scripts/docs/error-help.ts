import type { ErrorCode } from '../../src/errors.ts';

/** Explains an error code, and says what an operator can do. */
interface Help {
  means: string;
  todo: string;
}

/** Help for the codes of the core; connectors bring their own. `npm run openapi` writes docs/errors.md from both. */
export const errorHelp: Record<ErrorCode, Help> = {
  invalid_request: {
    means: 'The path, the query string or the body does not match the API document.',
    todo: 'Change each field listed in `errors`. The API document has the schemas.',
  },
  invalid_config: {
    means:
      'The `config` of a profile or table breaks a rule of its connector, or, at start, a setting in the environment is ' +
      'wrong.',
    todo: 'Change each field that `errors` points to; at start, the variables that the message names.',
  },
  invalid_schema: {
    means: 'The format, an option or a field of a connection schema is wrong.',
    todo: 'Change what `errors` lists. docs/formats.md describes each format.',
  },
  invalid_query: {
    means:
      'The query cannot be read, uses what Penstock does not run, or names tables or columns that do not exist.',
    todo: 'Change the query at the line and column in the message. docs/sql.md lists what is supported.',
  },
  unknown_connector: {
    means: 'The request names a kind of system that this Penstock has no connector for.',
    todo: 'Use one of the connectors that `GET /api/v1/connectors` lists.',
  },
  not_found: {
    means: 'Nothing has this id or name; perhaps it was deleted.',
    todo: 'List the objects of this kind, and check the id.',
  },
  name_taken: {
    means: 'Another object of this kind has the name.',
    todo: 'Choose another name, or change the object that has it with PUT or PATCH.',
  },
  connection_profile_in_use: {
    means: 'The profile cannot be deleted: tables or pipelines use it.',
    todo: 'Delete or move what `errors` names first.',
  },
  connection_table_in_use: {
    means: 'The table cannot be deleted: pipelines read or write it.',
    todo: 'Delete or change the pipelines that `errors` names first.',
  },
  dependents_broken: {
    means: 'The change is valid, but a table or pipeline that uses the object would become invalid.',
    todo: 'Change the tables and pipelines first, or create a new object and move them to it one by one.',
  },
  precondition_failed: {
    means:
      'The object has another version than `if-match` requires, or exists although `if-none-match: *` was sent.',
    todo: 'Get the object again, review what has changed, and send the change with the new ETag.',
  },
  plan_stale: {
    means: 'Objects have changed since the plan was made, so applying it would have another effect.',
    todo: 'Make a new plan, review it, and apply it.',
  },
  changed_meanwhile: {
    means: 'Other requests changed the same objects at every attempt.',
    todo: 'Send the request again.',
  },
  pipeline_running: {
    means: 'A pipeline cannot be deleted while its job runs, or while its worker still holds it.',
    todo: 'Stop it (PATCH with `{"stop": "graceful"}`) and delete it once its job is Stopped or Failed.',
  },
  illegal_state: {
    means: 'The request is not possible in the present state, such as revoking the last admin key.',
    todo: 'Follow the hint first.',
  },
  host_not_allowed: {
    means:
      'There is no API key, so only requests to a loopback name are answered: a web page must not reach Penstock under a ' +
      'name of its own.',
    todo: 'Use http://127.0.0.1 or http://localhost, or make an admin key.',
  },
  unauthorized: {
    means: 'The request has no API key, or one that is unknown, revoked or expired.',
    todo: 'Send `authorization: Bearer <key>` with a key from `penstock keys create`.',
  },
  forbidden: {
    means: 'The key is valid, but the operation needs a higher role.',
    todo: 'Use a key with the role named in the message.',
  },
  payload_too_large: {
    means: 'The body of the request is larger than 1 MiB.',
    todo: 'Send less in one request.',
  },
  unsupported_media_type: {
    means: 'The body is not in a media type that the operation reads.',
    todo: 'Send JSON with `content-type: application/json`, or a patch as `application/merge-patch+json`.',
  },
  too_many_requests: {
    means:
      'A caller has made more requests in a minute, or holds more event streams or tests at a time, than it may; or an ' +
      'address has tried too many wrong keys.',
    todo: 'Wait for the seconds in `retry-after`. `PENSTOCK_RATE_LIMIT` is the number a minute.',
  },
  overloaded: {
    means: 'The process is too busy to answer in time, and refuses new requests.',
    todo: 'Try again shortly. If it lasts, run the API and the worker as processes of their own.',
  },
  database_unavailable: {
    means: 'The database cannot be reached or does not respond in time.',
    todo: 'Check that it runs and that `PENSTOCK_DATABASE_URL` is correct. Running jobs continue meanwhile.',
  },
  database_migration_failed: {
    means: 'Bringing the database up to date did not succeed at start.',
    todo: 'The log has the cause. Remove it, and do what the hint says about a migration that was left half done.',
  },
  database_migration_edited: {
    means: 'A migration that this database has run is not the one that this version has under its name.',
    todo: 'Run an unchanged release of Penstock; what is to change goes into a new migration.',
  },
  database_too_new: {
    means: 'A newer version of Penstock has migrated this database.',
    todo: 'Run that version or a newer one, or restore a backup from before.',
  },
  variable_not_allowed: {
    means:
      'A configuration has `{{ NAME }}` with a name that may not be read, or is not set, where Penstock runs.',
    todo: 'List the name in `PENSTOCK_ALLOWED_VARS`, set it, and start Penstock again.',
  },
  certificate_unreadable: {
    means: 'A certificate or key is given as a path that is not a readable file below `PENSTOCK_CERT_DIR`.',
    todo: 'Put the file into that folder, or give its PEM text instead of the path.',
  },
  secret_unreadable: {
    means: 'A stored secret was sealed with another key, or was changed or moved in the database.',
    todo: 'Add the key that it was sealed with to `PENSTOCK_SECRET_KEY`, or enter the secret again.',
  },
  internal: {
    means: 'An unexpected error. A job tries again.',
    todo: 'Find the log entry with the request id in `instance`, and report it.',
  },

  bad_data: {
    means: 'A message does not match the format or the fields of its source table.',
    todo: 'Look at the messages with a tail of the table, and mend the sender or the schema. `bad_data` of the table says whether such a message is dropped or fails the job.',
  },
  bad_row: {
    means: 'A row could not be computed by the query, or not be written in the format of the sink.',
    todo: 'The message says what is wrong with the value. Mend the query or the schema of the sink; `bad_data` of the source says what becomes of such rows.',
  },
  dead_letters_full: {
    means: 'A pipeline has as many dead letters as its source table allows.',
    todo: 'Repair and replay dead letters, or delete them; or raise `max_count` or `max_bytes` of `bad_data`. See docs/bad-data.md.',
  },
  source_silent: {
    means: 'A source has brought no message for longer than `maxSilenceSecs` of its table. The job goes on.',
    todo: 'Check that somebody publishes, and that the broker lets the user read the topic; the pipeline needs nothing.',
  },
  cannot_share: {
    means: 'The parallelism is above 1, and the source cannot give each message to one of several readers.',
    todo: 'Set the parallelism to 1, or change the table as the message says.',
  },
  thread_lost: {
    means:
      'The thread that a task ran in has crashed, or not answered for 30 s and was ended. Its tasks begin ' +
      'again in another; what was not acknowledged comes again.',
    todo:
      'Once: nothing. Again and again: one of the jobs that show it has a message or a query that no thread survives; the ' +
      'log has the cause. Stop them, start them one by one, and report what you find.',
  },
  query_too_slow: {
    means: 'The query took too long for a batch of rows.',
    todo: 'Make the query simpler, or split it; functions over long strings and lists cost the most.',
  },

  name_not_resolved: {
    means: 'The resolver of the machine that Penstock runs on has no address for the host name.',
    todo: 'Check the spelling of the URL, and the DNS of that machine.',
  },
  target_not_allowed: {
    means:
      'The host has no address that tests and jobs may reach. By default those are all but link-local addresses, cloud ' +
      'metadata and addresses that are none of a single machine.',
    todo: 'If it is right to reach it, add the host, address or network to `PENSTOCK_TARGETS` (docs/security.md) and start Penstock again.',
  },
  connection_refused: {
    means: 'The host answers, and nothing listens on the port.',
    todo: 'Check the port, and that the broker runs and listens on this address.',
  },
  connection_timeout: {
    means: 'The server did not respond in time.',
    todo: 'Check the address, and that no firewall drops the connection. `connectTimeoutMs` of a profile allows more.',
  },
  connection_lost: {
    means: 'A connection that was open has ended. A job connects again by itself.',
    todo: 'If it happens again and again, look into the log of the broker, and for another client with the same id.',
  },
  network_unreachable: {
    means: 'The machine that Penstock runs on has no route to the address.',
    todo: 'Check the address and the network of that machine.',
  },
  tls_certificate_expired: {
    means: 'The certificate of the server is past its time, or not valid yet.',
    todo: 'Renew the certificate; check the clocks of both machines.',
  },
  tls_unknown_issuer: {
    means: 'The certificate of the server was issued by an authority that is not trusted.',
    todo: 'Put the certificate of the authority into `tls.ca` of the profile; let the server send the ones between, too.',
  },
  tls_self_signed: {
    means: 'The certificate of the server is signed by itself, and not known.',
    todo: 'Put that certificate into `tls.ca` of the profile.',
  },
  tls_name_mismatch: {
    means: 'The certificate of the server does not name the host of the URL.',
    todo: 'Use a name that the certificate has, or set `serverName` of the profile to it.',
  },
  tls_client_certificate_required: {
    means: 'The server only talks to clients that show a certificate.',
    todo: 'Set `tls.cert` and `tls.key` of the profile.',
  },
  tls_client_certificate_refused: {
    means: 'The server does not accept the certificate that the profile has.',
    todo: 'Check that it has not expired or been revoked, and that its authority is one that the server trusts.',
  },
  tls_not_spoken: {
    means: 'The port answers without TLS.',
    todo: 'Use the URL scheme without TLS, or the port that has TLS.',
  },
  tls_bad_material: {
    means: 'A certificate, key or passphrase of the profile cannot be used.',
    todo: 'Give whole PEM blocks, a key that belongs to the certificate, and the passphrase of an encrypted key.',
  },
  tls_failed: {
    means: 'The handshake failed in another way, such as no version or cipher in common.',
    todo: 'The message has what TLS said; the log of the server often has more.',
  },

  websocket_refused: {
    means: 'The server answers the upgrade to WebSocket with something else. Redirects are not followed.',
    todo: 'Check the port and the path of the URL; brokers often have it at `/mqtt`.',
  },
};
