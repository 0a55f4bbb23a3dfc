import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

interface ProcessOptions {
  node: string;
  folder: string;
  environment: Record<string, string | undefined>;
  print(line: string): void;
}

const startDeadlineMs = 30_000;

/** Penstock in its own process, started again whenever it dies. */
export class PenstockProcess {
  address = '';
  readonly #options: ProcessOptions;
  #child: ChildProcess | undefined;
  #ready = Promise.withResolvers<string>();
  #stopping = false;
  #starts = 0;
  #port = 0;

  constructor(options: ProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  async start(): Promise<string> {
    this.#port = await freePort(5115);
    this.#launch();
    this.address = await this.#whenReady();
    return this.address;
  }

  /** Kills it with SIGKILL, as a crash would; returns its process id. */
  async kill(): Promise<number | undefined> {
    const child = this.#child;
    this.#ready = Promise.withResolvers<string>();
    child?.kill('SIGKILL');
    if (child && child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    return child?.pid;
  }

  async restarted(): Promise<string> {
    await this.#whenReady();
    return `started again as ${this.pid}`;
  }

  note(): string {
    return this.#starts > 1 ? `, Penstock started ${this.#starts} times (now ${this.pid})` : '';
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  }

  async #whenReady(): Promise<string> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error('Penstock did not start in time')), startDeadlineMs);
    try {
      return await Promise.race([this.#ready.promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #launch(): void {
    const { node, folder, environment } = this.#options;
    const child = spawn(node, [fileURLToPath(new URL('../../main.ts', import.meta.url)), 'all'], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: {
        ...environment,
        PENSTOCK_HOST: '127.0.0.1',
        PENSTOCK_PORT: String(this.#port),
        PENSTOCK_DATA_DIR: folder,
        PENSTOCK_DATABASE_URL: `file:${join(folder, 'penstock.db')}`,
        PENSTOCK_LOG_LEVEL: 'info',
        PENSTOCK_ADMIN_KEY: '',
      },
    });
    this.#child = child;
    this.#starts++;
    createInterface({ input: child.stderr }).on('line', (line) => this.#logged(line));
    let served = false;
    this.#ready.promise.then(
      () => {
        served = true;
      },
      () => {},
    );
    child.once('exit', () => {
      if (this.#stopping) return;
      if (served) this.#launch();
      else this.#ready.reject(new Error('Penstock did not start; see above'));
    });
  }

  #logged(line: string): void {
    const entry = parsed(line);
    if (entry?.msg === 'penstock is serving' && entry.address) this.#ready.resolve(entry.address);
    else if (!entry || (entry.level ?? 0) >= 50) this.#options.print(`  penstock: ${entry?.msg ?? line}`);
  }
}

function parsed(line: string): { msg?: string; level?: number; address?: string } | undefined {
  try {
    return JSON.parse(line);
  } catch {
    // Not every line is ours: Node writes its own warnings to stderr.
    return undefined;
  }
}

/** Returns the wanted port if it is free, else another free one. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  const listening = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(wanted, '127.0.0.1', () => resolve(true));
  });
  if (!listening) return freePort(0);
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address ? address.port : wanted;
}
