import { type ChildProcess, spawn } from 'node:child_process';
import { pbkdf2Sync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd } from './at-end.ts';
import { freePort } from './free-port.ts';
import { watch } from './watch.ts';

/** A separate real mosquitto: a free port of 127.0.0.1, a temporary folder, killed by pid. */

export interface MosquittoOptions {
  /** Lines of mosquitto.conf for the listener, such as `require_certificate true`. */
  config?: string[];
  /** Files to put into its folder, by name; `{dir}` in a config line is that folder. */
  files?: Record<string, string>;
  /** Users with their plain-text passwords. Without any, anonymous login is allowed. */
  users?: Record<string, string>;
  /** An access control list, in mosquitto's own notation. */
  acl?: string;
  tls?: { ca: string; cert: string; key: string };
  /** Logs no packets, because that is slow for many messages. */
  quiet?: boolean;
  /** Called with each part of the broker's log. */
  logged?: (text: string) => void;
}

function find(name: string): string {
  const places = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const found = places.map((place) => join(place, name)).find((path) => existsSync(path));
  if (!found) throw new Error(`${name} is not installed: apt-get install mosquitto`);
  return found;
}

export class Mosquitto {
  readonly port: number;
  readonly #folder: string;
  readonly #arguments: string[];
  readonly #logged: (text: string) => void;
  #child: ChildProcess | undefined;
  #watcher: ChildProcess | undefined;
  #log = '';

  private constructor(port: number, options: MosquittoOptions) {
    this.port = port;
    this.#logged = options.logged ?? (() => {});
    this.#folder = mkdtempSync(join(tmpdir(), 'penstock-mosquitto-'));
    const configFile = join(this.#folder, 'mosquitto.conf');
    this.#arguments = ['-c', configFile, ...(options.quiet ? [] : ['-v'])];
    const lines = this.#configure(options).map((line) => line.replaceAll('{dir}', this.#folder));
    writeFileSync(configFile, `${lines.join('\n')}\n`);
  }

  /** Starts a broker and waits until it accepts connections. It stops by itself: see `atEnd`. */
  static async start(options: MosquittoOptions = {}): Promise<Mosquitto> {
    for (let attempt = 1; ; attempt += 1) {
      const broker = new Mosquitto(await freePort(), options);
      try {
        await broker.resume();
        atEnd(() => broker.stop());
        return broker;
      } catch (error) {
        await broker.stop();
        if (attempt === 3) throw error;
      }
    }
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.port}`;
  }

  /** The broker's log so far. */
  get log(): string {
    return this.#log;
  }

  /** Starts it again after `kill`, on the same port with its saved state. */
  async resume(): Promise<void> {
    const child = spawn(find('mosquitto'), this.#arguments, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child = child;
    this.#watcher?.kill('SIGKILL');
    this.#watcher = watch(child.pid ?? 0, this.#folder);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk) => {
        this.#log = (this.#log + String(chunk)).slice(-1_000_000);
        this.#logged(String(chunk));
      });
    }
    const deadline = Date.now() + 60_000;
    while (!(await accepts(this.port))) {
      if (child.exitCode !== null || Date.now() > deadline)
        throw new Error(`mosquitto did not start: ${this.#log}`);
      await delay(20);
    }
  }

  /** Ends the process: SIGTERM lets it save its sessions, SIGKILL does not. */
  async kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    // Also if it has ended by itself: another process may have its id by now.
    this.#watcher?.kill('SIGKILL');
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill(signal);
    child.kill('SIGCONT');
    await exited;
  }

  /** Stops it for good and removes its folder. */
  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #configure(options: MosquittoOptions): string[] {
    const put = (name: string, content: string): string => {
      const path = join(this.#folder, name);
      writeFileSync(path, content, { mode: 0o600 });
      return path;
    };
    for (const [name, content] of Object.entries(options.files ?? {})) put(name, content);
    const { users, acl, tls } = options;
    return [
      `listener ${this.port} 127.0.0.1`,
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      'persistence true',
      'persistence_location {dir}/',
      'sys_interval 1',
      'log_dest stderr',
      `allow_anonymous ${users === undefined}`,
      ...(users === undefined ? [] : [`password_file ${put('passwords', hashed(users))}`]),
      ...(acl === undefined ? [] : [`acl_file ${put('acl', acl)}`]),
      ...(tls === undefined ? [] : [`cafile ${put('ca.pem', tls.ca)}`]),
      ...(tls === undefined ? [] : [`certfile ${put('cert.pem', tls.cert)}`]),
      ...(tls === undefined ? [] : [`keyfile ${put('key.pem', tls.key)}`]),
      ...(options.config ?? []),
    ];
  }
}

/** mosquitto's password file: PBKDF2 with SHA-512, as `mosquitto_passwd` writes it. */
function hashed(users: Record<string, string>): string {
  return Object.entries(users)
    .map(([name, password]) => {
      const salt = randomBytes(12);
      const hash = pbkdf2Sync(password, salt, 101, 64, 'sha512');
      return `${name}:$7$101$${salt.toString('base64')}$${hash.toString('base64')}\n`;
    })
    .join('');
}

/** Whether a process listens on a port of this machine. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
