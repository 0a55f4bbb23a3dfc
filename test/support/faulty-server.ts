import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { atEnd } from './at-end.ts';

/** A server that misbehaves on demand, for cases that a real broker cannot produce. */
export class FaultyServer {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets: Set<Socket>;

  private constructor(server: Server, sockets: Set<Socket>) {
    this.#server = server;
    this.#sockets = sockets;
    this.port = (server.address() as { port: number }).port;
  }

  /** `serve` gets each connection with its number, from 0. */
  static async start(serve: (socket: Socket, number: number) => void): Promise<FaultyServer> {
    const sockets = new Set<Socket>();
    let number = 0;
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
      serve(socket, number);
      number += 1;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const started = new FaultyServer(server, sockets);
    atEnd(() => started.stop());
    return started;
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  get open(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Responds to the first bytes of a connection with `answer`. */
export const answering =
  (answer: string | Buffer, end = false) =>
  (socket: Socket): void => {
    socket.once('data', () => {
      socket.write(answer);
      if (end) socket.end();
    });
  };
