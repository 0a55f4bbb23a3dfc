import { PenstockError } from '../../../errors.ts';
import { DeferredAcks } from './acks.ts';
import { clientIdInUse, forgetHangUps, mayBeConflict } from './broker-memory.ts';
import { type ConnectRequest, probeClient } from './connect-request.ts';
import type { Connection } from './connection.ts';
import { untilReported, within } from './deadline.ts';

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
export async function refuseClientIdConflict(
  request: ConnectRequest,
  identity: string,
  connect: Connect,
): Promise<void> {
  if (!mayBeConflict(identity)) return;
  const trial = new ConflictTrial(request, connect);
  try {
    if (await trial.findsConflict()) {
      throw clientIdInUse(
        'Another client uses this client id: the broker closes only the connections that have it',
      );
    }
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
    if (closed) {
      await Promise.all(this.#controls.map((control) => this.#within(pingMs, (soon) => control.ping(soon))));
    }
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
