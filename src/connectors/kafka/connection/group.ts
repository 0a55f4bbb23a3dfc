import {
  listGroupsV4,
  offsetCommitV8,
  offsetCommitV9,
  offsetFetchV7,
  offsetFetchV8,
  offsetFetchV9,
} from '@platformatic/kafka';
import type { PenstockError } from '../../../errors.ts';
import { kafkaError } from '../config/errors.ts';
import type { Broker } from './broker.ts';
import { type Cluster, groupHint, isAnother, type Topic } from './cluster.ts';
import { refusal } from './replies.ts';

/** Offsets that a group has committed for a topic. */
export interface Committed {
  /** The offsets of the partitions that have one. */
  offsets: Map<number, bigint>;
  /** Partitions whose offset is certainly one of the present topic: the mark has its id. */
  marked: Set<number>;
  /** Whether there are offsets of a former topic of this name. They are left out. */
  isOfFormer: boolean;
  /** Number of partitions when the first task of the source began; undefined without any offset. */
  partitionsAtFirst: number | undefined;
  /** The transactional id that has each partition, of those that were committed in a transaction of Penstock. */
  owners: Map<number, string>;
}

/** Metadata of an offset. `owner` is the transactional id that commits the offsets of the partition. */
export const markOf = ({ id }: Topic, partitions: number, owner?: string): string =>
  `penstock: ${partitions} partitions at first${id === '' ? '' : ` of ${id}`}${owner === undefined ? '' : `, written by ${owner}`}`;

/** A name of a group may have any characters, and so may the owner. */
const mark = /^penstock: (\d+) partitions at first(?: of ([0-9a-f-]{36}))?(?:, written by (.+))?$/s;

/** Reads the metadata of an offset. */
export function readMark(metadata: string | null | undefined) {
  const [, partitions, topic, owner] = mark.exec(metadata ?? '') ?? [];
  // Offsets that others have committed have no mark. To such a group each partition without an offset is new.
  return { partitions: Number(partitions ?? 0), topic, owner };
}

/** The offsets that a consumer group has committed. Penstock is no member of the group: it assigns partitions itself. */
export class GroupOffsets {
  readonly name: string;
  readonly #coordinator: Broker;

  private constructor(name: string, coordinator: Broker) {
    this.name = name;
    this.#coordinator = coordinator;
  }

  static async of(cluster: Cluster, group: string): Promise<GroupOffsets> {
    return new GroupOffsets(group, await cluster.coordinator(group));
  }

  /** Waits until transactions that have offsets of these partitions are over, unless `open` leaves out their offsets. */
  async read(
    cluster: Cluster,
    topic: Topic,
    open: 'wait' | 'ignore' = 'wait',
    partitions: Iterable<number> = topic.leaders.keys(),
  ): Promise<Committed> {
    const api = this.#coordinator.choose(
      [offsetFetchV9.api, offsetFetchV8.api, offsetFetchV7.api],
      'OffsetFetch',
    );
    const topics = [{ name: topic.name, partitionIndexes: [...partitions] }];
    const what = `The offsets of the group ${this.name} cannot be read`;
    const found = await cluster.settled(
      async () => {
        const response = await this.#coordinator.call(
          api,
          [{ groupId: this.name, memberId: null, memberEpoch: -1, topics }],
          open === 'wait',
        );
        const group = response.groups[0];
        const value = group?.topics[0]?.partitions ?? [];
        const failed = value.find(({ errorCode }) => errorCode !== 0)?.errorCode;
        return { code: group?.errorCode || failed || (group ? 0 : -1), value };
      },
      what,
      groupHint(this.name),
    );
    const offsets = new Map<number, bigint>();
    const owners = new Map<number, string>();
    const marked = new Set<number>();
    let isOfFormer = false;
    const atFirst: number[] = [];
    for (const { partitionIndex, committedOffset, metadata } of found) {
      if (committedOffset < 0n) continue;
      const found = readMark(metadata);
      if (found.owner !== undefined) owners.set(partitionIndex, found.owner);
      if (isAnother(found.topic, topic)) {
        isOfFormer = true;
        continue;
      }
      if (found.topic === topic.id) marked.add(partitionIndex);
      offsets.set(partitionIndex, committedOffset);
      atFirst.push(found.partitions);
    }
    const partitionsAtFirst = atFirst.length === 0 ? undefined : Math.min(...atFirst);
    return { offsets, marked, isOfFormer, owners, partitionsAtFirst };
  }

  /** Throws `kafka_group_in_use` if it has members: brokers take offsets in a transaction all the same. */
  async refuseMembers(cluster: Cluster): Promise<void> {
    const api = this.#coordinator.choose([listGroupsV4.api], 'ListGroups');
    const groups = await cluster.settled(
      async () => {
        const response = await this.#coordinator.call(api, [], []);
        return { code: response.errorCode, value: response.groups };
      },
      `The members of the group ${this.name} cannot be listed`,
      groupHint(this.name),
    );
    const { groupState: state } = groups.find(({ groupId }) => groupId === this.name) ?? {};
    if (state !== undefined && state !== 'Empty' && state !== 'Dead') throw this.#inUse({ state });
  }

  async commit(topic: Topic, offsets: ReadonlyMap<number, bigint>, partitionsAtFirst: number): Promise<void> {
    const api = this.#coordinator.choose([offsetCommitV9.api, offsetCommitV8.api], 'OffsetCommit');
    const partitions = [...offsets].map(([partitionIndex, committedOffset]) => ({
      partitionIndex,
      committedOffset,
      committedLeaderEpoch: -1,
      committedMetadata: markOf(topic, partitionsAtFirst),
    }));
    const response = await this.#coordinator.call(api, this.name, -1, '', null, [
      { name: topic.name, partitions },
    ]);
    for (const { errorCode } of response.topics[0]?.partitions ?? []) {
      if (errorCode === 0) continue;
      const error = refusal(errorCode, `The group ${this.name} takes no offsets`, groupHint(this.name));
      throw error.code === 'kafka_group_in_use' ? this.#inUse(error.facts) : error;
    }
  }

  #inUse(facts: Record<string, unknown>): PenstockError {
    return kafkaError(
      'kafka_group_in_use',
      `The group ${this.name} has members, so it takes no offsets of Penstock`,
      {
        hint: `Set another group_id, or stop the other program: kafka-consumer-groups.sh --describe --members --group ${this.name}`,
        facts,
      },
    );
  }
}
