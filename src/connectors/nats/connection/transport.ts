import type { Socket } from 'node:net';
import type { ConnectionOptions, Server, Transport } from '@nats-io/transport-node';
import type { Greeted } from './greeting.ts';

/** The options of a connection with the socket that it uses. */
export type DialledOptions = ConnectionOptions & { greeted: Greeted; transport(own: SocketTransport): void };

/** Bytes that wait for the socket, from which on no more messages are written. */
const maxBuffered = 1024 * 1024;

/**
 * Speaks over a socket that was dialled already: the library would dial by itself, without asking the targets. It makes a
 * transport before it knows for which connection, so that the socket comes with the options.
 */
export class SocketTransport implements Transport {
  readonly lang = 'penstock';
  readonly version = '0';
  closeError?: Error;
  #socket: Socket | undefined;
  #received: Uint8Array[] = [];
  #arrived = Promise.withResolvers<void>();
  #closed = Promise.withResolvers<Error | undefined>();
  #done = false;
  #drained: (() => void) | undefined;

  get isClosed(): boolean {
    return this.#done;
  }

  /** Whether the socket takes no more for now. */
  get full(): boolean {
    return (this.#socket?.writableLength ?? 0) > maxBuffered;
  }

  /** Called whenever the socket takes more again. */
  set drained(listener: () => void) {
    this.#drained = listener;
  }

  async connect(_server: Server, options: ConnectionOptions): Promise<void> {
    const { greeted, transport } = options as DialledOptions;
    this.#socket = greeted.socket;
    this.#take(greeted.line);
    greeted.socket
      .on('data', (chunk) => this.#take(chunk))
      .on('drain', () => this.#drained?.())
      .on('close', () => this.#end());
    greeted.socket.resume();
    if (greeted.socket.destroyed) this.#end();
    transport(this);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunks = this.#received;
      this.#received = [];
      yield* chunks;
      if (this.#received.length > 0) continue;
      if (this.#done) return;
      await this.#arrived.promise;
    }
  }

  /** Stops reading: the server notices, and in the end drops what it cannot send. */
  pause(): void {
    this.#socket?.pause();
  }

  resume(): void {
    this.#socket?.resume();
  }

  isEncrypted(): boolean {
    return this.#socket !== undefined && 'encrypted' in this.#socket;
  }

  send(frame: Uint8Array): void {
    if (!this.#done && this.#socket?.writable) this.#socket.write(frame);
  }

  /** Sends what was written, and closes. */
  async close(error?: Error): Promise<void> {
    if (error) this.closeError ??= error;
    const socket = this.#socket;
    if (socket && !socket.destroyed) {
      const ended = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
      socket.end(() => socket.destroy());
      // A peer that reads no more would keep it open.
      const late = setTimeout(() => socket.destroy(), 1_000);
      await ended;
      clearTimeout(late);
    }
    this.#end();
  }

  disconnect(): void {
    this.#socket?.destroy();
    this.#end();
  }

  closed(): Promise<Error | undefined> {
    return this.#closed.promise;
  }

  /** Closes without a word. */
  discard(): void {
    this.#done = true;
    this.#socket?.destroy();
  }

  #take(chunk: Uint8Array): void {
    this.#received.push(chunk);
    this.#wake();
  }

  #end(): void {
    if (this.#done) return;
    this.#done = true;
    this.#wake();
    this.#closed.resolve(this.closeError);
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = Promise.withResolvers();
  }
}
