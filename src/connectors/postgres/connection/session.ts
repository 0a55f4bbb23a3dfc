import type { Socket } from 'node:net';
import pg from 'pg';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { connectTcp, lastError, resolveHost, startTls } from '../../network/dial.ts';
import { isTlsReason, someTlsPeer, tlsError } from '../../network/socket-errors.ts';
import { postgresError } from '../config/errors.ts';
import {
  addressOf,
  applicationName,
  connectTimeoutMs,
  endpointOf,
  type PostgresProfile,
  tlsOf,
} from '../config/profile.ts';
import { translated } from './server-errors.ts';

type Result = pg.QueryResult<Record<string, unknown>>;

/** Time beyond the statement timeout of the server, after which a connection counts as dead. */
const graceMs = 10_000;
/** Maximum number of bytes that a server may send for one statement. */
const maxReplyBytes = 16 * 1024 * 1024;

/**
 * A connection to PostgreSQL, over a socket of `network/`. It sets nothing for the session and prepares no statement, so
 * that pgbouncer may give every transaction another connection of the server.
 */
export class Session {
  readonly #client: pg.Client;
  readonly #socket: Socket;
  readonly #ended: Promise<void>;
  #failure: unknown;
  #closing = false;
  #replyBytes = 0;
  #lost: (error: PenstockError) => void = () => {};

  constructor(client: pg.Client, socket: Socket) {
    this.#client = client;
    this.#socket = socket;
    this.#ended = new Promise((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    });
    client.on('error', (error) => this.#fail(error));
    client.on('end', () => this.#fail(new Error('closed')));
    socket.on('data', (data: Buffer) => this.#received(data.length));
    if (socket.destroyed) this.#fail(new Error('closed'));
  }

  /** Calls `lost` once, when the connection ends before `close`. */
  whenLost(lost: (error: PenstockError) => void): void {
    this.#lost = lost;
    if (this.#failure !== undefined) lost(translated(this.#failure));
  }

  /** Runs one statement with values, or several without. Rejects with the error of `pg`. */
  async query(text: string, values?: readonly unknown[]): Promise<Result> {
    this.#check();
    return (await this.#client.query(text, values as unknown[] | undefined)) as Result;
  }

  /** Runs statements of which one is a `COPY … FROM STDIN`. Rejects with the error of `pg`. */
  async copy(text: string, data: Buffer): Promise<void> {
    this.#check();
    const copy = new CopyIn(text, data);
    this.#client.query(copy as unknown as pg.Submittable);
    await copy.done;
  }

  /** Rejects and ends the connection if `work` takes longer than a statement may. */
  async withinDeadline<T>(statementMs: number, work: () => Promise<T>): Promise<T> {
    const timer = setTimeout(() => {
      this.#fail(
        postgresError('connection_lost', `The server has not responded for ${statementMs + graceMs} ms`, {
          hint: 'Check the network, and whether the server hangs.',
        }),
      );
      this.destroy();
    }, statementMs + graceMs);
    try {
      return await work();
    } catch (error) {
      throw this.#failure ?? error;
    } finally {
      clearTimeout(timer);
    }
  }

  destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  /** Says goodbye and waits until the socket is closed. Never throws. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      // A server that hangs does not close its side.
      setTimeout(() => this.#socket.destroy(), 1_000).unref();
      this.#client.end().catch(() => {});
    }
    await this.#ended;
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
    this.#replyBytes = 0;
  }

  #received(bytes: number): void {
    this.#replyBytes += bytes;
    if (this.#replyBytes < maxReplyBytes) return;
    this.#fail(postgresError('connection_lost', 'The server sends more than Penstock asked for'));
    this.destroy();
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    if (!this.#closing) this.#lost(translated(error));
  }
}

/** A query that `pg` submits, as its own `Query` is. The data is in memory already, so that a stream would only add waits. */
class CopyIn {
  readonly done: Promise<void>;
  callback = (): void => {};
  readonly #text: string;
  readonly #data: Buffer;
  readonly #settle: { resolve(): void; reject(error: unknown): void };

  constructor(text: string, data: Buffer) {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#text = text;
    this.#data = data;
    this.done = promise;
    this.#settle = { resolve, reject };
  }

  submit(connection: pg.Connection): void {
    connection.query(this.#text);
  }

  handleCopyInResponse(connection: { sendCopyFromChunk(data: Buffer): void; endCopyFrom(): void }): void {
    if (this.#data.length > 0) connection.sendCopyFromChunk(this.#data);
    connection.endCopyFrom();
  }

  handleError(error: unknown): void {
    this.#settle.reject(error);
  }

  handleReadyForQuery(): void {
    this.#settle.resolve();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
}

/** Resolves, connects, starts TLS and logs in. Throws `PenstockError` only, or the reason of the signal. */
export async function openSession(
  { profile, targets }: Reachable<PostgresProfile>,
  signal: AbortSignal,
): Promise<Session> {
  const ms = connectTimeoutMs(profile);
  const late = () =>
    new PenstockError('connection_timeout', `The server did not let Penstock log in within ${ms} ms`, {
      hint: 'Check the address and port, whether a firewall blocks the connection, and whether the server hangs.',
    });
  return within(ms, signal, late, async (inner) => {
    const endpoint = endpointOf(profile);
    const addresses = await resolveHost(endpoint.host, targets, inner);
    const plain = await connectTcp(endpoint, addresses, inner);
    return logIn(endpoint.tls ? await secure(plain, profile, inner) : plain, profile, inner);
  });
}

/** SSLRequest: its length, and the number that stands for it in place of a version. */
const sslRequest = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]);

/** Asks the server for TLS on a connected socket, and starts it. The socket is closed if that fails. */
export async function secure(socket: Socket, profile: PostgresProfile, signal: AbortSignal): Promise<Socket> {
  try {
    const answer = await untilReported<Buffer>(signal, (resolve, reject) => {
      const closed = () => reject(closedEarly('when Penstock asked for TLS', lastError(socket)));
      socket.once('data', resolve).once('close', closed);
      socket.write(sslRequest);
      return () => socket.off('data', resolve).off('close', closed);
    });
    checkAnswer(answer);
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return startTls(socket, endpointOf(profile), tlsOf(profile), signal);
}

/** Anything after the one byte came from somebody who wants it to be taken for encrypted. */
function checkAnswer(answer: Buffer): void {
  const text = answer.toString('latin1');
  if (text === 'S') return;
  if (text === 'N')
    throw postgresError('tls_not_spoken', 'The server does not offer TLS', {
      hint: 'Turn it on at the server: ALTER SYSTEM SET ssl = on; with a certificate. Or set tls.mode to disable if the network is trusted.',
    });
  if (text.startsWith('E'))
    throw postgresError('postgres_unavailable', 'The server responds to the request for TLS with an error', {
      hint: 'It may lack memory or processes: look at its log.',
    });
  throw notSpoken('The server responds to the request for TLS with something else');
}

const notSpoken = (message: string, cause?: unknown): PenstockError =>
  postgresError('postgres_not_spoken', message, {
    hint: 'Check the host and the port: PostgreSQL usually listens on 5432, pgbouncer on 6432.',
    cause,
  });

/** Types of the messages with which a server responds: authentication, an error, a notice, another protocol version. */
const logInReplies = [...'RENv'].map((letter) => letter.charCodeAt(0));

/** Logs in over an open socket, which is closed if that fails. */
export async function logIn(socket: Socket, profile: PostgresProfile, signal: AbortSignal): Promise<Session> {
  const { host, port, user, database } = addressOf(profile);
  const client = new pg.Client({
    host,
    port,
    user,
    database,
    // A function, because `pg` would look for a missing password in the environment and in files.
    password: () => profile.password ?? '',
    ssl: false,
    stream: () => connected(socket),
  });
  // Otherwise parameters of the environment, such as PGOPTIONS, would be sent too.
  const startup = { user, database, application_name: applicationName(profile) };
  Object.assign(client, { getStartupConf: () => startup });
  client.on('error', () => {});
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      // Another protocol would be read as a message of up to 4 GiB.
      const first = (data: Buffer) => {
        if (!logInReplies.includes(data[0] ?? 0))
          reject(notSpoken('The server does not respond to the login as PostgreSQL does'));
      };
      socket.once('data', first);
      client.connect((error: unknown) => (error ? reject(error) : resolve()));
      return () => socket.off('data', first);
    });
    return new Session(client, socket);
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw loginError(error, socket, profile);
  }
}

function loginError(error: unknown, socket: Socket, profile: PostgresProfile): PenstockError {
  const broken = lastError(socket);
  // In TLS 1.3 the refusal of a client certificate comes after the handshake.
  if (isTlsReason(broken)) return tlsError(broken, someTlsPeer(endpointOf(profile).host));
  if (error instanceof PenstockError) return error;
  const found = translated(error);
  return found.code === 'connection_lost' ? closedEarly('during the login', error) : found;
}

/** A server that starts or stops, or a proxy before it, closes the connection like one of another protocol. */
const closedEarly = (when: string, cause: unknown): PenstockError =>
  postgresError('connection_lost', `The server closed the connection ${when}`, {
    hint: 'The server may be starting or stopping. If it lasts, check that this is the port of PostgreSQL, and look at the log of the server.',
    cause,
  });

/** `pg` connects the stream that it is given: this one is connected already. */
function connected(socket: Socket): Socket {
  socket.connect = (() => {
    queueMicrotask(() => socket.emit('connect'));
    return socket;
  }) as Socket['connect'];
  return socket;
}
