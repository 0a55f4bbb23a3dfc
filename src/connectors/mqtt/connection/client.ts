import type { Duplex } from 'node:stream';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import { describe, describeEndpoint, type Endpoint, parseUrls } from '../config/broker-url.ts';
import { codeOf, type MqttErrorCode } from '../config/errors.ts';
import { connectTimeoutMs, type MqttProfile } from '../config/profile.ts';
import { DeferredAcks } from './acks.ts';
import {
  clientIdInUse,
  forgetHangUps,
  inTurn,
  KnownVersion,
  mayBeConflict,
  rememberServer,
  type Version,
} from './broker-memory.ts';
import { type ConnectRequest, probeClient } from './connect-request.ts';
import type { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';
import { logIn } from './login.ts';
import { silence } from './socket-errors.ts';
import { openSocket } from './transport.ts';

/** Connects to one of a profile's servers, in the MQTT version that it speaks. Never reconnects: that is the caller's job. */

/** The servers of a profile as listed. Throws `invalid_config`. */
export function endpointsOf(profile: MqttProfile): Endpoint[] {
  const endpoints = parseUrls(profile.url);
  if (typeof endpoints === 'object') return endpoints;
  throw new PenstockError('invalid_config', `The URL ${endpoints}`, {
    errors: [{ path: '/url', message: endpoints }],
  });
}

/** Refusals of the client itself: another server of the cluster would refuse it too. */
const clientRefusals: readonly MqttErrorCode[] = [
  'mqtt_bad_credentials',
  'mqtt_not_authorized',
  'mqtt_client_id_rejected',
];

/**
 * Connects to the first server of the profile that accepts the client, each within the profile's `connectTimeoutMs`.
 * Throws a name, network, TLS or MQTT error; if several servers failed, a transient error before a permanent one; and
 * `mqtt_client_id_in_use` if another client certainly uses the same id.
 */
export async function connect(request: ConnectRequest): Promise<Connection> {
  await refuseClientIdConflict(request, identityOf(request), connectAny);
  return connectAny(request);
}

const identityOf = (request: ConnectRequest): string => `${request.clientId}@${describe(request.profile)}`;

async function connectAny(request: ConnectRequest): Promise<Connection> {
  const { profile, signal } = request;
  const failures: PenstockError[] = [];
  const endpoints = endpointsOf(profile);
  for (const endpoint of inTurn(profile.url, endpoints)) {
    try {
      const connection = await connectTo(endpoint, request);
      rememberServer(profile.url, endpoint);
      return connection;
    } catch (error) {
      signal.throwIfAborted();
      const failure = asPenstockError(error);
      if (clientRefusals.includes(codeOf(failure))) throw error;
      failures.push(failure);
    }
  }
  throw summary(failures);
}

function summary(failures: PenstockError[]): PenstockError {
  const main = (failures.find(({ passing }) => passing) ?? failures[0]) as PenstockError;
  if (failures.length === 1) return main;
  const messages = failures.map(({ message }) => message).join('; ');
  return new PenstockError(main, `None of the ${failures.length} servers can be used: ${messages}`, {
    ...(main.hint === undefined ? {} : { hint: main.hint }),
    cause: main,
  });
}

/**
 * Connects to one server. `first` is an open stream to use, as a connection test has; it is closed if the login fails.
 * A test detects the MQTT version anew; other callers begin with the known one.
 */
export async function connectTo(
  endpoint: Endpoint,
  request: ConnectRequest,
  first?: Duplex,
): Promise<Connection> {
  const { profile, signal } = request;
  const ms = connectTimeoutMs(profile);
  const late = () =>
    new PenstockError(
      'connection_timeout',
      `${describeEndpoint(endpoint)} did not respond within ${ms} ms (connectTimeoutMs)`,
    );
  return within(ms, signal, late, async (soon) => {
    let open: Duplex | undefined = first;
    const attempt = async (version: Version) => {
      const stream = open ?? (await openSocket(endpoint, request, soon));
      open = undefined;
      return logIn(stream, version, request, identityOf(request), soon);
    };
    if (profile.protocolVersion === '3.1.1') return attempt(4);
    if (profile.protocolVersion === '5') return attempt(5);
    return attemptBoth(attempt, new KnownVersion(profile.url, endpoint), first !== undefined);
  });
}

/**
 * Tries MQTT 5, or the known version, and then the other one. 3.1.1 brokers refuse a CONNECT of MQTT 5 or close the
 * connection. Only a refusal is remembered, because a closed connection may have another reason.
 */
async function attemptBoth(
  attempt: (version: Version) => Promise<Connection>,
  memory: KnownVersion,
  anew: boolean,
): Promise<Connection> {
  const known = anew ? undefined : memory.get();
  const first = known ?? 5;
  try {
    const connection = await attempt(first);
    if (first === 5) memory.remember(5);
    return connection;
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    const refused = codeOf(error) === 'mqtt_protocol_refused';
    if (!refused && !(known === undefined && isSilence(error))) throw error;
    memory.forget();
    const connection = await attempt(first === 5 ? 4 : 5);
    if (refused) memory.remember(connection.version);
    return connection;
  }
}

const isSilence = (error: PenstockError): boolean => error.code === 'mqtt_refused' && error.cause === silence;

/**
 * Finds out whether another client with the same id ends our connections, at a broker that does not say so. Opens an idle
 * connection with our id several times, along with idle control connections with other ids. It is a conflict only if ours is
 * closed every time, and the broker closes none of the controls and still responds to them. A restarting broker, a connection
 * limit, a proxy that closes idle or old connections and a bad link all end a control first or as well. By chance alone
 * ours is the one to go in all rounds once in 6,720 times.
 */

const rounds = 5;
/** Each round opens one more control after ours, so that ours is neither the oldest nor the newest. */
const controlsBefore = 2;
/** A conflicting client that reconnects later than this is not detected. */
const reconnectMs = 5_000;
const pingMs = 5_000;
const maxUnacknowledged = 65_535;

type Connect = (request: ConnectRequest) => Promise<Connection>;

/** Throws `mqtt_client_id_in_use` if another client uses this id. Does nothing unless earlier hang-ups suggest it. */
async function refuseClientIdConflict(
  request: ConnectRequest,
  identity: string,
  connect: Connect,
): Promise<void> {
  if (!mayBeConflict(identity)) return;
  const trial = new ConflictTrial(request, connect);
  try {
    if (await trial.findsConflict())
      throw clientIdInUse(
        'Another client uses this client id: the broker closes only the connections that have it',
      );
  } finally {
    await trial.end();
    forgetHangUps(identity);
  }
}

class ConflictTrial {
  readonly #request: ConnectRequest;
  readonly #connect: Connect;
  readonly #controls: Connection[] = [];
  readonly #open: Connection[] = [];

  constructor(request: ConnectRequest, connect: Connect) {
    this.#request = request;
    this.#connect = connect;
  }

  /** An error proves nothing: connecting for real will report it. */
  async findsConflict(): Promise<boolean> {
    try {
      for (let count = 0; count < controlsBefore; count += 1) await this.#openControl();
      for (let round = 0; round < rounds; round += 1) if (!(await this.#isClosed())) return false;
      return true;
    } catch (error) {
      this.#request.signal.throwIfAborted();
      if (!(error instanceof PenstockError)) throw error;
      return false;
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#open.map((connection) => connection.close()));
  }

  /** Whether ours is closed in this round while all controls stay open. */
  async #isClosed(): Promise<boolean> {
    const ours = await this.#connect({ ...this.#request, withWill: false, prepare: keepUnread });
    this.#open.push(ours);
    await this.#openControl();
    const closed = await this.#within(reconnectMs, (signal) =>
      untilReported<boolean>(signal, (resolve) => {
        ours.whenLost(() => resolve(true));
        for (const control of this.#controls) control.whenLost(() => resolve(false));
      }),
    );
    if (closed)
      await Promise.all(this.#controls.map((control) => this.#within(pingMs, (soon) => control.ping(soon))));
    return closed;
  }

  async #openControl(): Promise<void> {
    const { signal } = this.#request;
    const control = await this.#connect({ ...probeClient(this.#request), signal });
    this.#controls.push(control);
    this.#open.push(control);
  }

  #within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = () => new PenstockError('connection_timeout', `Nothing happened within ${ms} ms`);
    return within(ms, this.#request.signal, late, work);
  }
}

/** Acknowledges nothing, so that the broker delivers queued messages again. */
const keepUnread = (client: Connection['client']): void => {
  new DeferredAcks(client, maxUnacknowledged, () => undefined);
};
