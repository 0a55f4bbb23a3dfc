import { setImmediate as turn } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import {
  type Authenticator,
  jwtAuthenticator,
  type NatsConnection,
  NatsConnectionImpl,
  nkeyAuthenticator,
  type ServerInfo,
  setTransportFactory,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from '@nats-io/transport-node';
import { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { lastError } from '../../network/dial.ts';
import { isTlsReason, refusedPeer, tlsError } from '../../network/socket-errors.ts';
import { natsError } from '../config/errors.ts';
import { connectTimeoutMs, type NatsProfile, type NatsServer, serversOf } from '../config/profile.ts';
import { type Greeted, greet } from './greeting.ts';
import { connectionLost, translated } from './translate.ts';
import { type DialledOptions, SocketTransport } from './transport.ts';

/**
 * Connects to the first server that works. The servers that it announces itself (INFO connect_urls) are never dialled: the
 * library does not reconnect, the worker does.
 */
export async function connect(
  reachable: Reachable<NatsProfile>,
  name: string,
  signal: AbortSignal,
): Promise<Connection> {
  const { profile } = reachable;
  const ms = connectTimeoutMs(profile);
  const failures: PenstockError[] = [];
  for (const server of serversOf(profile)) {
    try {
      return await within(
        ms,
        signal,
        () => late(server, ms),
        async (soon) => logIn(await greet(server, reachable, soon), server, profile, name, soon),
      );
    } catch (error) {
      signal.throwIfAborted();
      failures.push(translated(error));
    }
  }
  // A login that one server refuses would be refused by the others, and to try again for ever would hide it.
  const refused = failures.find(({ code }) => (code as string) === 'nats_login_refused');
  throw refused ?? failures.find(({ passing }) => passing) ?? failures[0];
}

const late = (server: NatsServer, ms: number): PenstockError =>
  new PenstockError('connection_timeout', `${server.name} did not log the client in within ${ms} ms`, {
    hint: 'Check that it is the port for clients. A server that begins with TLS says nothing: set tlsFirst.',
  });

/** Sends CONNECT over a connection on which the server has introduced itself, and waits until it is accepted. */
export async function logIn(
  greeted: Greeted,
  server: NatsServer,
  profile: NatsProfile,
  name: string,
  signal: AbortSignal,
): Promise<Connection> {
  const { socket } = greeted;
  try {
    const transport = Promise.withResolvers<SocketTransport>();
    // For all connections alike, whichever comes first: the socket comes with the options.
    setTransportFactory({ factory: () => new SocketTransport() });
    const options: DialledOptions = {
      servers: server.name,
      greeted,
      transport: transport.resolve,
      name,
      authenticator: authenticatorOf(profile),
      reconnect: false,
      ignoreClusterUpdates: true,
      resolve: false,
      noAsyncTraces: true,
      timeout: connectTimeoutMs(profile) + 1_000,
      pingInterval: (profile.pingIntervalSecs ?? 20) * 1000,
      maxPingOut: 2,
      inboxPrefix: inboxPrefixOf(profile),
    };
    const nc = await untilReported<NatsConnection>(signal, (resolve, reject) => {
      NatsConnectionImpl.connect(options).then(resolve, reject);
      return () => {
        if (signal.aborted) socket.destroy();
      };
    });
    return new Connection(nc, await transport.promise, inboxPrefixOf(profile));
  } catch (error) {
    socket.destroy();
    signal.throwIfAborted();
    throw loginError(error, greeted, server, profile);
  }
}

/** In TLS 1.3 the server refuses a client certificate after the handshake. */
function loginError(
  error: unknown,
  { socket }: Greeted,
  server: NatsServer,
  profile: NatsProfile,
): PenstockError {
  const failure = lastError(socket);
  if (socket instanceof TLSSocket && isTlsReason(failure))
    return tlsError(failure, refusedPeer(server.host, profile));
  const known = translated(error);
  if (error instanceof Error && known.code === 'internal') return connectionLost(error);
  return known;
}

function authenticatorOf({ authentication: login }: NatsProfile): Authenticator[] {
  if ('username' in login) return [usernamePasswordAuthenticator(login.username, login.password)];
  if ('token' in login) return [tokenAuthenticator(login.token)];
  if ('jwt' in login) return [signedBy(jwtAuthenticator(login.jwt, bytesOf(login.nkeySeed)))];
  if ('nkeySeed' in login) return [signedBy(nkeyAuthenticator(bytesOf(login.nkeySeed)))];
  if (!('creds' in login)) return [];
  // The library refuses Windows' line ends.
  const [, jwt, , seed] =
    /BEGIN NATS USER JWT-+\s+(\S+)\s+(-+END).*BEGIN USER NKEY SEED-+\s+(\S+)\s/s.exec(login.creds) ?? [];
  if (jwt === undefined || seed === undefined)
    throw natsError('nats_login_refused', 'creds has no NATS USER JWT and USER NKEY SEED', {
      hint: 'Use the content of a .creds file as nsc generate creds writes it.',
    });
  return [signedBy(jwtAuthenticator(jwt, bytesOf(seed)))];
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text.trim());

/** A seed that cannot be read is a wrong login. */
const signedBy =
  (authenticator: Authenticator): Authenticator =>
  (nonce) => {
    try {
      return authenticator(nonce);
    } catch (cause) {
      throw natsError('nats_login_refused', 'The NKey seed cannot be read', {
        hint: 'Use the seed of a user: SU and 56 more letters and digits.',
        cause,
      });
    }
  };

const inboxPrefixOf = ({ inboxPrefix }: NatsProfile): string => inboxPrefix || '_INBOX';

type ErrorListener = (error: PenstockError) => void;

/** A connection that is logged in. */
export class Connection {
  readonly nc: NatsConnection;
  readonly transport: SocketTransport;
  /** Prefix of the subjects for responses. */
  readonly inboxPrefix: string;
  readonly #lostListeners = new Set<ErrorListener>();
  readonly #errorListeners = new Set<ErrorListener>();
  #lost: PenstockError | undefined;
  #said: PenstockError | undefined;
  #closing = false;

  constructor(nc: NatsConnection, transport: SocketTransport, inboxPrefix: string) {
    this.nc = nc;
    this.transport = transport;
    this.inboxPrefix = inboxPrefix;
    void this.#listen();
    void nc.closed().then((error) => this.#ended(error));
  }

  get info(): ServerInfo {
    return this.nc.info as ServerInfo;
  }

  /** Calls `listener` once when the connection is lost, also if it is already. Not after `close`. Returns how to stop that. */
  whenLost(listener: ErrorListener): () => void {
    if (this.#lost) listener(this.#lost);
    else this.#lostListeners.add(listener);
    return () => this.#lostListeners.delete(listener);
  }

  /** Calls `listener` with each error that the server reports without ending the connection. */
  onError(listener: ErrorListener): void {
    this.#errorListeners.add(listener);
  }

  /**
   * Resolves when the server has processed everything that was sent, and everything that it said before has been handed out. Rejects
   * when the connection is lost, or with `nats_not_answered`.
   */
  async settle(signal: AbortSignal, ms = 30_000): Promise<void> {
    await this.until(this.nc.flush(), signal, ms);
    // Errors that it reported before come by an iterator, a few microtasks later.
    await turn();
  }

  /** Waits for something that only the server can resolve. */
  until<T>(work: Promise<T>, signal: AbortSignal, ms = 30_000): Promise<T> {
    // Nobody may listen any more when it rejects.
    work.catch(() => {});
    const silent = () =>
      natsError('nats_not_answered', `The server did not respond within ${ms} ms`, {
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
    this.#closing = true;
    this.#lostListeners.clear();
    await this.nc.close();
  }

  /** Disconnects at once. */
  async destroy(): Promise<void> {
    this.#closing = true;
    this.#lostListeners.clear();
    this.transport.disconnect();
    await this.nc.close();
  }

  async #listen(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type !== 'error') continue;
      const error = translated(status.error);
      // A login that has expired may be renewed: the next one tells.
      if ((error.code as string) === 'nats_login_refused') this.#said = connectionLost(status.error);
      else if (error.code !== 'nats_forbidden') this.#said = error;
      for (const listener of this.#errorListeners) listener(error);
    }
  }

  #ended(error: unknown): void {
    if (this.#closing) return;
    this.#lost = this.#said ?? (error instanceof Error ? translated(error) : connectionLost());
    if (this.#lost.code === 'internal') this.#lost = connectionLost(error);
    for (const listener of this.#lostListeners) listener(this.#lost);
    this.#lostListeners.clear();
  }
}
