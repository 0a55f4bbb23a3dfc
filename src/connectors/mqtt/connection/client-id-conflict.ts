import { PenstockError } from '../../../errors.ts';
import { visitor } from '../config/identity.ts';
import { DeferredAcks } from './acks.ts';
import type { ConnectRequest } from './connect-request.ts';
import type { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';
import { absolve, idInUse, isSuspicious } from './takeover.ts';

/**
 * Finds out whether it is another client with our id that ends our connections, where the broker does not say so. An
 * idle connection under our id is opened again and again beside idle ones under other ids. Only when ours is closed
 * every time, and the broker closes and misses none of the others, can it be the id. A broker that restarts, a limit of
 * connections, a proxy that closes idle or old connections and a bad link all end one of the others first, or as well:
 * by chance alone ours is the one to go in all rounds once in 6,720 times.
 */

const rounds = 5;
/** Open before the first round; each round opens one more after ours, so that ours is neither the oldest nor the newest. */
const witnessesBefore = 2;
/** A rival that waits longer before it comes back is not found out. */
const patienceMs = 5_000;
const answerMs = 5_000;
const maxHeld = 65_535;

type Connect = (request: ConnectRequest) => Promise<Connection>;

/** Throws `mqtt_client_id_in_use` when connecting would be a fight that nobody can win. Most often it does nothing. */
export async function refuseToFight(
  request: ConnectRequest,
  identity: string,
  connect: Connect,
): Promise<void> {
  if (!isSuspicious(identity)) return;
  const trial = new Trial(request, connect);
  try {
    if (await trial.rivalFound()) {
      throw idInUse(
        'Another client uses this client id: the broker closes only the connections that have it',
      );
    }
  } finally {
    await trial.end();
    absolve(identity);
  }
}

class Trial {
  readonly #request: ConnectRequest;
  readonly #connect: Connect;
  readonly #witnesses: Connection[] = [];
  readonly #open: Connection[] = [];

  constructor(request: ConnectRequest, connect: Connect) {
    this.#request = request;
    this.#connect = connect;
  }

  /** What cannot be tried proves nothing: the connection proper will say what is wrong. */
  async rivalFound(): Promise<boolean> {
    try {
      for (let count = 0; count < witnessesBefore; count += 1) await this.#callWitness();
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

  /** Whether ours is closed in this round, with all the others still there. */
  async #isClosed(): Promise<boolean> {
    const ours = await this.#connect({ ...this.#request, withWill: false, prepare: keepUnread });
    this.#open.push(ours);
    await this.#callWitness();
    const closed = await this.#within(patienceMs, (signal) =>
      untilReported<boolean>(signal, (resolve) => {
        ours.whenLost(() => resolve(true));
        for (const witness of this.#witnesses) witness.whenLost(() => resolve(false));
        return () => undefined;
      }),
    );
    if (closed) {
      const answered = this.#witnesses.map((witness) => this.#within(answerMs, (soon) => witness.ping(soon)));
      await Promise.all(answered);
    }
    return closed;
  }

  async #callWitness(): Promise<void> {
    const { signal } = this.#request;
    const witness = await this.#connect({ ...visitor(this.#request), signal });
    this.#witnesses.push(witness);
    this.#open.push(witness);
  }

  #within<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = () => new PenstockError('connection_timeout', `Nothing happened within ${ms} ms`);
    return within(ms, this.#request.signal, late, work);
  }
}

/** The broker may send what is queued for us: none of it is acknowledged, so all of it comes again. */
const keepUnread = (client: Connection['client']): void => {
  new DeferredAcks(client, maxHeld, () => undefined);
};
