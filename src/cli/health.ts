import { request } from 'node:http';

/** `penstock health`: asks the process that the same settings start whether it is ready. For health checks of containers. */

interface Listening {
  host: string;
  port: number;
  workerPort: number | undefined;
}

const answerWithinMs = 3_000;

type Answer = { ready: true } | { ready: false; why: string; refused: boolean };

/**
 * Returns the exit code: 0 if the process is ready. `role` chooses between the port of the API and that of a worker; without
 * it, the one that listens is asked.
 */
export async function checkHealth(
  { host, port, workerPort }: Listening,
  role: string | undefined,
  print: (line: string) => void,
  complain: (line: string) => void,
): Promise<number> {
  const ports = { api: port, worker: workerPort };
  const wanted = role === 'api' || role === 'worker' ? [ports[role]] : [port, workerPort];
  const asked = [...new Set(wanted.filter((one) => one !== undefined))].filter((one) => one !== 0);
  let last =
    'no port to ask: set PENSTOCK_PORT, or PENSTOCK_WORKER_HTTP for a worker, to another number than 0';
  for (const one of asked) {
    const answer = await ask(dialled(host), one);
    if (answer.ready) {
      print('ready');
      return 0;
    }
    last = `port ${one} of ${dialled(host)}: ${answer.why}`;
    if (!answer.refused) break;
  }
  complain(`penstock: not ready: ${last}`);
  return 1;
}

/** A process that listens on every address is asked at the loopback one. */
function dialled(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return /^[0:]+$/.test(host) ? '::1' : host;
}

function ask(host: string, port: number): Promise<Answer> {
  return new Promise((resolve) => {
    const failed = (error: NodeJS.ErrnoException): void =>
      resolve({
        ready: false,
        why: error.message || `${error.code}`,
        refused: error.code === 'ECONNREFUSED',
      });
    // Without keys only loopback names are served, whatever the address is called here.
    const options = { host, port, path: '/readyz', headers: { host: 'localhost' } };
    const sent = request({ ...options, signal: AbortSignal.timeout(answerWithinMs) }, async (response) => {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of response) chunks.push(chunk as Buffer);
        if (response.statusCode === 200) return resolve({ ready: true });
        resolve({ ready: false, why: reasonIn(response.statusCode, Buffer.concat(chunks)), refused: false });
      } catch (error) {
        failed(error as Error);
      }
    });
    sent.on('error', failed);
    sent.end();
  });
}

function reasonIn(status: number | undefined, body: Buffer): string {
  try {
    const { code, detail } = JSON.parse(body.toString()) as { code: string; detail: string };
    return `HTTP ${status}, ${code}: ${detail}`;
  } catch {
    return `HTTP ${status}`;
  }
}
