import { asPenstockError, PenstockError } from '../../../errors.ts';
import { rabbitmqError, type rabbitmqErrors } from '../config/errors.ts';

/** Translates errors of the server and of the library. */

type RabbitmqCode = keyof typeof rabbitmqErrors;

/** A close of the server, as `connection.close` and `channel.close` have it. */
export interface Said {
  /** Reply code of AMQP. */
  status: number;
  text: string;
}

/** By reply code and text. The first match counts. The texts are those of RabbitMQ 3.8 to 4.2. */
const meanings: readonly [status: number, text: RegExp, code: RabbitmqCode][] = [
  [530, /is down/i, 'rabbitmq_unavailable'],
  [403, /login was refused|authentication/i, 'rabbitmq_login_refused'],
  [530, /user can only log in via localhost/i, 'rabbitmq_login_refused'],
  [530, /connection limit|limit .* is reached|max.*connections|node limit/i, 'rabbitmq_too_many_connections'],
  [530, /vhost|virtual host/i, 'rabbitmq_vhost_refused'],
  [402, /./, 'rabbitmq_vhost_refused'],
  [403, /in exclusive use/i, 'rabbitmq_in_use'],
  [405, /exclusive|locked/i, 'rabbitmq_in_use'],
  [403, /./, 'rabbitmq_forbidden'],
  [
    404,
    /is down or inaccessible|process is stopped|may be stopping|crashed|minority|due to timeout/i,
    'rabbitmq_unavailable',
  ],
  [404, /no queue/i, 'rabbitmq_queue_missing'],
  [404, /no exchange/i, 'rabbitmq_exchange_missing'],
  [406, /delivery acknowledgement on channel .* timed out/i, 'rabbitmq_ack_timeout'],
  [406, /message size .* is larger than/i, 'rabbitmq_message_too_large'],
  [406, /running replica/i, 'rabbitmq_unavailable'],
  [406, /invalid arg 'x-(?:stream-offset|priority)'/i, 'rabbitmq_wrong_kind'],
  [541, /./, 'rabbitmq_unavailable'],
  [506, /./, 'rabbitmq_unavailable'],
];

/** The error for a close of a channel or the connection by the server. */
export function serverError({ status, text }: Said, cause?: unknown): PenstockError {
  const said = text.slice(0, 300);
  const [, , code] = meanings.find(([one, like]) => one === status && like.test(text)) ?? [];
  if (code === undefined && (status === 320 || status === 200))
    return new PenstockError('connection_lost', `The server closed the connection: ${said}`, { cause });
  return rabbitmqError(code ?? 'rabbitmq_refused', `The server responds: ${said} (${status})`, {
    facts: { status },
    cause,
  });
}

/** The error of a channel or a request, which has the reply code. Undefined if it is none of the server. */
export function saidIn(error: unknown): Said | undefined {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: string };
  if (typeof code !== 'number' || message === undefined) return undefined;
  const [, text = message] = /with message "(.*)"$/s.exec(message) ?? [];
  return { status: code, text };
}

/** An error of the library as one of ours. */
export function translated(error: unknown): PenstockError {
  if (error instanceof PenstockError || !(error instanceof Error)) return asPenstockError(error);
  const said = saidIn(error);
  if (said) return serverError(said, error);
  return isOver(error) ? connectionLost(error) : asPenstockError(error);
}

/** The errors with which the library ends what waits when a channel or the connection is over. */
const isOver = ({ name, message }: Error): boolean =>
  name === 'IllegalOperationError' ||
  /channel ended|channel clos|connection clos|unexpected close|heartbeat/i.test(message);

export const connectionLost = (cause?: unknown): PenstockError =>
  new PenstockError('connection_lost', 'The connection to the RabbitMQ server was lost', { cause });

export const notSpoken = (server: string, cause?: unknown): PenstockError =>
  rabbitmqError('rabbitmq_not_spoken', `${server} does not respond as an AMQP 0-9-1 server does`, {
    hint: 'Use the port for AMQP, usually 5672, or 5671 with TLS; 5552 is for the stream protocol.',
    cause,
  });
