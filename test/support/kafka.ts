import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Admin, Consumer, type Message, type MessagesStream, Producer } from '@platformatic/kafka';
import { kafkaFolder } from '../../scripts/kafka.ts';
import type { KafkaProfile } from '../../src/connectors/kafka/config/profile.ts';
import { atEnd } from './at-end.ts';
import { makeAuthority, makeClient, makeServer, type Pair } from './certificates.ts';
import { FaultyLink, type Tap } from './faulty-link.ts';
import { freePort } from './free-port.ts';
import { ServerProcess } from './server-process.ts';
import { until } from './until.ts';

/** Users of a test server, by each mechanism. */
export const user = { username: 'alice', password: 'secret-1' };

interface Options {
  /** Lines of server.properties. */
  config?: string[];
  /** Whether it has the listeners with logins and TLS too. */
  secured?: boolean;
  member?: Member;
}

/** Its place in a cluster of several nodes. Each is broker and controller. */
export interface Member {
  cluster: string;
  /** From 1. */
  id: number;
  /** Ports of all controllers, in the order of the ids. */
  controllers: readonly number[];
}

export const newClusterId = (): string => randomBytes(16).toString('base64url').replace(/^-/, 'A');

/** A listener of a test server. */
type ListenerName = 'direct' | 'linked' | 'sasl' | 'tls' | 'mtls' | 'sasltls' | 'hidden';

const protocols: Record<ListenerName, string> = {
  direct: 'PLAINTEXT',
  linked: 'PLAINTEXT',
  hidden: 'PLAINTEXT',
  sasl: 'SASL_PLAINTEXT',
  tls: 'SSL',
  mtls: 'SSL',
  sasltls: 'SASL_SSL',
};

/** Paths of host names are not resolved in tests: this is a port where nothing listens. */
const hiddenHost = '127.0.0.1:1';

/** A real Kafka of one node, or a node of a cluster. It stops by itself: see `atEnd`. */
export class Kafka {
  readonly ports: Record<ListenerName, number>;
  /** A link to the listener `linked`, which advertises the address of the link. */
  readonly link: FaultyLink;
  /** Sees what passes through the link. */
  readonly taps: { tap: Tap };
  readonly authority: Pair;
  readonly client: Pair;
  /** Servers that are asked, this one first. */
  bootstrap: string[] = [];
  /** Number of replicas of new topics. */
  replicas = 1;
  readonly #server: ServerProcess;

  private constructor(
    ports: Record<ListenerName, number>,
    link: FaultyLink,
    taps: { tap: Tap },
    server: ServerProcess,
    pairs: { authority: Pair; client: Pair },
  ) {
    this.ports = ports;
    this.bootstrap = [this.address];
    this.link = link;
    this.taps = taps;
    this.#server = server;
    this.authority = pairs.authority;
    this.client = pairs.client;
  }

  static async start({ config = [], secured = false, member }: Options = {}): Promise<Kafka> {
    const jars = kafkaFolder();
    if (jars === undefined) throw new Error('Kafka is not there: node scripts/kafka.ts');
    const names = Object.keys(protocols) as ListenerName[];
    const ports = Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await freePort()] as const)),
    ) as Record<ListenerName, number>;
    const { cluster, id, controllers }: Member = member ?? {
      cluster: newClusterId(),
      id: 1,
      controllers: [await freePort()],
    };
    const voters = controllers.map((port, nth) => `${nth + 1}@127.0.0.1:${port}`);
    const controller = controllers[id - 1];
    const replicas = Math.min(3, controllers.length);
    const taps = { tap: (() => {}) as Tap };
    const link = await FaultyLink.start(ports.linked, () => (direction, chunk) => taps.tap(direction, chunk));
    const [authority, folder] = [await makeAuthority(), mkdtempSync(join(tmpdir(), 'penstock-kafka-'))];
    const [own, client] = await Promise.all([makeServer(authority), makeClient(authority)]);
    const used = names.filter((name) => secured || ['direct', 'linked', 'hidden'].includes(name));
    const advertised = (name: ListenerName): string => {
      if (name === 'hidden') return hiddenHost;
      return name === 'linked' ? new URL(link.url).host : `127.0.0.1:${ports[name]}`;
    };
    const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
    const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
    const bearer =
      'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";';
    const logins = ['sasl', 'sasltls'].flatMap((name) => [
      `listener.name.${name}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER`,
      `listener.name.${name}.plain.sasl.jaas.config=${plain} user_${user.username}="${user.password}";`,
      `listener.name.${name}.scram-sha-256.sasl.jaas.config=${scram}`,
      `listener.name.${name}.scram-sha-512.sasl.jaas.config=${scram}`,
      `listener.name.${name}.oauthbearer.sasl.jaas.config=${bearer}`,
    ]);
    const pem = (text: string): string => text.trim().replaceAll(/\r?\n/g, '\\n');
    const lines = [
      'process.roles=broker,controller',
      `node.id=${id}`,
      `controller.quorum.voters=${voters.join(',')}`,
      `listeners=CONTROLLER://127.0.0.1:${controller},${used.map((name) => `${name.toUpperCase()}://127.0.0.1:${ports[name]}`).join(',')}`,
      `advertised.listeners=${used.map((name) => `${name.toUpperCase()}://${advertised(name)}`).join(',')}`,
      'controller.listener.names=CONTROLLER',
      'inter.broker.listener.name=DIRECT',
      `listener.security.protocol.map=CONTROLLER:PLAINTEXT,${used.map((name) => `${name.toUpperCase()}:${protocols[name]}`).join(',')}`,
      `log.dirs=${join(folder, 'data')}`,
      `offsets.topic.replication.factor=${replicas}`,
      `offsets.topic.num.partitions=${replicas}`,
      `transaction.state.log.replication.factor=${replicas}`,
      `transaction.state.log.min.isr=${Math.min(2, replicas)}`,
      `transaction.state.log.num.partitions=${replicas}`,
      'group.initial.rebalance.delay.ms=0',
      'auto.create.topics.enable=false',
      'log.cleaner.dedupe.buffer.size=4194304',
      'num.network.threads=1',
      'num.io.threads=2',
      ...(secured
        ? [
            ...logins,
            'ssl.keystore.type=PEM',
            `ssl.keystore.key=${pem(own.key)}`,
            `ssl.keystore.certificate.chain=${pem(own.cert)}`,
            'ssl.truststore.type=PEM',
            `ssl.truststore.certificates=${pem(authority.cert)}`,
            'listener.name.mtls.ssl.client.auth=required',
            'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
            'allow.everyone.if.no.acl.found=true',
            'super.users=User:ANONYMOUS',
          ]
        : []),
      ...config,
    ];
    const properties = join(folder, 'server.properties');
    writeFileSync(properties, `${lines.join('\n')}\n`);
    writeFileSync(join(folder, 'log4j2.yaml'), logging);
    const java = (main: string, ...args: string[]): string[] => [
      ...['-Xmx192m', '-Xms32m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-Xshare:auto'],
      `-Dlog4j2.configurationFile=${join(folder, 'log4j2.yaml')}`,
      ...['-cp', join(jars, '*'), main, ...args],
    ];
    const scrams = ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
      '--add-scram',
      `${mechanism}=[name="${user.username}",password="${user.password}"]`,
    ]);
    const format = ['format', '-t', cluster, '-c', properties, ...(secured ? scrams : [])];
    execFileSync('java', java('kafka.tools.StorageTool', ...format), { cwd: folder, stdio: 'pipe' });
    const args = java('kafka.Kafka', properties);
    const server = await ServerProcess.start({ command: 'java', args, port: ports.direct, folder });
    const kafka = new Kafka(ports, link, taps, server, { authority, client });
    kafka.replicas = replicas;
    await kafka.#ready();
    return kafka;
  }

  get address(): string {
    return `127.0.0.1:${this.ports.direct}`;
  }

  /** A profile that leads to one of the listeners. */
  profile(listener: ListenerName = 'direct', more: Partial<KafkaProfile> = {}): KafkaProfile {
    const host = listener === 'linked' ? new URL(this.link.url).host : `127.0.0.1:${this.ports[listener]}`;
    return { bootstrapServers: host, authentication: {}, connectTimeoutMs: 5_000, ...more };
  }

  /** Ends it, with what it has stored. SIGTERM is an orderly shutdown. */
  kill(signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<void> {
    return this.#server.kill(signal);
  }

  async resume(): Promise<void> {
    await this.#server.resume();
    await this.#ready();
  }

  async #ready(): Promise<void> {
    const answers = () =>
      this.admin((admin) => admin.listTopics()).then(
        () => true,
        () => false,
      );
    await until('Kafka to answer', answers, 60_000);
  }

  async admin<T>(work: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = new Admin({
      clientId: 'test',
      bootstrapBrokers: this.bootstrap,
      retries: 0,
      timeout: 5_000,
    });
    try {
      return await work(admin);
    } finally {
      await admin.close();
    }
  }

  async createTopic(topic: string, partitions = 1, config: Record<string, string> = {}): Promise<void> {
    const configs = Object.entries(config).map(([name, value]) => ({ name, value }));
    await this.admin((admin) =>
      admin.createTopics({ topics: [topic], partitions, replicas: this.replicas, configs }),
    );
    await this.#led(topic, partitions);
  }

  async addPartitions(topic: string, count: number): Promise<void> {
    const topics = [{ name: topic, count, assignments: null as never }];
    await this.admin((admin) => admin.createPartitions({ topics }));
    await this.#led(topic, count);
  }

  /** The controller has partitions at once; a broker hears of them, and that it leads them, a moment later. */
  async #led(topic: string, partitions: number): Promise<void> {
    const known = () =>
      this.admin(async (admin) => (await admin.metadata({ topics: [topic] })).topics.get(topic));
    const led = async () => (await known())?.partitionsCount === partitions && (await this.count(topic)) >= 0;
    const settled = () => led().catch(() => false);
    await until(`${partitions} partitions of ${topic}`, settled);
  }

  async deleteTopic(topic: string): Promise<void> {
    await this.admin((admin) => admin.deleteTopics({ topics: [topic] }));
    await until('the topic to be gone', async () => !(await this.topics()).includes(topic));
  }

  topics(): Promise<string[]> {
    return this.admin((admin) => admin.listTopics());
  }

  /** A producer of the library, which closes by itself. */
  producer(options: { transactionalId?: string } = {}): Producer {
    const bootstrapBrokers = this.bootstrap;
    const producer = new Producer({ clientId: 'test', bootstrapBrokers, idempotent: true, ...options });
    atEnd(() => producer.close());
    return producer;
  }

  /** All messages that a topic has now, read by the consumer of the library. */
  async read(topic: string, count: number, isolationLevel = 1) {
    const consumer = new Consumer({
      clientId: 'test',
      groupId: `test-${randomBytes(6).toString('hex')}`,
      bootstrapBrokers: this.bootstrap,
    });
    try {
      const stream: MessagesStream<Buffer, Buffer, Buffer, Buffer> = await consumer.consume({
        topics: [topic],
        mode: 'earliest',
        autocommit: false,
        isolationLevel,
        maxWaitTime: 200,
      });
      const found: Message[] = [];
      for await (const message of stream) {
        found.push(message);
        if (found.length >= count) break;
      }
      return found;
    } finally {
      await consumer.close(true);
    }
  }

  /** The sum of the offsets that a group has committed for a topic. */
  async committed(groupId: string, topic: string): Promise<number> {
    const groups = await this.admin((admin) => admin.listConsumerGroupOffsets({ groups: [groupId] }));
    const { partitions = [] } = groups[0]?.topics.find(({ name }) => name === topic) ?? {};
    return partitions.reduce((sum, { committedOffset }) => sum + Math.max(0, Number(committedOffset)), 0);
  }

  /** The sum of the ends of all partitions: with the markers of transactions. */
  async count(topic: string): Promise<number> {
    return this.admin(async (admin) => {
      const metadata = await admin.metadata({ topics: [topic] });
      const partitions = metadata.topics.get(topic)?.partitionsCount ?? 0;
      const request = Array.from({ length: partitions }, (_, partitionIndex) => ({
        partitionIndex,
        timestamp: -1n,
      }));
      const offsets = await admin.listOffsets({ topics: [{ name: topic, partitions: request }] });
      return offsets
        .flatMap(({ partitions: own }) => own)
        .reduce((sum, { offset }) => sum + Number(offset), 0);
    });
  }
}

const logging = `Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout: {pattern: "%d %p %m (%c)%n"}
  Loggers:
    Root: {level: ERROR, AppenderRef: [{ref: STDOUT}]}
`;
