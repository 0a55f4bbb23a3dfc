import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import {
  AckPolicy,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  type StreamConfig,
} from '@nats-io/jetstream';
import { connect, type NatsConnection, nkeys } from '@nats-io/transport-node';
import { whyMissing } from '../../scripts/servers.ts';
import { atEnd } from './at-end.ts';
import type { Tap } from './faulty-link.ts';
import { freePort } from './free-port.ts';
import { ServerProcess, whereIs } from './server-process.ts';
import { until } from './until.ts';

/** Why the tests of NATS are skipped, if they are. */
export const natsMissing = whyMissing('nats-server');

export interface NatsOptions {
  /** Lines of the server's configuration. `{dir}` is its folder. */
  config?: string[];
  tls?: { ca: string; cert: string; key: string };
  /** Whether clients need a certificate of the CA. */
  mutual?: boolean;
  /** No JetStream. */
  plain?: boolean;
  name?: string;
  port?: number;
}

/** A separate real nats-server: a free port of 127.0.0.1, a temporary folder, JetStream on disk. It stops by itself: see `atEnd`. */
export class Nats {
  readonly port: number;
  readonly #process: ServerProcess;
  readonly #login: object;

  private constructor(port: number, server: ServerProcess, login: object) {
    this.port = port;
    this.#process = server;
    this.#login = login;
  }

  /** `login` is that of the clients that `client` opens. */
  static async start(options: NatsOptions = {}, login: object = {}): Promise<Nats> {
    const port = options.port ?? (await freePort());
    const folder = mkdtempSync(join(tmpdir(), 'penstock-nats-'));
    const put = (name: string, text: string): string => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const { tls } = options;
    const lines = [
      `server_name: ${options.name ?? 'test'}`,
      `listen: "127.0.0.1:${port}"`,
      ...(options.plain ? [] : ['jetstream { store_dir: "{dir}/store" }']),
      ...(tls
        ? [
            `tls { cert_file: "${put('cert.pem', tls.cert)}", key_file: "${put('key.pem', tls.key)}", ` +
              `ca_file: "${put('ca.pem', tls.ca)}", verify: ${options.mutual === true} }`,
          ]
        : []),
      ...(options.config ?? []),
    ];
    const config = put('nats.conf', `${lines.join('\n')}\n`.replaceAll('{dir}', folder));
    atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
    const command = whereIs('nats-server') ?? 'nats-server';
    const server = await ServerProcess.start({ command, args: ['-c', config], port, folder });
    return new Nats(port, server, login);
  }

  get url(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** SIGUSR2 makes it a lame duck: it takes no more connections, and closes those that it has one by one before it ends. */
  kill(signal: 'SIGTERM' | 'SIGKILL' | 'SIGUSR2'): Promise<void> {
    return this.#process.kill(signal);
  }

  resume(): Promise<void> {
    return this.#process.resume();
  }

  /** A client of the library, which reconnects. It closes by itself: see `atEnd`. */
  async client(login = this.#login): Promise<NatsConnection> {
    const options = { servers: this.url, maxReconnectAttempts: -1, reconnectTimeWait: 50, ...login };
    const client = await connect(options);
    atEnd(() => client.close());
    return client;
  }

  async manager(): Promise<JetStreamManager> {
    return jetstreamManager(await this.client());
  }

  /** Creates a stream with the subjects `<name>.>`. */
  async stream(name: string, config: Partial<StreamConfig> = {}): Promise<void> {
    await (await this.manager()).streams.add({ name, subjects: [`${name}.>`], ...config });
  }
}

/** Three servers, `n0` to `n2`, that have formed a cluster with JetStream. */
export async function natsCluster(): Promise<Nats[]> {
  const routes = await Promise.all([0, 1, 2].map(() => freePort()));
  const known = routes.map((port) => `"nats://127.0.0.1:${port}"`).join(', ');
  const nodes = await Promise.all(
    routes.map((port, index) => {
      const cluster = `cluster { name: test, listen: "127.0.0.1:${port}", routes: [${known}] }`;
      const config = [cluster, 'lame_duck_duration: "30s"', 'lame_duck_grace_period: "2s"'];
      return Nats.start({ name: `n${index}`, config });
    }),
  );
  const manager = await jetstreamManager(await (nodes[0] as Nats).client(), { checkAPI: false });
  await until('the cluster has a leader', () => manager.getAccountInfo().catch(() => undefined), 60_000);
  return nodes;
}

/** Numbers of messages that JetStream has confirmed to store in a stream, as seen on the wire, by their sequence there. */
export class ConfirmedByJetStream {
  readonly bySequence = new Map<number, number>();
  readonly #subject: string;
  readonly #stream: string;

  constructor(subject: string, stream: string) {
    this.#subject = subject.replaceAll('.', '\\.');
    this.#stream = stream;
  }

  /** For one connection whose messages have headers and begin with `{"seq":`. */
  readonly tap = (): Tap => {
    const asked = new Map<string, number>();
    const published = new RegExp(
      `HPUB ${this.#subject} (\\S+) \\d+ \\d+\\r\\nNATS/1\\.0\\r\\n(?:[^\\r]+\\r\\n)*\\r\\n\\{"seq":(\\d+)[,}]`,
      'g',
    );
    const stored = new RegExp(
      `MSG (\\S+) [\\d ]+\\r\\n\\{"stream":"${this.#stream}", ?"seq":(\\d+)[,}]`,
      'g',
    );
    const rest = { up: '', down: '' };
    return (direction, chunk) => {
      const text = rest[direction] + chunk.toString('latin1');
      let end = 0;
      for (const { index, 0: whole, 1: reply = '', 2: number } of text.matchAll(
        direction === 'up' ? published : stored,
      )) {
        end = index + whole.length;
        const seq = asked.get(reply);
        if (direction === 'up') asked.set(reply, Number(number));
        else if (seq !== undefined) this.bySequence.set(Number(number), seq);
      }
      rest[direction] = text.slice(end).slice(-4_096);
    };
  };
}

/** The texts of all messages of a stream, read with a consumer of its own. */
export async function textsIn(client: NatsConnection, stream: string): Promise<string[]> {
  // Nobody asks again, and a busy machine may need more than the five seconds of the library.
  const manager = await jetstreamManager(client, { timeout: 30_000 });
  const { state } = await manager.streams.info(stream);
  const texts: string[] = [];
  if (state.messages === 0) return texts;
  const { name } = await manager.consumers.add(stream, {
    ack_policy: AckPolicy.None,
    mem_storage: true,
    inactive_threshold: 60_000_000_000,
  });
  const consumer = await manager.jetstream().consumers.get(stream, name);
  while (texts.length < state.messages) {
    const batch = await consumer.fetch({ max_messages: state.messages - texts.length, expires: 2_000 });
    for await (const message of batch) texts.push(message.string());
  }
  await manager.consumers.delete(stream, name);
  return texts;
}

/** A user with a key, as a server and a client know it. */
export function nkeyUser(): { public: string; seed: string } {
  const pair = nkeys.createUser();
  return { public: pair.getPublicKey(), seed: new TextDecoder().decode(pair.getSeed()) };
}

const base64url = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url');

type KeyPair = ReturnType<typeof nkeys.createUser>;

function signedJwt(by: KeyPair, subject: KeyPair, name: string, claims: object): string {
  const body = {
    jti: name,
    iat: Math.floor(Date.now() / 1000),
    iss: by.getPublicKey(),
    name,
    sub: subject.getPublicKey(),
    nats: { version: 2, ...claims },
  };
  const head = base64url(JSON.stringify({ typ: 'JWT', alg: 'ed25519-nkey' }));
  const text = `${head}.${base64url(JSON.stringify(body))}`;
  return `${text}.${base64url(by.sign(new TextEncoder().encode(text)))}`;
}

/** The configuration of a server that trusts an operator, and the credentials of a user of its account. */
export function operatorMode(): { config: string[]; jwt: string; seed: string; creds: string } {
  const [operator, account, user] = [nkeys.createOperator(), nkeys.createAccount(), nkeys.createUser()];
  const limits = {
    subs: -1,
    data: -1,
    payload: -1,
    conn: -1,
    leaf: -1,
    imports: -1,
    exports: -1,
    wildcards: true,
  };
  const ofAccount = { type: 'account', limits: { ...limits, mem_storage: -1, disk_storage: -1 } };
  const operatorJwt = signedJwt(operator, operator, 'operator', { type: 'operator' });
  const accountJwt = signedJwt(operator, account, 'account', ofAccount);
  const jwt = signedJwt(account, user, 'user', { type: 'user', subs: -1, data: -1, payload: -1 });
  const seed = new TextDecoder().decode(user.getSeed());
  const creds = [
    ['-----BEGIN NATS USER JWT-----', jwt, '------END NATS USER JWT------', ''],
    ['-----BEGIN USER NKEY SEED-----', seed, '------END USER NKEY SEED------', ''],
  ]
    .flat()
    .join('\r\n');
  const config = [
    `operator: ${operatorJwt}`,
    'resolver: MEMORY',
    `resolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
  ];
  return { config, jwt, seed, creds };
}

/** Publishes `{"seq":…}` to `IN.a`, each again until the stream has confirmed it. */
export function confirming(client: NatsConnection) {
  const js = jetstream(client);
  const confirmed = new Set<number>();
  const publish = async (seq: number): Promise<void> => {
    while (!confirmed.has(seq))
      await js.publish('IN.a', JSON.stringify({ seq }), { timeout: 2_000 }).then(
        () => confirmed.add(seq),
        () => pause(50),
      );
  };
  return { confirmed, publish };
}
