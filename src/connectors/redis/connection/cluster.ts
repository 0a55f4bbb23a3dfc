import type { PenstockError } from '../../../errors.ts';
import type { Reachable } from '../../connector.ts';
import { redisError } from '../config/errors.ts';
import { type Address, addressesOf, isCluster, nameOf, type RedisProfile } from '../config/profile.ts';
import { type Connection, openConnection } from './client.ts';
import { ReplyFailure, translated } from './reply-errors.ts';

/** Where the keys of a server or cluster are, with a connection to each node in use. */

const slotCount = 16_384;

/** CRC-16 of XMODEM, as Redis uses it. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = ((crc << 1) ^ (crc & 0x8000 ? 0x1021 : 0)) & 0xffff;
  }
  return crc;
}

/** The hash slot of a key: that of the part between the first braces, if there is one. */
export function slotOf(key: string): number {
  const open = key.indexOf('{');
  const close = open < 0 ? -1 : key.indexOf('}', open + 1);
  const hashed = close > open + 1 ? key.slice(open + 1, close) : key;
  return crc16(Buffer.from(hashed)) % slotCount;
}

/** Where a reply sends a command: `MOVED 3999 10.0.0.5:6379`. */
export interface Redirect {
  slot: number;
  host: string;
  port: number;
  /** For this command only, after ASKING. */
  once: boolean;
}

/** An address without a host is that of the node that replied. */
export function redirectOf({ kind, message }: ReplyFailure, from: Connection): Redirect | undefined {
  if (kind !== 'MOVED' && kind !== 'ASK') return undefined;
  const [, slot, host, port] = /^\w+ (\d+) (.*):(\d+)$/.exec(message) ?? [];
  if (port === undefined) return undefined;
  return {
    slot: Number(slot),
    host: host === '' || host === undefined ? from.endpoint.host : host,
    port: Number(port),
    once: kind === 'ASK',
  };
}

export class Nodes {
  readonly #reachable: Reachable<RedisProfile>;
  readonly #signal: AbortSignal;
  readonly #open = new Map<string, Promise<Connection>>();
  readonly #connections = new Set<Connection>();
  /** The node of each slot by its name; of a single server there is only one. */
  #owners: string[] = [];
  readonly #single: Connection | undefined;
  readonly #tls: boolean;
  #lost: (error: PenstockError) => void = () => {};

  private constructor(reachable: Reachable<RedisProfile>, first: Connection, signal: AbortSignal) {
    this.#reachable = reachable;
    this.#signal = signal;
    this.#tls = first.endpoint.tls;
    this.#single = isCluster(reachable.profile) ? undefined : first;
    this.#keep(nameOf(first.endpoint), first);
  }

  /** Connects to the first address that responds, in a cluster with the slots that it knows. */
  static async open(reachable: Reachable<RedisProfile>, signal: AbortSignal): Promise<Nodes> {
    let failure: PenstockError | undefined;
    for (const address of addressesOf(reachable.profile)) {
      try {
        return await Nodes.#openAt(address, reachable, signal);
      } catch (error) {
        signal.throwIfAborted();
        const raised = translated(error);
        // To try again for ever would hide it.
        if ((raised.code as string) === 'redis_login_refused') throw raised;
        // Another address may work when this one is wrong: the job fails for good only if none can.
        if (failure === undefined || (!failure.passing && raised.passing)) failure = raised;
      }
    }
    throw failure;
  }

  static async #openAt(
    address: Address,
    reachable: Reachable<RedisProfile>,
    signal: AbortSignal,
  ): Promise<Nodes> {
    const nodes = new Nodes(reachable, await openConnection(reachable, address, signal), signal);
    try {
      if (!nodes.#single) nodes.#owners = await ownersIfUp(nodes.opened[0] as Connection);
      return nodes;
    } catch (error) {
      await nodes.close();
      throw error;
    }
  }

  get isCluster(): boolean {
    return this.#single === undefined;
  }

  /** Calls `lost` when any connection in use ends before `close`. */
  whenLost(lost: (error: PenstockError) => void): void {
    this.#lost = lost;
    for (const connection of this.#connections) connection.whenLost(lost);
  }

  /** The connection to the node that has a key. */
  async of(key: string): Promise<Connection> {
    if (this.#single) return this.#single;
    const owner = this.#owners[slotOf(key)];
    if (owner === undefined) throw noOwner();
    return this.#at(owner);
  }

  /** Any error as one of Penstock. What is read at one node and has moved is found by the next connection. */
  translated(error: unknown): PenstockError {
    const elsewhere = error instanceof ReplyFailure && /^(MOVED|ASK)$/.test(error.kind);
    if (!elsewhere || !this.isCluster) return translated(error);
    return redisError('redis_unavailable', 'The key is moving to another node of the cluster', {
      hint: 'CLUSTER NODES shows slots that move. If it lasts, end the migration: CLUSTER SETSLOT.',
    });
  }

  /** The connection that a reply names; remembers it for the slot, unless it is for one command. */
  async redirected({ slot, host, port, once }: Redirect): Promise<Connection> {
    const name = nameOf({ host, port, tls: this.#tls });
    if (!once) this.#owners[slot] = name;
    return this.#at(name);
  }

  /** All connections that are open. */
  get opened(): readonly Connection[] {
    return [...this.#connections];
  }

  destroy(): void {
    for (const connection of this.#connections) connection.destroy();
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#open.values()]);
    await Promise.all([...this.#connections].map((connection) => connection.close()));
  }

  #at(name: string): Promise<Connection> {
    const open = this.#open.get(name);
    if (open) return open;
    const opening = openConnection(this.#reachable, addressOf(name, this.#tls), this.#signal).then(
      (connection) => {
        this.#keep(name, connection);
        return connection;
      },
    );
    this.#open.set(name, opening);
    return opening;
  }

  #keep(name: string, connection: Connection): void {
    this.#open.set(name, Promise.resolve(connection));
    this.#connections.add(connection);
    connection.whenLost((error) => this.#lost(error));
  }
}

function addressOf(name: string, tls: boolean): Address {
  const at = name.lastIndexOf(':');
  const host = name.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(name.slice(at + 1)), tls, database: 0 };
}

/** Throws `redis_unavailable` if the node was removed from its cluster, or is cut off from it: it responds all the same. */
async function ownersIfUp(connection: Connection): Promise<string[]> {
  const owners = await slotOwners(connection);
  const info = await connection.send(['CLUSTER', 'INFO']).catch((error: unknown) => {
    // Not every user may ask, and not every server can say.
    if (error instanceof ReplyFailure) return '';
    throw error;
  });
  if (owners.length === 0 || String(info).includes('cluster_state:fail')) throw noOwner();
  return owners;
}

const noOwner = (): PenstockError =>
  redisError('redis_unavailable', 'The cluster has no node for a part of the keys', {
    hint: 'CLUSTER INFO shows the state, and CLUSTER SLOTS which slots have no node.',
  });

type SlotRange = [
  from: number,
  to: number,
  master: [host: string | null, port: number, ...unknown[]],
  ...unknown[],
];

/** The name of the master for each slot. */
export async function slotOwners(connection: Connection): Promise<string[]> {
  const ranges = (await connection.send(['CLUSTER', 'SLOTS']).catch((error: unknown) => {
    if (error instanceof ReplyFailure && /cluster support disabled/i.test(error.message))
      throw redisError('redis_no_cluster', 'The server belongs to no cluster', {
        hint: 'Use address of the profile instead of addresses.',
      });
    throw error;
  })) as SlotRange[];
  const owners: string[] = [];
  const { host: own, tls } = connection.endpoint;
  for (const [from, to, [host, port]] of ranges)
    for (let slot = from; slot <= Math.min(to, slotCount - 1); slot++)
      owners[slot] = nameOf({ host: host === null || host === '' ? own : host, port, tls });
  return owners;
}
