import type { Socket } from 'node:net';
import { Redis } from 'ioredis';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { lastError, openSocket } from '../../network/dial.ts';
import { isTlsReason, someTlsPeer, tlsError } from '../../network/socket-errors.ts';
import { redisError } from '../config/errors.ts';
import {
  type Address,
  commandTimeoutMs,
  connectTimeoutMs,
  type RedisProfile,
  tlsOf,
} from '../config/profile.ts';
import { isFull, lost, ReplyFailure, replyError, translated } from './reply-errors.ts';

export type Argument = string | Buffer | number;
export type Command = readonly [name: string, ...args: Argument[]];

/** Maximum size of replies, and of those that have entries of streams: ten of them of the largest size that most servers take. */
const maxReplyBytes = 16 * 1024 * 1024;
const maxEntriesBytes = 10 * 512 * 1024 * 1024;

/** The reply to one command of a pipeline. */
export type Reply = { value: unknown } | { failure: ReplyFailure };

interface SendOptions {
  /** Whether texts of the reply are returned as bytes, such as entries. */
  binary?: boolean;
  /** Whether the reply may have entries in it, of any size. */
  large?: boolean;
  /** Time that the command may block on purpose. */
  blockMs?: number;
}

/** Gives ioredis a socket of `network/`, which is connected already. */
const connectorOf = (socket: Socket) =>
  class {
    check = () => true;
    connect = () => Promise.resolve(socket);
    disconnect = () => void socket.destroy();
  };

/**
 * A connection to one server, over a socket of `network/`. It sends each command once: ioredis neither connects again nor keeps
 * commands for later.
 */
export class Connection {
  readonly endpoint: Address;
  readonly #client: Redis;
  readonly #socket: Socket;
  readonly #timeoutMs: number;
  readonly #ended: Promise<void>;
  #failure: PenstockError | undefined;
  #closing = false;
  #replyBytes = 0;
  #maxReplyBytes = maxReplyBytes;
  #lost: (error: PenstockError) => void = () => {};

  constructor(socket: Socket, endpoint: Address, profile: RedisProfile) {
    this.endpoint = endpoint;
    this.#socket = socket;
    this.#timeoutMs = commandTimeoutMs(profile);
    this.#ended = new Promise((resolve) => {
      if (socket.closed) resolve();
      else socket.once('close', () => resolve());
    });
    socket.once('close', () => this.#fail(lost('The server closed the connection', lastError(socket))));
    this.#client = new Redis({
      Connector: connectorOf(socket) as never,
      protocol: 2,
      lazyConnect: true,
      retryStrategy: null,
      maxRetriesPerRequest: null,
      enableOfflineQueue: false,
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      disableClientInfo: true,
    });
    // An error of the socket, bytes that are no Redis protocol, or replies that nobody asked for.
    this.#client.on('error', (cause: NodeJS.ErrnoException) => {
      if (isFull(cause.message))
        this.#fail(replyError(new ReplyFailure('ERR max number of clients reached')));
      else
        this.#fail(
          cause.errno === undefined ? notSpoken(cause) : lost('The connection to the server broke', cause),
        );
      socket.destroy();
    });
  }

  /** Resolves when commands can be sent; nothing is sent. */
  async begin(): Promise<void> {
    await this.#client.connect().catch((cause: unknown) => {
      throw this.#failure ?? lost('The connection to the server broke', cause);
    });
    // Not before, because it would let the socket flow.
    this.#socket.on('data', (data: Buffer) => this.#received(data.length));
  }

  /** Calls `lost` once, when the connection ends before `close`. */
  whenLost(report: (error: PenstockError) => void): void {
    this.#lost = report;
    if (this.#failure !== undefined && !this.#closing) report(this.#failure);
  }

  /** Sends one command. Rejects with `ReplyFailure` if the server refuses it. Replies are texts, unless `binary`. */
  async send(command: Command, options: SendOptions = {}): Promise<unknown> {
    const { binary = false, large = binary, blockMs = 0 } = options;
    const [name, ...args] = command;
    if (large) this.#maxReplyBytes = maxEntriesBytes;
    const reply = await this.#withinDeadline(blockMs, () =>
      (binary ? this.#client.callBuffer(name, ...args) : this.#client.call(name, ...args)).then(
        (value: unknown): Reply => ({ value }),
        (error: unknown): Reply => ({ failure: this.#failureOf(error) }),
      ),
    );
    if ('failure' in reply) throw reply.failure;
    return reply.value;
  }

  /** Sends commands at once, and resolves with their replies. Rejects when the connection is lost. */
  async sendAll(commands: readonly Command[]): Promise<Reply[]> {
    if (commands.length === 0) return [];
    const pipeline = this.#client.pipeline();
    for (const [name, ...args] of commands) pipeline.call(name, ...args);
    const replies = await this.#withinDeadline(0, () => pipeline.exec());
    return (replies ?? []).map(([error, value]) => (error ? { failure: this.#failureOf(error) } : { value }));
  }

  destroy(): void {
    this.#closing = true;
    this.#socket.destroy();
  }

  /** Ends the connection and waits until the socket is closed. Never throws. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      // A server that hangs does not close its side.
      setTimeout(() => this.#socket.destroy(), 1_000).unref();
      this.#socket.end();
    }
    await this.#ended;
  }

  /** The refusal of the server; throws if there was no reply. The errors of ioredis hold the arguments: they go no further. */
  #failureOf(error: unknown): ReplyFailure {
    const { name, message } = error as Error;
    if (name !== 'ReplyError') throw this.#failure ?? lost('The connection to the server broke');
    return new ReplyFailure(message);
  }

  async #withinDeadline<T>(blockMs: number, work: () => Promise<T>): Promise<T> {
    if (this.#failure) throw this.#failure;
    this.#replyBytes = 0;
    const ms = this.#timeoutMs + blockMs;
    const timer = setTimeout(() => {
      this.#fail(lost(`The server has not replied for ${ms} ms`));
      this.#socket.destroy();
    }, ms);
    try {
      return await work();
    } finally {
      clearTimeout(timer);
    }
  }

  #received(bytes: number): void {
    this.#replyBytes += bytes;
    if (this.#replyBytes <= this.#maxReplyBytes) return;
    this.#fail(lost('The server sends more than Penstock asked for'));
    this.#socket.destroy();
  }

  #fail(error: PenstockError): void {
    if (this.#failure) return;
    this.#failure = error;
    if (!this.#closing) this.#lost(error);
  }
}

const notSpoken = (cause?: unknown): PenstockError =>
  redisError('redis_not_spoken', 'The server does not respond as Redis does', {
    hint: 'Check the host and the port: Redis usually listens on 6379. With TLS the address begins with rediss://.',
    cause,
  });

/** Connects and logs in. Throws `PenstockError` only, or the reason of the signal. */
export async function openConnection(
  { profile, targets }: Reachable<RedisProfile>,
  address: Address,
  signal: AbortSignal,
): Promise<Connection> {
  const ms = connectTimeoutMs(profile);
  const late = () =>
    new PenstockError('connection_timeout', `The server did not let Penstock log in within ${ms} ms`, {
      hint: 'Check the address and port, whether a firewall blocks the connection, and whether the server hangs.',
    });
  return within(ms, signal, late, async (inner) => {
    const socket = await openSocket(address, { profile: tlsOf(profile), targets }, inner);
    return logIn(socket, profile, address, inner);
  });
}

/** Logs in over an open socket, which is closed if that fails. */
export async function logIn(
  socket: Socket,
  profile: RedisProfile,
  address: Address,
  signal: AbortSignal,
): Promise<Connection> {
  const connection = new Connection(socket, address, profile);
  try {
    await orAborted(signal, async () => {
      await connection.begin();
      const { username, password } = profile;
      if (password) await connection.send(['AUTH', ...(username ? [username] : []), password]);
      const { database } = address;
      if (database > 0) await connection.send(['SELECT', database]);
      await connection.send(['PING']);
    });
    return connection;
  } catch (error) {
    connection.destroy();
    signal.throwIfAborted();
    throw loginError(error, socket, address);
  }
}

function loginError(error: unknown, socket: Socket, address: Address): PenstockError {
  const broken = lastError(socket);
  // In TLS 1.3 the refusal of a client certificate comes after the handshake.
  if (isTlsReason(broken)) return tlsError(broken, someTlsPeer(address.host));
  if (error instanceof ReplyFailure && error.kind === 'ERR' && /AUTH|password/i.test(error.message))
    return redisError('redis_login_refused', 'The server expects no password, or does not know users', {
      hint: 'Remove username and password from the profile, or set a password at the server.',
    });
  const found = translated(error);
  const isSilent = found.code === 'connection_lost' && socket.bytesRead === 0 && !address.tls;
  return isSilent ? closedEarly(error) : found;
}

/** A server that starts or stops, or a proxy before it, closes the connection like one that expects TLS. */
const closedEarly = (cause: unknown): PenstockError =>
  redisError('connection_lost', 'The server closed the connection before it replied', {
    hint: 'The server may be starting or stopping. If it lasts, check the port. With TLS the address begins with rediss://.',
    cause,
  });

/** Waits for `work`, but no longer than until the signal aborts. */
export const orAborted = <T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
  untilReported<T>(signal, (resolve, reject) => void work().then(resolve, reject));

/** Runs work that ends with the connection when the signal aborts. Throws `PenstockError`, or the reason. */
export async function onConnection<T>(
  connection: Connection,
  signal: AbortSignal,
  work: (connection: Connection) => Promise<T>,
): Promise<T> {
  try {
    return await orAborted(signal, () => work(connection));
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof ReplyFailure ? replyError(error) : translated(error);
  }
}
