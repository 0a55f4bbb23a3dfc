import { PenstockError } from '../../../errors.ts';
import { type BrokerEndpoint, describeEndpoint } from '../config/broker-url.ts';
import { mqttError } from '../config/errors.ts';

/**
 * Memory of brokers and sessions in this process: which server of a list worked last, which MQTT version a
 * server supports, how often connections were taken over or closed, and which brokers fail at QoS 2. Entries of a profile
 * are keyed by its `url`, entries of a session by its identity, `client id@url`.
 */

const maxEntries = 1_000;
const hourMs = 3_600_000;
const minuteMs = 60_000;

/** Adds the newest entry; beyond 1,000 entries the oldest is dropped. */
function remember<V>(memory: Map<string, V>, key: string, value: V): void {
  memory.delete(key);
  memory.set(key, value);
  if (memory.size <= maxEntries) return;
  const oldest = memory.keys().next();
  if (!oldest.done) memory.delete(oldest.value);
}

const workedLast = new Map<string, string>();

/** Returns `endpoints` in the order to try them: the one that worked last, then the others as listed. */
export function inTurn(url: string, endpoints: readonly BrokerEndpoint[]): BrokerEndpoint[] {
  const last = workedLast.get(url);
  const first = endpoints.filter((endpoint) => describeEndpoint(endpoint) === last);
  return [...first, ...endpoints.filter((endpoint) => !first.includes(endpoint))];
}

export const rememberServer = (url: string, endpoint: BrokerEndpoint): void =>
  remember(workedLast, url, describeEndpoint(endpoint));

export type Version = 4 | 5;

const versions = new Map<string, { version: Version; at: number }>();

/** The MQTT version of one server, remembered for an hour so that upgraded brokers are noticed. */
export class KnownVersion {
  readonly #key: string;

  constructor(url: string, endpoint: BrokerEndpoint) {
    this.#key = `${url} ${describeEndpoint(endpoint)}`;
  }

  get(now: number = performance.now()): Version | undefined {
    const known = versions.get(this.#key);
    return known !== undefined && now - known.at < hourMs ? known.version : undefined;
  }

  remember(version: Version, now: number = performance.now()): void {
    remember(versions, this.#key, { version, at: now });
  }

  forget(): void {
    versions.delete(this.#key);
  }
}

const lastTakeover = new Map<string, number>();

/**
 * The error for a DISCONNECT with "session taken over" (0x8E). One takeover is how a task moves to another worker. A
 * second one within a minute means that another client keeps using the id.
 */
export function takenOver(identity: string, now: number = performance.now()): PenstockError {
  const before = lastTakeover.get(identity);
  remember(lastTakeover, identity, now);
  if (before === undefined || now - before > minuteMs)
    return new PenstockError('connection_lost', 'Another client took over this client id (0x8E)', {
      hint: 'If this repeats, stop the other client or set a different clientPrefix in this profile.',
    });
  return clientIdInUse('Another client keeps taking over this client id (0x8E)');
}

export const clientIdInUse = (message: string): PenstockError =>
  mqttError('mqtt_client_id_in_use', message, {
    hint: 'Stop the other client that uses this id, or set a different clientPrefix in this profile.',
  });

const suspiciousHangUps = 3;
const hangUps = new Map<string, number[]>();

const recentHangUps = (identity: string, now: number): number[] =>
  (hangUps.get(identity) ?? []).filter((at) => now - at <= minuteMs);

/** Counts a connection that the broker closed without a DISCONNECT. Returns the number within the last minute. */
export function countHangUp(identity: string, now: number = performance.now()): number {
  const recent = [...recentHangUps(identity, now).slice(-9), now];
  remember(hangUps, identity, recent);
  return recent.length;
}

/** Whether a client-id conflict may be the cause of the closed connections: see `client.ts`. */
export const mayBeConflict = (identity: string, now: number = performance.now()): boolean =>
  recentHangUps(identity, now).length >= suspiciousHangUps;

export const forgetHangUps = (identity: string): void => void hangUps.delete(identity);

/**
 * How often in a row a broker closed the connection at QoS 2 before it confirmed a message. Some 3.1.1 brokers always do
 * (nats-server). One time proves nothing: the broker may have stopped.
 */
const qos2Failures = new Map<string, { times: number; at: number }>();

export function rememberQos2Failure(identity: string): void {
  const times = (qos2Failures.get(identity)?.times ?? 0) + 1;
  remember(qos2Failures, identity, { times, at: performance.now() });
}

export const forgetQos2Failures = (identity: string): void => void qos2Failures.delete(identity);

export function failsAtQos2(identity: string): boolean {
  const known = qos2Failures.get(identity);
  return known !== undefined && known.times >= 2 && performance.now() - known.at < hourMs;
}
