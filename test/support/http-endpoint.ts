import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { atEnd } from './at-end.ts';

export interface Received {
  method: string;
  url: string;
  headers: IncomingMessage['headers'];
  body: string;
}

/** A response, or its status; undefined for none. */
export type Reply =
  | number
  | undefined
  | { status: number; headers?: Readonly<Record<string, string>>; text?: string };

/** An HTTP server that behaves as a test says. It stops by itself: see `atEnd`. */
export class Endpoint {
  readonly received: Received[] = [];
  readonly sockets = new Set<Socket>();
  readonly server: Server;
  readonly #scheme: string;
  reply: (request: Received, response: ServerResponse) => Reply | 'handled' | Promise<Reply> = () => 200;
  /** Number of requests without a response. */
  open = 0;
  maxOpen = 0;

  /** With `tls` it is reached by https. */
  constructor(tls?: ServerOptions) {
    const listener = async (incoming: IncomingMessage, response: ServerResponse) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
      } catch {
        // The client, or the end of the test, closed the connection in the middle of the request.
        return;
      }
      const { method = '', url = '', headers } = incoming;
      const request = { method, url, headers, body: String(Buffer.concat(chunks)) };
      this.received.push(request);
      this.maxOpen = Math.max(this.maxOpen, ++this.open);
      const reply = await this.reply(request, response);
      this.open -= 1;
      if (reply === undefined || reply === 'handled') return;
      const whole = typeof reply === 'number' ? { status: reply } : reply;
      const {
        status,
        headers: sent = {},
        text = `said ${status}`,
      } = whole as Exclude<Reply, number | undefined>;
      response.writeHead(status, sent).end(status === 304 ? undefined : text);
    };
    this.#scheme = tls ? 'https' : 'http';
    this.server = tls ? createSecureServer(tls, listener) : createServer(listener);
    this.server.on('connection', (socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    atEnd(() => this.stop());
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => void this.server.listen(port, '127.0.0.1', resolve));
    return this;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${(this.server.address() as AddressInfo).port}/in`;
  }

  get bodies(): string[] {
    return this.received.map(({ body }) => body);
  }

  stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => void this.server.close(() => resolve()));
  }
}

export const endpoint = (tls?: ServerOptions): Promise<Endpoint> => new Endpoint(tls).start();
