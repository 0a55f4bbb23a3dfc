import { alterPartitionReassignmentsV0, metadataV12 } from '@platformatic/kafka';
import type { KafkaProfile } from '../../src/connectors/kafka/config/profile.ts';
import type { Broker } from '../../src/connectors/kafka/connection/broker.ts';
import { Cluster } from '../../src/connectors/kafka/connection/cluster.ts';
import { freePort } from './free-port.ts';
import { Kafka, newClusterId } from './kafka.ts';
import { kafkaContext, sourceTable } from './kafka-context.ts';
import { until } from './until.ts';

/** A broker that is killed is out after 3 seconds. Leaders go back to the preferred replica soon after it returned. */
const settings = [
  'default.replication.factor=3',
  'min.insync.replicas=2',
  'broker.session.timeout.ms=3000',
  'broker.heartbeat.interval.ms=500',
  'leader.imbalance.check.interval.seconds=5',
  'leader.imbalance.per.broker.percentage=0',
];

/** Three real nodes of Kafka, each broker and controller. Topics have three replicas, of which two must be in sync. */
export class KafkaCluster {
  readonly nodes: readonly Kafka[];

  private constructor(nodes: readonly Kafka[]) {
    this.nodes = nodes;
  }

  static async start(config: string[] = []): Promise<KafkaCluster> {
    const controllers = await Promise.all([freePort(), freePort(), freePort()]);
    const id = newClusterId();
    const start = (nth: number) =>
      Kafka.start({ config: [...settings, ...config], member: { cluster: id, id: nth + 1, controllers } });
    const cluster = new KafkaCluster(await Promise.all(controllers.map((_, nth) => start(nth))));
    const addresses = cluster.nodes.map(({ address }) => address);
    for (const node of cluster.nodes)
      node.bootstrap = [node.address, ...addresses.filter((address) => address !== node.address)];
    return cluster;
  }

  /** Asks whichever node responds. */
  get any(): Kafka {
    return this.nodes[0] as Kafka;
  }

  node(id: number): Kafka {
    const node = this.nodes[id - 1];
    if (!node) throw new Error(`There is no node ${id}`);
    return node;
  }

  /** A profile with all nodes, and a server in front of them that is down. */
  profile(listener: 'direct' | 'linked', more: Partial<KafkaProfile> = {}): KafkaProfile {
    const servers = this.nodes.map((node) => node.profile(listener).bootstrapServers);
    return this.any.profile(listener, { bootstrapServers: ['127.0.0.1:1', ...servers].join(','), ...more });
  }

  /** The id of the node that leads a partition; undefined if none does. */
  async leader(topic: string, partition: number): Promise<number | undefined> {
    const [found] = await this.#topics([topic]);
    const leader =
      found?.partitions.find(({ partitionIndex }) => partitionIndex === partition)?.leaderId ?? -1;
    return leader < 0 ? undefined : leader;
  }

  async coordinator(of: 'GROUP' | 'TRANSACTION', key: string): Promise<number> {
    const keyType = of === 'GROUP' ? 0 : 1;
    const found = await this.any.admin((admin) => admin.findCoordinator({ keyType, keys: [key] }));
    return found[0]?.nodeId ?? -1;
  }

  /** Waits until every replica of all topics is in sync, and the leaders are the preferred ones. */
  async inSync(): Promise<void> {
    const all = async () => {
      const topics = await this.#topics(null).catch(() => []);
      const partitions = topics.flatMap((topic) => topic.partitions);
      const settled = partitions.filter(
        ({ isrNodes, leaderId, replicaNodes }) =>
          isrNodes.length === this.nodes.length && leaderId === replicaNodes[0],
      );
      return partitions.length > 0 && settled.length === partitions.length;
    };
    await until('all replicas to be in sync', all, 120_000);
  }

  /** Lets two nodes have a partition, without its leader. */
  async moveLeader(topic: string, partition: number): Promise<void> {
    const leader = await this.leader(topic, partition);
    const others = this.nodes.map((_, nth) => nth + 1).filter((id) => id !== leader);
    await this.#assign(topic, partition, others);
    const moved = async () => {
      const now = await this.leader(topic, partition);
      return now !== undefined && now !== leader;
    };
    await until('another leader', moved, 60_000);
    await this.#assign(topic, partition, [...others, leader ?? 1]);
  }

  async #assign(topic: string, partitionIndex: number, replicas: number[]): Promise<void> {
    const topics = [{ name: topic, partitions: [{ partitionIndex, replicas }] }];
    const response = await this.#ask((broker) =>
      broker.call(alterPartitionReassignmentsV0.api, 10_000, false, topics),
    );
    const codes = response.responses.flatMap(({ partitions }) =>
      partitions.map(({ errorCode }) => errorCode),
    );
    if (response.errorCode !== 0 || codes.some((code) => code !== 0))
      throw new Error(`The reassignment is refused: ${response.errorCode} ${codes}`);
  }

  /** All of them, or some. Internal ones too, which the client of the library leaves out. */
  async #topics(names: string[] | null) {
    return (await this.#ask((broker) => broker.call(metadataV12.api, names, false, false))).topics;
  }

  async #ask<T>(request: (broker: Broker) => Promise<T>): Promise<T> {
    const { signal } = new AbortController();
    const cluster = await Cluster.open(kafkaContext(this.profile('direct'), sourceTable('')), signal);
    try {
      return await request(cluster.bootstrap);
    } finally {
      await cluster.close();
    }
  }
}
