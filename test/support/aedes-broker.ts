import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { Aedes } from 'aedes';
import { atEnd } from './at-end.ts';

export interface AedesBroker {
  /** `mqtt://` or, with TLS, `mqtts://`. */
  url: string;
  stop(): Promise<void>;
}

/** A broker that knows nothing of MQTT 5, and says so. It stops by itself: see `atEnd`. */
export async function startAedes(tls?: TlsOptions): Promise<AedesBroker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const serve = (socket: Socket): void => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    aedes.handle(socket);
  };
  const server = tls === undefined ? createServer(serve) : createTlsServer(tls, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const stopAll = async (): Promise<void> => {
    await new Promise<void>((resolve) => aedes.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    server.close();
    await once(server, 'close');
  };
  let stopping: Promise<void> | undefined;
  const stop = (): Promise<void> => {
    stopping ??= stopAll();
    return stopping;
  };
  atEnd(stop);
  return { url: `${tls === undefined ? 'mqtt' : 'mqtts'}://127.0.0.1:${port}`, stop };
}
