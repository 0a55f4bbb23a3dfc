import { describeEndpoint, type Endpoint } from '../config/address.ts';
import { remember } from './remember.ts';

/**
 * What this process has learnt about the brokers of its profiles: which server of a list worked last, and which version
 * of MQTT a server speaks. It only saves attempts: what is forgotten, or was never known, is found out again. A profile
 * is known by its `url`, so that another address is another broker.
 */

export type Version = 4 | 5;

/** A broker that is upgraded is noticed after this long at the latest. */
const memoryMs = 3_600_000;

interface Learnt {
  version: Version;
  at: number;
}

const workedLast = new Map<string, string>();
const versions = new Map<string, Learnt>();

/** `endpoints` in the order to try them in: as listed, after the one that worked last. */
export function inTurn(url: string, endpoints: readonly Endpoint[]): Endpoint[] {
  const last = workedLast.get(url);
  const first = endpoints.filter((endpoint) => describeEndpoint(endpoint) === last);
  return [...first, ...endpoints.filter((endpoint) => !first.includes(endpoint))];
}

export const rememberServer = (url: string, endpoint: Endpoint): void =>
  remember(workedLast, url, describeEndpoint(endpoint));

/** Which version one server of a profile speaks, as far as it has said so within the last hour. */
export class KnownVersions {
  readonly #key: string;

  constructor(url: string, endpoint: Endpoint) {
    this.#key = `${url} ${describeEndpoint(endpoint)}`;
  }

  get known(): Version | undefined {
    return this.knownAt(performance.now());
  }

  /** `now` is in milliseconds. */
  knownAt(now: number): Version | undefined {
    const learnt = versions.get(this.#key);
    return learnt !== undefined && now - learnt.at < memoryMs ? learnt.version : undefined;
  }

  /** Call it when MQTT 5 has been refused or accepted anew: it replaces what was known. */
  remember(version: Version, now: number = performance.now()): void {
    remember(versions, this.#key, { version, at: now });
  }

  forget(): void {
    versions.delete(this.#key);
  }
}
