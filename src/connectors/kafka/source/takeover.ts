import { pause, untilReported } from '../../network/deadline.ts';
import type { Share } from '../config/table.ts';
import type { Cluster, Topic } from '../connection/cluster.ts';
import { type Committed, type GroupOffsets, markOf } from '../connection/group.ts';
import { isFenced, TransactionalProducer } from '../connection/transactional-producer.ts';
import type { KafkaTransactions } from '../connection/transactions.ts';
import type { Start } from './start.ts';

interface Takeover {
  cluster: Cluster;
  transactions: KafkaTransactions;
  group: GroupOffsets;
  topic: Topic;
  share: Share;
  /** The partitions to take over. */
  partitions: readonly number[];
  signal: AbortSignal;
}

/** How long tasks that begin at the same time may get in each other's way. */
const maxClaimMs = 30_000;

type Begin = (committed: Committed) => Promise<Start>;

/**
 * Takes partitions over from the tasks that had them, and fences their producers, so that nobody else writes what is read from
 * there. `begin` decides where to begin, given the offsets in which everything is that was written. See decision 32.
 */
export function takeOver(takeover: Takeover, begin: Begin): Promise<Start> {
  // The connections of the sink outlive the signal: a broker that is silent must not hold up a stop.
  return untilReported<Start>(
    takeover.signal,
    (resolve, reject) => void takenOver(takeover, begin).then(resolve, reject),
  );
}

async function takenOver(takeover: Takeover, begin: Begin): Promise<Start> {
  const { cluster, transactions, group, signal } = takeover;
  await group.refuseMembers(cluster);
  const until = performance.now() + maxClaimMs;
  for (let attempt = 0; ; attempt++) {
    try {
      return await claim(takeover, begin);
    } catch (error) {
      // Another task has begun to claim partitions meanwhile, unless it is the own producer that is fenced while it is in use.
      if (!isFenced(error) || transactions.hasFailed || performance.now() > until) throw error;
      await pause(Math.random() * Math.min(5_000, 250 * 2 ** attempt), signal);
    }
  }
}

/**
 * One task claims at a time: the producer of the next fences that of this one, whose claim is void then. So nobody claims partitions
 * between the reading of their offsets and the commit of the claim.
 */
async function claim(takeover: Takeover, begin: Begin): Promise<Start> {
  const { cluster, transactions, group, topic, share, partitions, signal } = takeover;
  const prefix = `${group.name}/${topic.name}/`;
  const id = `${prefix}${share.index}-of-${share.of}`;
  const claims = await TransactionalProducer.open(transactions.cluster, `${prefix}claim`);
  // Only from now on nobody can have the own id and claim partitions too.
  const producer = await ownProducer(transactions, id);
  const fenced = new Set([id]);
  // A former owner may have left a transaction open, so that its latest offsets are not known yet.
  const all = await group.read(cluster, topic, 'ignore');
  let committed = all;
  const former = (): string | undefined =>
    partitions
      .map((partition) => committed.owners.get(partition) ?? id)
      .find((owner) => owner.startsWith(prefix) && !fenced.has(owner));
  do {
    for (let owner = former(); owner !== undefined; owner = former()) {
      await TransactionalProducer.open(transactions.cluster, owner);
      fenced.add(owner);
    }
    // Other tasks commit meanwhile, so only the offsets of own partitions come to rest.
    committed = await group.read(cluster, topic, 'wait', partitions);
  } while (former() !== undefined);
  const { partitionsAtFirst = committed.partitionsAtFirst, isOfFormer } = all;
  const start = await begin({ ...committed, partitionsAtFirst, isOfFormer });
  const metadata = markOf(topic, start.partitionsAtFirst, id);
  const progress = { group: group.name, topic: topic.name, offsets: start.from, metadata };
  if (start.from.size > 0) await claims.addOffsets(progress);
  await claims.end('commit');
  signal.throwIfAborted();
  transactions.follow(producer, progress);
  return start;
}

/** Fences the same task of another run. A task that has begun proves that it was not fenced itself. */
async function ownProducer(transactions: KafkaTransactions, id: string): Promise<TransactionalProducer> {
  if (!transactions.hasBegun) return TransactionalProducer.open(transactions.cluster, id);
  await transactions.prove();
  return transactions.producer;
}
