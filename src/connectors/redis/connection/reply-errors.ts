import { PenstockError } from '../../../errors.ts';
import { type RedisErrorCode, redisError } from '../config/errors.ts';

/** Translates the errors with which Redis replies to commands. */

/** An error reply: the first word is its kind. */
export class ReplyFailure extends Error {
  readonly kind: string;

  constructor(text: string) {
    super(text);
    this.name = 'ReplyFailure';
    this.kind = /^[A-Z]+/.exec(text)?.[0] ?? 'ERR';
  }
}

const kinds: Readonly<Record<string, RedisErrorCode>> = {
  LOADING: 'redis_unavailable',
  MASTERDOWN: 'redis_unavailable',
  BUSY: 'redis_unavailable',
  CLUSTERDOWN: 'redis_unavailable',
  TRYAGAIN: 'redis_unavailable',
  NOREPLICAS: 'redis_not_confirmed',
  OOM: 'redis_out_of_memory',
  MISCONF: 'redis_cannot_save',
  READONLY: 'redis_read_only',
  NOAUTH: 'redis_login_refused',
  WRONGPASS: 'redis_login_refused',
  NOPERM: 'redis_forbidden',
  WRONGTYPE: 'redis_wrong_type',
  MOVED: 'redis_cluster_only',
  ASK: 'redis_cluster_only',
  NOGROUP: 'redis_group_lost',
  UNBLOCKED: 'redis_group_lost',
};

const hints: Partial<Record<RedisErrorCode, string>> = {
  redis_unavailable: 'Look at the log of the server if it lasts.',
  redis_out_of_memory: 'Make room at the server, or raise its maxmemory.',
  redis_cannot_save: 'Make room on the disk of the server, and look at its log.',
  redis_read_only: 'Connect to the master: ROLE names it.',
  redis_login_refused:
    'Correct username and password of the profile. ACL GETUSER shows the user at the server.',
  redis_forbidden: 'Give the user the command and the key: ACL SETUSER … +<command> ~<key>',
  redis_cluster_only: 'Use addresses of the profile instead of address.',
  redis_wrong_type: 'TYPE <key> shows what the key holds.',
};

/** The words of the server, without what a row has put into them. */
const words = (text: string): string => text.replaceAll(/[^ -~]/g, '?').slice(0, 200);

/**
 * Whether the same command may work later on this connection. A server that was demoted (READONLY, MASTERDOWN) may stay so:
 * a new connection may lead to the new master.
 */
export const passesHere = ({ kind }: ReplyFailure): boolean =>
  ['LOADING', 'BUSY', 'CLUSTERDOWN', 'TRYAGAIN', 'NOREPLICAS', 'OOM', 'MISCONF'].includes(kind);

/** Whether the reply refuses one key, so that other rows can still be written. */
export const refusesKey = ({ kind, message }: ReplyFailure): boolean =>
  kind === 'WRONGTYPE' || (kind === 'NOPERM' && /\bkeys?\b/.test(message));

/** Whether the server takes no more connections, as after a failover to which all clients connect. It closes this one. */
export const isFull = (text: string): boolean => /max number of clients/i.test(text);

export function replyError(failure: ReplyFailure): PenstockError {
  // A master that becomes a replica ends what waits there.
  const demoted = failure.kind === 'UNBLOCKED' && failure.message.includes('state changed');
  const code =
    demoted || isFull(failure.message) ? 'redis_unavailable' : (kinds[failure.kind] ?? 'redis_refused');
  const hint = hints[code];
  return redisError(code, `The server replies: ${words(failure.message)}`, {
    ...(hint === undefined ? {} : { hint }),
    facts: { reply: failure.kind },
  });
}

/** Any error of a connection as one of Penstock. */
export function translated(error: unknown): PenstockError {
  if (error instanceof PenstockError) return error;
  return error instanceof ReplyFailure
    ? replyError(error)
    : lost('The connection to the server broke', error);
}

export const lost = (message: string, cause?: unknown): PenstockError =>
  redisError('connection_lost', message, { hint: 'Check the network and the log of the server.', cause });
