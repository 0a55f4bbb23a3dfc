import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * Ports below those that systems give to connections and to servers without a port of their own, which could take one at any
 * time. Each process of a run begins in a part of its own.
 */
const firstPort = 11_000;
const ports = 20_000;
const parts = 8;
let nextPort =
  ((Number(process.env.VITEST_POOL_ID ?? 0) % parts) * (ports / parts) + randomInt(ports / parts / 2)) %
  ports;

/** A port at which nothing listens, and which is not given to others: also when its server is away for a while. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < ports; tries += 1) {
    const port = firstPort + nextPort;
    nextPort = (nextPort + 1) % ports;
    const server = createServer();
    const free = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!free) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
  throw new Error('no port is free');
}
