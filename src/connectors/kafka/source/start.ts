import type { RunContext } from '../../connector.ts';
import { kafkaError } from '../config/errors.ts';
import type { KafkaProfile } from '../config/profile.ts';
import { type KafkaTable, sourceOf } from '../config/table.ts';
import { type Cluster, isAnother, recreated, type Topic } from '../connection/cluster.ts';
import type { Committed } from '../connection/group.ts';

export type KafkaContext = RunContext<KafkaProfile, KafkaTable>;

/** How far each partition was read, as it is stored with the job. */
export interface StoredPosition {
  cluster: string;
  topic: string;
  /** Everything before these is acknowledged. */
  offsets: Record<string, string>;
  /** The offsets that the group had then. If it has others now, someone has set them, or a crash came in between. */
  group: Record<string, string>;
  /** See `Start`. */
  partitionsAtFirst: number;
}

/** Where a task begins. */
export interface Start {
  from: Map<number, bigint>;
  /**
   * Number of partitions when the first task of the source began; 0 for a topic that was created again. Partitions from this
   * number on are new. It is committed with the offsets, because a new task has no position.
   */
  partitionsAtFirst: number;
}

/** Where to begin in each partition. */
export async function begin(
  { table, position, warn }: KafkaContext,
  cluster: Cluster,
  topic: Topic,
  committed: Committed,
  own: readonly number[],
): Promise<Start> {
  const { offset, read_mode } = sourceOf(table);
  const stored = storedIn(position?.stored, cluster.id);
  const from = new Map<number, bigint>();
  // Transactions have committed the id of the topic with the offsets. The stored position may be older.
  const isStoredOfFormer = isAnother(stored?.topic, topic);
  const isOfFormer = isStoredOfFormer || committed.isOfFormer;
  if (isOfFormer && own.some((partition) => !committed.marked.has(partition))) warn(recreated(topic.name));
  const before = isStoredOfFormer ? undefined : stored;
  const known = committed.partitionsAtFirst ?? before?.partitionsAtFirst ?? topic.leaders.size;
  const partitionsAtFirst = isOfFormer ? 0 : known;
  let expired = 0;
  for (const partition of own) {
    if (isStoredOfFormer && !committed.marked.has(partition)) continue;
    const text = before?.offsets[partition];
    const found = committed.offsets.get(partition);
    if (found === undefined && text !== undefined && !isOfFormer) expired += 1;
    const ours = found === undefined || before?.group[partition] === String(found);
    const next = ours && text !== undefined ? BigInt(text) : found;
    if (next !== undefined) from.set(partition, next);
  }
  if (expired > 0)
    warn(
      kafkaError(
        'kafka_offsets_expired',
        `The consumer group has no offsets for ${expired} partitions of ${topic.name} any more. They go on at the stored position`,
        {
          hint: 'Raise offsets.retention.minutes of the brokers if pipelines are stopped for long.',
        },
      ),
    );
  const rest = own.filter((partition) => !from.has(partition));
  const again = stored !== undefined || isOfFormer || from.size > 0;
  // A partition that is new to a source that was there before has come after it.
  const isNew = (partition: number): boolean => again || partition >= partitionsAtFirst;
  const first = rest.filter((partition) => !isNew(partition));
  if (offset === 'group' && first.length > 0)
    throw kafkaError(
      'kafka_group_offsets_missing',
      `The consumer group has no offset for partition ${first[0]} of ${topic.name}`,
      {
        hint: 'Set offset to earliest or latest, or correct group_id.',
        facts: { partitions: first.slice(0, 100) },
      },
    );
  for (const [partitions, which] of [
    [rest.filter(isNew), 'earliest'],
    [first, offset === 'latest' ? 'latest' : 'earliest'],
  ] as const) {
    const found = await cluster.offsets(topic, partitions, which, read_mode === 'read_committed');
    for (const [partition, next] of found) from.set(partition, next);
  }
  return { from, partitionsAtFirst };
}

function storedIn(position: unknown, cluster: string): StoredPosition | undefined {
  const stored = position as StoredPosition | undefined;
  return stored?.cluster === cluster ? stored : undefined;
}
