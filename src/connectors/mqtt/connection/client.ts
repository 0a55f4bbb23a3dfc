import type { Duplex } from 'node:stream';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import { untilReported, within } from '../../network/deadline.ts';
import { silence } from '../../network/socket-errors.ts';
import { type BrokerEndpoint, describe, describeEndpoint, parseUrls } from '../config/broker-url.ts';
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
import { logIn } from './login.ts';
import { connectUnanswered } from './requests.ts';
import { openStream } from './web-socket.ts';

/** Connects to one of a profile's servers, in the MQTT version that it speaks. Never reconnects: that is the caller's job. */

/** The servers of a profile as listed. Throws `invalid_config`. */
export function endpointsOf(profile: MqttProfile): BrokerEndpoint[] {
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
  endpoint: BrokerEndpoint,
  request: ConnectRequest,
  first?: Duplex,
): Promise<Connection> {
  const { profile } = request;
  let open: Duplex | undefined = first;
  const attempt = (version: Version, ms = connectTimeoutMs(profile)) => {
    const stream = open;
    open = undefined;
    return attemptOnce(endpoint, request, version, ms, stream);
  };
  if (profile.protocolVersion === '3.1.1') return attempt(4);
  if (profile.protocolVersion === '5') return attempt(5);
  return attemptBoth(attempt, endpoint, request, first !== undefined);
}

async function attemptOnce(
  endpoint: BrokerEndpoint,
  request: ConnectRequest,
  version: Version,
  ms: number,
  open: Duplex | undefined,
): Promise<Connection> {
  let asked = false;
  const late = () =>
    asked
      ? connectUnanswered(ms, version === 5 ? '5' : '3.1.1')
      : new PenstockError(
          'connection_timeout',
          `${describeEndpoint(endpoint)} did not respond within ${ms} ms (connectTimeoutMs)`,
        );
  return within(ms, request.signal, late, async (soon) => {
    const stream = open ?? (await openStream(endpoint, request, soon));
    asked = true;
    return logIn(stream, version, request, identityOf(request), soon);
  });
}

/**
 * Tries MQTT 5, or the known version, and then the other one. 3.1.1 brokers refuse a CONNECT of MQTT 5, close the
 * connection or do not respond. A closed connection is not remembered, because it may have another reason.
 */
async function attemptBoth(
  attempt: (version: Version, ms?: number) => Promise<Connection>,
  endpoint: BrokerEndpoint,
  request: ConnectRequest,
  anew: boolean,
): Promise<Connection> {
  const memory = new KnownVersion(request.profile.url, endpoint);
  const known = anew ? undefined : memory.get();
  const first = known ?? 5;
  try {
    const connection = await attempt(first, known === undefined ? request.silenceMs : undefined);
    if (first === 5) memory.remember(5);
    return connection;
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    const fallback = fallbackAt(error);
    if (fallback === undefined || (fallback !== 'refused' && known !== undefined)) throw error;
    memory.forget();
    const startedAt = performance.now();
    const connection = await attempt(first === 5 ? 4 : 5);
    if (fallback === 'silent' && !anew && (await speaksMqtt5(endpoint, request, startedAt))) {
      await connection.close();
      return attempt(5);
    }
    connection.fallback = fallback;
    if (fallback !== 'closed') memory.remember(connection.version);
    return connection;
  }
}

function fallbackAt(error: PenstockError): Connection['fallback'] {
  if (codeOf(error) === 'mqtt_protocol_refused') return 'refused';
  if (isSilence(error)) return 'closed';
  return codeOf(error) === 'mqtt_not_answered' ? 'silent' : undefined;
}

const minProofMs = 1_000;

/**
 * Whether a broker that has responded to 3.1.1 now responds to MQTT 5 too, so that its earlier silence had another reason,
 * such as its load. Any response counts, also a refusal of the probe client.
 */
async function speaksMqtt5(
  endpoint: BrokerEndpoint,
  request: ConnectRequest,
  startedAt: number,
): Promise<boolean> {
  const ms = Math.max(minProofMs, 3 * (performance.now() - startedAt));
  try {
    const connection = await attemptOnce(
      endpoint,
      { ...probeClient(request), signal: request.signal },
      5,
      Math.min(Math.round(ms), connectTimeoutMs(request.profile)),
      undefined,
    );
    await connection.close();
    return true;
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    return fallbackAt(error) === undefined && error.facts.reasonCode !== undefined;
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
const keepUnread = (client: Connection['client'], socket: Duplex): void => {
  new DeferredAcks(client, socket, maxUnacknowledged, () => undefined);
};
