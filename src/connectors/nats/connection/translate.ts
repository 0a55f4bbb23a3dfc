import { asPenstockError, PenstockError } from '../../../errors.ts';
import { natsError, type natsErrors } from '../config/errors.ts';

/** Translates errors of the server and of the library. */

type NatsCode = keyof typeof natsErrors;

/** The codes of JetStream (server/errors.json of nats-server) that say more than their HTTP status. */
const byCode: Readonly<Record<number, [code: NatsCode, hint?: string]>> = {
  10002: ['nats_unavailable'],
  // Fewer servers are there than the consumer needs.
  10005: ['nats_unavailable'],
  10014: ['nats_consumer_deleted'],
  10023: ['nats_stream_full', 'The account or the server has no storage left.'],
  10028: ['nats_stream_full', 'The account or the server has no memory left.'],
  10035: ['nats_jetstream_disabled'],
  10039: ['nats_jetstream_disabled'],
  10047: ['nats_stream_full', 'The account or the server has no storage left.'],
  10054: ['nats_message_too_large', 'Raise max_msg_size of the stream.'],
  10059: ['nats_stream_missing'],
  10060: [
    'nats_subject_uncovered',
    'Another stream has the subject: correct the stream or the subject of the table.',
  ],
  10074: ['nats_refused'],
  10076: ['nats_jetstream_disabled'],
  10077: ['nats_stream_full', 'Raise the limits of the stream, or delete messages from it.'],
  // A message with the same ID is being stored: sent again, it is known or takes its place.
  10158: ['nats_unavailable'],
  // The servers of a cluster change.
  10202: ['nats_unavailable'],
};

/** A server that starts, stops or has no leader fails with one of many codes. */
const isBusy = (status: number): boolean => status === 429 || status >= 500;

/** A response of JetStream with an error. */
export function apiError(
  error: { code?: number; err_code?: number; description?: string },
  what = '',
): PenstockError {
  const { err_code = 0, code: status = 0, description = 'no reason' } = error;
  const [code, hint] = byCode[err_code] ?? [isBusy(status) ? 'nats_unavailable' : 'nats_refused'];
  return natsError(code, `${what}JetStream responds: ${description.slice(0, 300)} (${err_code})`, {
    ...(hint === undefined ? {} : { hint }),
    facts: { status, errorCode: err_code },
  });
}

interface LibraryError extends Error {
  subject?: string;
  operation?: string;
  apiError?(): { code: number; err_code: number; description: string };
  isNoResponders?(): boolean;
}

/** An error of the library as one of ours. */
export function translated(error: unknown): PenstockError {
  if (error instanceof PenstockError || !(error instanceof Error)) return asPenstockError(error);
  const given = error as LibraryError;
  if (typeof given.apiError === 'function') return apiError(given.apiError());
  const { message, cause } = given;
  // A request fails with an error that has it as its cause.
  if (cause instanceof Error && cause.name === 'PermissionViolationError') return translated(cause);
  // By message and name rather than class: the library is loaded on demand only.
  if (given.name === 'PermissionViolationError') return forbidden(given.operation, given.subject);
  if (given.name === 'JetStreamNotEnabled' || given.isNoResponders?.() || message === 'no responders')
    return jetStreamDisabled(error);
  if (given.name === 'TimeoutError' || message === 'timeout')
    return natsError('nats_not_answered', 'The server did not respond to a request', { cause: error });
  const needed = /'(\w+)' requires server ([\d.]+)/.exec(message);
  if (needed)
    return natsError('nats_unsupported', `${needed[1]} needs nats-server ${needed[2]} or newer`, {
      cause: error,
    });
  if (
    /authorization violation|authentication (expired|revoked)|authentication token|credentials/i.test(message)
  )
    return natsError('nats_login_refused', `The server refuses the login: ${message.slice(0, 200)}`, {
      hint: 'Correct authentication of the profile. The log of the server names the reason.',
      cause: error,
    });
  if (/authentication timeout/i.test(message))
    return new PenstockError('connection_timeout', 'The server had no login in time', { cause: error });
  if (/maximum (account active )?connections|maximum active/i.test(message))
    return natsError('nats_too_many_connections', `The server refuses: ${message.slice(0, 200)}`, {
      cause: error,
    });
  if (given.name === 'ProtocolError')
    return new PenstockError('connection_lost', `The server ended the connection: ${message.slice(0, 200)}`, {
      cause: error,
    });
  if (/closed|disconnected|draining/i.test(message)) return connectionLost(error);
  return asPenstockError(error);
}

export const forbidden = (operation = 'use', subject = 'a subject'): PenstockError => {
  const verb =
    operation === 'subscription' ? 'subscribe to' : operation === 'publish' ? 'publish to' : operation;
  return natsError('nats_forbidden', `The user may not ${verb} ${subject.slice(0, 255)}`, {
    hint: `Allow it in the permissions of the user: ${operation === 'subscription' ? 'subscribe' : 'publish'} ${subject.slice(0, 255)}`,
    facts: { subject: subject.slice(0, 255) },
  });
};

export const jetStreamDisabled = (cause?: unknown): PenstockError =>
  natsError('nats_jetstream_disabled', 'JetStream does not respond: it is not enabled for this account', {
    hint: 'Enable it on the server (jetstream { store_dir: … }) and for the account, or correct domain of the profile.',
    cause,
  });

export const connectionLost = (cause?: unknown): PenstockError =>
  new PenstockError('connection_lost', 'The connection to the NATS server was lost', { cause });

/** A missing permission is no fault of the connection. */
export const isForbidden = ({ code }: PenstockError): boolean => (code as string) === 'nats_forbidden';
