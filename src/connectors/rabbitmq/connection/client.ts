import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { Channel, ChannelModel, ConfirmChannel } from 'amqplib';
// amqplib dials by itself, without asking the targets, and exports nothing that takes a socket: hence these parts of it.
import { ChannelModel as Channels } from '../../../../node_modules/amqplib/lib/channel_model.js';
import { Connection as Protocol } from '../../../../node_modules/amqplib/lib/connection.js';
import type { Frame } from '../../../../node_modules/amqplib/lib/frame.js';
import { PenstockError } from '../../../errors.ts';
import type { Identity, Reachable } from '../../connector.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { type Endpoint, lastError, openSocket } from '../../network/dial.ts';
import { isTlsReason, refusedPeer, tlsError } from '../../network/socket-errors.ts';
import { rabbitmqError } from '../config/errors.ts';
import {
  connectTimeoutMs,
  endpointsOf,
  isExternal,
  loginOf,
  nameOf,
  type RabbitmqProfile,
  tlsOf,
  vhostOf,
} from '../config/profile.ts';
import { readFrame } from './frames.ts';
import { connectionLost, notSpoken, type Said, saidIn, serverError, translated } from './translate.ts';

/** The default of RabbitMQ. A message of any size comes in frames of this size. */
const maxFrame = 131_072;
/** Maximum size of a message that is read: the default of RabbitMQ before 4.0. */
const maxMessage = 128 * 1024 * 1024;

/** The name of the connection of a task, for the monitoring of the server. */
export const taskName = ({ jobId, operatorId, taskIndex }: Identity): string =>
  `penstock ${jobId} ${operatorId} ${taskIndex}`;

/** Connects to the first server that works. Servers that it announces are never dialled. */
export async function connect(
  reachable: Reachable<RabbitmqProfile>,
  name: string,
  signal: AbortSignal,
): Promise<Connection> {
  const { profile, targets } = reachable;
  const ms = connectTimeoutMs(profile);
  const failures: PenstockError[] = [];
  for (const endpoint of endpointsOf(profile)) {
    try {
      return await within(
        ms,
        signal,
        () => late(endpoint, ms),
        async (soon) =>
          logIn(
            await openSocket(endpoint, { profile: tlsOf(profile), targets }, soon),
            endpoint,
            profile,
            name,
            soon,
          ),
      );
    } catch (error) {
      signal.throwIfAborted();
      failures.push(translated(error));
    }
  }
  // A login that one server refuses would be refused by the others, and to try again for ever would hide it.
  const refused = failures.find(({ code }) => (code as string) === 'rabbitmq_login_refused');
  throw refused ?? failures.find(({ passing }) => passing) ?? failures[0];
}

const late = (endpoint: Endpoint, ms: number): PenstockError =>
  new PenstockError('connection_timeout', `${nameOf(endpoint)} did not log the client in within ${ms} ms`, {
    hint: 'Check the port, and whether it is one for TLS: a server that expects TLS does not respond to a client without it.',
  });

/** Speaks AMQP over a connected socket, which is closed if that fails. */
export async function logIn(
  socket: Socket,
  endpoint: Endpoint,
  profile: RabbitmqProfile,
  name: string,
  signal: AbortSignal,
): Promise<Connection> {
  const connection = new Connection(socket, endpoint);
  try {
    await untilReported<void>(signal, (resolve, reject) => {
      const closed = () => reject(connectionLost(lastError(socket)));
      socket.once('close', closed);
      connection.protocol.open(openFields(profile, name), (error) => (error ? reject(error) : resolve()));
      return () => socket.off('close', closed);
    });
    connection.opened();
    return connection;
  } catch (error) {
    connection.destroy();
    signal.throwIfAborted();
    throw loginError(error, connection, endpoint, profile);
  }
}

/** The fields of start-ok, tune-ok and open, as the library wants them. */
function openFields(profile: RabbitmqProfile, name: string): object {
  const { username, password } = loginOf(profile);
  const external = isExternal(profile);
  return {
    clientProperties: {
      product: 'Penstock',
      connection_name: name,
      capabilities: {
        publisher_confirms: true,
        'basic.nack': true,
        consumer_cancel_notify: true,
        'connection.blocked': true,
        authentication_failure_close: true,
      },
    },
    mechanism: external ? 'EXTERNAL' : 'PLAIN',
    response: external ? Buffer.alloc(0) : Buffer.from(`\0${username}\0${password}`),
    locale: 'en_US',
    channelMax: 0,
    frameMax: maxFrame,
    heartbeat: profile.heartbeat_secs ?? 20,
    maxFrameSize: 1024 * 1024,
    virtualHost: vhostOf(profile),
    capabilities: '',
    insist: 0,
  };
}

function loginError(
  error: unknown,
  connection: Connection,
  endpoint: Endpoint,
  profile: RabbitmqProfile,
): PenstockError {
  const { socket, said } = connection;
  // In TLS 1.3 the server refuses a client certificate after the handshake.
  const failure = lastError(socket);
  if (socket instanceof TLSSocket && isTlsReason(failure))
    return tlsError(failure, refusedPeer(endpoint.host, tlsOf(profile)));
  if (said) return serverError(said, error);
  if (error instanceof PenstockError && error.code !== 'connection_lost') return error;
  const { message } = error as Error;
  if (/SASL mechanism/.test(message))
    return rabbitmqError(
      'rabbitmq_login_refused',
      `The server has no login by ${isExternal(profile) ? 'EXTERNAL' : 'PLAIN'}`,
      {
        hint: 'EXTERNAL needs the plugin rabbitmq_auth_mechanism_ssl and auth_mechanisms of the server.',
        cause: error,
      },
    );
  return isForeign(error, connection)
    ? notSpoken(nameOf(endpoint), error)
    : closedEarly(nameOf(endpoint), error);
}

/** Whether the server said something that is no AMQP. Only a server that ends, or one behind a proxy, says nothing and closes. */
function isForeign(error: unknown, { protocol: { rest } }: Connection): boolean {
  // The first frame of AMQP is a method: its first byte is 1.
  return (rest.length > 0 && rest[0] !== 1) || /frame|^expected /i.test((error as Error).message);
}

const closedEarly = (server: string, cause: unknown): PenstockError =>
  new PenstockError('connection_lost', `${server} closed the connection before the login`, {
    hint: 'The server may be starting or stopping. If it lasts, check the port, and whether it is one for TLS.',
    cause,
  });

type LostListener = (error: PenstockError) => void;
/** With the reason of an alarm; undefined when it is over. */
type BlockedListener = (reason: string | undefined) => void;

/** A connection over a socket of `network/`. */
export class Connection {
  readonly socket: Socket;
  readonly endpoint: Endpoint;
  readonly protocol: Protocol;
  /** Reason that the server gave when it closed the connection. */
  said: Said | undefined;
  #model: ChannelModel | undefined;
  #failure: unknown;
  #lost: PenstockError | undefined;
  #closing = false;
  readonly #lostListeners = new Set<LostListener>();
  readonly #ended: Promise<void>;
  /** Of closed channels. */
  readonly #flushing = new Set<Promise<void>>();

  constructor(socket: Socket, endpoint: Endpoint) {
    this.socket = socket;
    this.endpoint = endpoint;
    this.protocol = new Protocol(socket);
    this.protocol.recvFrame = () => this.#receive();
    this.protocol.on('error', (error: Error) => {
      this.#failure ??= error;
    });
    // Also after a missing heartbeat: the socket is open then.
    this.protocol.on('close', () => {
      if (!this.#closing) socket.destroy();
    });
    this.#ended = new Promise((resolve) => {
      socket.once('close', () => {
        this.#over();
        resolve();
      });
    });
  }

  /** Called when the server has accepted the login. */
  opened(): void {
    this.#model = new Channels(this.protocol);
    this.#model.on('error', () => {});
  }

  /** Version and name of the server, as it says. */
  get server(): { product: string; version: string; cluster: string } {
    const { product, version, cluster_name: cluster } = this.protocol.serverProperties;
    return { product: String(product), version: String(version), cluster: String(cluster ?? '') };
  }

  /** Calls `listener` once when the connection is lost, also if it is already. Not after `close`. Returns how to stop that. */
  whenLost(listener: LostListener): () => void {
    if (this.#lost) listener(this.#lost);
    else this.#lostListeners.add(listener);
    return () => this.#lostListeners.delete(listener);
  }

  /** Calls `listener` when the server sets or ends an alarm for lack of memory or disk space. */
  whenBlocked(listener: BlockedListener): void {
    this.protocol.on('blocked', (reason: string) => listener(reason));
    this.protocol.on('unblocked', () => listener(undefined));
  }

  channel(signal: AbortSignal): Promise<OpenChannel<Channel>> {
    return this.#open((model) => model.createChannel(), signal);
  }

  /** A channel on which the server confirms each message. */
  confirmChannel(signal: AbortSignal): Promise<OpenChannel<ConfirmChannel>> {
    return this.#open((model) => model.createConfirmChannel(), signal);
  }

  async #open<C extends Channel>(
    create: (model: ChannelModel) => Promise<C>,
    signal: AbortSignal,
  ): Promise<OpenChannel<C>> {
    // The library gives the number of a closed channel to the next one at once, whose frames would go in between.
    while (this.#flushing.size > 0) await this.until(Promise.all(this.#flushing), signal);
    if (this.#lost) throw this.#lost;
    const opening = create(this.#model as ChannelModel).then((raw) => new OpenChannel(raw, this));
    return this.until(opening, signal);
  }

  /** A channel is closed, and frames that were written on it leave for the socket until `flushed`. */
  flushing(flushed: Promise<void>): void {
    this.#flushing.add(flushed);
    void flushed.then(() => this.#flushing.delete(flushed));
  }

  /** Waits for something that only the server can resolve. */
  until<T>(work: Promise<T>, signal: AbortSignal, ms = 30_000): Promise<T> {
    // Nobody may listen any more when it rejects.
    work.catch(() => {});
    const silent = () =>
      rabbitmqError('rabbitmq_not_answered', `The server did not respond within ${ms} ms`, {
        hint: 'Check the load of the server.',
      });
    return within(ms, signal, silent, (soon) =>
      untilReported<T>(soon, (resolve, reject) => {
        const stop = this.whenLost(reject);
        work.then(resolve, (error: unknown) => reject(this.#lost ?? translated(error)));
        return stop;
      }),
    );
  }

  /** Sends what was written and disconnects. May be called twice and after a loss. */
  async close(): Promise<void> {
    if (!this.#closing) {
      this.#closing = true;
      this.#lostListeners.clear();
      const done = () => this.socket.destroy();
      // A server that hangs does not respond.
      const limit = setTimeout(done, 1_000);
      try {
        this.protocol.close(done);
      } catch {
        done();
      }
      await this.#ended;
      clearTimeout(limit);
    }
    await this.#ended;
  }

  /** Disconnects at once. */
  destroy(): void {
    this.#closing = true;
    this.#lostListeners.clear();
    this.socket.destroy();
  }

  /** The next frame; false if it has not arrived. */
  #receive(): Frame | false {
    const { protocol } = this;
    for (;;) {
      const read = readFrame(protocol.rest, protocol.maxFrameSize);
      if (read) {
        protocol.rest = read.rest;
        this.#look(read.frame);
        return read.frame;
      }
      const incoming: Buffer | null = this.socket.read();
      if (incoming === null) return false;
      protocol.recvSinceLastCheck = true;
      protocol.rest = Buffer.concat([protocol.rest, incoming]);
    }
  }

  /** Notes what the library does not hand on. */
  #look({ channel, fields, size }: Frame): void {
    if (channel === 0) {
      const { replyCode, replyText } = fields ?? {};
      if (typeof replyCode === 'number') this.said ??= { status: replyCode, text: String(replyText) };
    }
    if (size === undefined || size <= maxMessage) return;
    const error = rabbitmqError(
      'rabbitmq_message_too_large',
      `A message has ${size} bytes, more than ${maxMessage}`,
      {
        hint: 'The source cannot read it. Remove it from the queue, or send smaller ones.',
        facts: { bytes: size, limit: maxMessage },
      },
    );
    this.#failure = error;
    throw error;
  }

  /** The socket is closed: ends the heartbeats, and everything that waits for the server. */
  #over(): void {
    this.protocol.onSocketError(new Error('Unexpected close'));
    if (this.#closing) return;
    const failure = this.#failure;
    this.#lost =
      failure instanceof PenstockError
        ? failure
        : this.said
          ? serverError(this.said, failure)
          : connectionLost(lastError(this.socket) ?? failure);
    for (const listener of this.#lostListeners) listener(this.#lost);
    this.#lostListeners.clear();
  }
}

/** A channel, and why the server closed it. */
export class OpenChannel<C extends Channel = Channel> {
  readonly raw: C;
  readonly #connection: Connection;
  #said: Said | undefined;
  readonly #over = Promise.withResolvers<void>();
  #closed = false;
  #closing = false;
  constructor(raw: C, connection: Connection) {
    this.raw = raw;
    this.#connection = connection;
    const buffer = connection.protocol.channels[(raw as unknown as { ch: number }).ch]?.buffer;
    const flushed = new Promise<void>(
      (resolve) => void (buffer ?? raw).once(buffer ? 'end' : 'close', () => resolve()),
    );
    raw.on('error', (error) => {
      this.#said ??= saidIn(error);
    });
    raw.on('close', () => {
      this.#closed = true;
      connection.flushing(flushed);
      this.#over.resolve();
    });
  }

  get open(): boolean {
    return !this.#closed && !this.#closing;
  }

  /** Calls `listener` when the server closes the channel. What ends with the connection is not reported. */
  whenClosed(listener: (said: Said) => void): void {
    this.raw.on('close', () => {
      if (this.#said && !this.#closing) listener(this.#said);
    });
  }

  /** Waits for a request on the channel. */
  until<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
    return this.#connection.until(work, signal);
  }

  /** Waits until the server has processed everything that was sent on it. Never throws. */
  async close(): Promise<void> {
    if (!this.open) return;
    this.#closing = true;
    try {
      // Without a response of the server, as when the connection ends, the promise of the library stays open.
      this.raw.close().catch(() => {});
      await this.#connection.until(this.#over.promise, new AbortController().signal, 5_000);
    } catch {
      // The connection is gone or goes: with it the channel.
    }
  }
}
