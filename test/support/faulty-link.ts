import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { atEnd } from './at-end.ts';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** Towards the broker or back. */
export type Direction = 'up' | 'down';

/** Called with data from one end of a connection, before it is passed on or dropped. */
export type Tap = (direction: Direction, chunk: Buffer) => void;

/**
 * A TCP link to a broker on 127.0.0.1 that can be silent, slow, refused or broken in the middle of a packet. Connections
 * affected by a fault stay broken: only those opened after `heal` work.
 */
export class FaultyLink {
  /** Connections that clients have opened so far, served or not. */
  accepted = 0;
  /** Connections that were reset in the middle of a packet. */
  resets = 0;
  #target: number;
  readonly #tap: () => Tap;
  readonly #links = new Set<Link>();
  #server: Server;
  /** Nothing else gets it while the link refuses. */
  readonly #port: number;
  #silent = false;
  #delayMs = 0;

  private constructor(target: number, tap: () => Tap, port: number) {
    this.#target = target;
    this.#tap = tap;
    this.#port = port;
    this.#server = this.#createServer();
  }

  /** Listens on a free port, and stops by itself: see `atEnd`. `tap` is called for each connection that reaches the broker. */
  static async start(target: number, tap: () => Tap): Promise<FaultyLink> {
    const link = new FaultyLink(target, tap, await freePort());
    await link.#listen();
    atEnd(() => link.stop());
    return link;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`;
  }

  /** Sends new connections to another port, as a load balancer does. */
  aim(target: number): void {
    this.#target = target;
  }

  /** Number of connections that are open. */
  get open(): number {
    return this.#links.size;
  }

  /** Drops all data silently: connections stay open, new ones are accepted and ignored. */
  blackhole(): void {
    this.#silent = true;
    for (const link of this.#links) link.silence();
  }

  /** Refuses new connections. */
  refuse(): void {
    this.#server.close();
  }

  /** Resets every connection and refuses new ones, as after a crash of the server. */
  cut(): void {
    this.refuse();
    for (const link of this.#links) link.reset();
  }

  /** Serves new connections again. */
  async heal(): Promise<void> {
    this.#silent = false;
    if (this.#server.listening) return;
    this.#server = this.#createServer();
    await this.#listen();
  }

  /** Delays data from the broker by this time. */
  delayAnswers(ms: number): void {
    this.#delayMs = ms;
  }

  /** Passes on all but the last byte of the next data in this direction, then resets both ends. */
  resetMidPacket(direction: Direction): void {
    for (const link of this.#links) {
      link.cutNext(direction, () => {
        this.resets += 1;
      });
    }
  }

  async stop(): Promise<void> {
    for (const link of this.#links) link.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  #createServer(): Server {
    return createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      this.accepted += 1;
      const link = new Link(client, this.#target, this.#tap(), () => this.#delayMs);
      if (this.#silent) link.silence();
      this.#links.add(link);
      void link.ended.then(() => this.#links.delete(link));
    });
  }
}

/** The number of a link that a client uses, but another one than `without`. */
export const linkInUse = (links: readonly FaultyLink[], without?: number): Promise<number> =>
  until(
    'a client is connected',
    () => {
      const index = links.findIndex(({ open }, each) => each !== without && open > 0);
      return index < 0 ? undefined : index;
    },
    60_000,
  );

/** One client and its connection to the broker. */
class Link {
  readonly ended: Promise<void>;
  readonly #client: Socket;
  readonly #broker: Socket;
  readonly #delayMs: () => number;
  readonly #late: { chunk: Buffer; due: number }[] = [];
  #silent = false;
  #cut: { direction: Direction; done: () => void } | undefined;

  constructor(client: Socket, target: number, tap: Tap, delayMs: () => number) {
    this.#client = client;
    this.#broker = connect({ port: target, host: '127.0.0.1', noDelay: true });
    this.#delayMs = delayMs;
    const ends = [this.#client, this.#broker];
    this.ended = Promise.all(ends.map((end) => once(end, 'close').catch(() => {}))).then(() => {});
    for (const end of ends) end.on('error', () => {}).on('close', () => this.#closed());
    for (const end of ends) end.on('end', () => this.#closed());
    this.#client.on('data', (chunk: Buffer) => {
      tap('up', chunk);
      this.#pass('up', chunk);
    });
    this.#broker.on('data', (chunk: Buffer) => {
      // Undelivered data from the broker is not reported; data from the client is.
      if (this.#silent) return;
      tap('down', chunk);
      if (this.#delayMs() === 0 && this.#late.length === 0) this.#pass('down', chunk);
      else this.#passLater(chunk);
    });
  }

  silence(): void {
    this.#silent = true;
  }

  cutNext(direction: Direction, done: () => void): void {
    this.#cut = { direction, done };
  }

  reset(): void {
    this.#client.resetAndDestroy();
    this.#broker.resetAndDestroy();
  }

  destroy(): void {
    this.#client.destroy();
    this.#broker.destroy();
  }

  /** The end of one side ends the other, unless the link is silent. */
  #closed(): void {
    if (!this.#silent) this.destroy();
    else if (this.#client.destroyed || this.#client.readableEnded) this.#client.destroy();
  }

  #passLater(chunk: Buffer): void {
    this.#late.push({ chunk, due: performance.now() + this.#delayMs() });
    if (this.#late.length === 1) this.#passWhenDue();
  }

  #passWhenDue(): void {
    const [next] = this.#late;
    if (next === undefined || this.#client.destroyed) return;
    const waitMs = Math.max(0, next.due - performance.now());
    setTimeout(() => {
      this.#late.shift();
      this.#pass('down', next.chunk);
      this.#passWhenDue();
    }, waitMs);
  }

  #pass(direction: Direction, chunk: Buffer): void {
    if (this.#silent) return;
    const [from, to] = direction === 'up' ? [this.#client, this.#broker] : [this.#broker, this.#client];
    const cut = this.#cut;
    if (cut?.direction !== direction || chunk.length < 2) {
      if (to.write(chunk)) return;
      // Without this the link would buffer data that should stay with the broker.
      from.pause();
      to.once('drain', () => from.resume());
      return;
    }
    this.#silent = true;
    to.write(chunk.subarray(0, -1), () => {
      this.reset();
      cut.done();
    });
  }
}
