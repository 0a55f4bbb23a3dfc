import type { PenstockError } from '../../../errors.ts';
import type { Position } from '../../connector.ts';
import { redisError } from '../config/errors.ts';
import type { SourceTable } from '../config/table.ts';
import type { Connection } from '../connection/client.ts';
import { compareIds, idBefore } from '../connection/entries.ts';
import { ReplyFailure } from '../connection/reply-errors.ts';
import { type GroupInfo, groupInfo, type StreamInfo, streamInfo } from '../connection/stream-info.ts';

/** Everything up to this ID is acknowledged, by whatever consumer of the group. */
export interface GroupPosition {
  safe: string;
}

interface GroupContext {
  table: SourceTable;
  position: Position | undefined;
  warn(error: PenstockError): void;
  /** Whether it warns of entries that no consumer had. */
  counts: boolean;
}

/** The consumer group of a source: its creation, how far it has come, and what it missed. */
export class Group {
  readonly #connection: Connection;
  readonly #context: GroupContext;
  #safe: string | undefined;
  /** Entries that are known to be added and never read. */
  #missed: number | undefined;

  constructor(connection: Connection, context: GroupContext) {
    this.#connection = connection;
    this.#context = context;
    this.#safe = (context.position?.stored as GroupPosition | undefined)?.safe;
  }

  /** Creates the group if it is missing: where a lost one had come to, or where the table says for a new one. */
  async ensure(): Promise<void> {
    const { stream: key, consumerGroup: name } = this.#context.table;
    const stream = await streamInfo(this.#connection, key);
    const group = stream && (await groupInfo(this.#connection, key, name));
    const isOlder = stream && this.#safe !== undefined && compareIds(stream.lastId, this.#safe) < 0;
    if (isOlder || (!stream && this.#safe !== undefined)) this.#context.warn(streamLost(key));
    if (group) return;
    const begin = this.#begin(stream, isOlder === true);
    if (begin === this.#safe) this.#context.warn(groupLost(name, begin));
    await this.#connection
      .send(['XGROUP', 'CREATE', key, name, begin, 'MKSTREAM'])
      .catch((error: unknown) => {
        // Another task was first.
        if (!(error instanceof ReplyFailure) || error.kind !== 'BUSYGROUP') throw error;
      });
  }

  #begin(stream: StreamInfo | undefined, isOlder: boolean): string {
    if (this.#safe === undefined) return this.#context.table.start === 'earliest' ? '0' : '$';
    return stream && !isOlder ? this.#safe : '0';
  }

  /**
   * Records how far the group has come. Rejects if the group is gone. With `counting` it warns of entries that were removed unread; the
   * server then sends the oldest and the newest entry along.
   */
  async look(counting: boolean): Promise<void> {
    const { counts, table } = this.#context;
    const { stream: key, consumerGroup: name } = table;
    // In this order: what is delivered later does not count as acknowledged.
    const stream = counting && counts ? await streamInfo(this.#connection, key) : undefined;
    const group = await groupInfo(this.#connection, key, name);
    if (!group)
      throw redisError('redis_group_lost', `The consumer group ${name} or its stream ${key} was deleted`);
    const [pending, oldest] = (await this.#connection.send(['XPENDING', key, name])) as [
      number,
      string | null,
    ];
    const safe = pending === 0 || oldest === null ? group.lastDelivered : idBefore(oldest);
    if (safe !== this.#safe) this.#context.position?.commit({ safe } satisfies GroupPosition);
    this.#safe = safe;
    if (stream) this.#warnOfMissed(stream, group);
  }

  /** Counts by what Redis counts: entries that were added, read, and are left. */
  #warnOfMissed(stream: StreamInfo, { lastDelivered, read }: GroupInfo): void {
    const { firstId, lastId, added, length } = stream;
    if (added === undefined || read === undefined) return;
    const behind = compareIds(lastDelivered, lastId);
    // Entries came in between: the two replies do not belong together.
    if (behind > 0) return;
    const caughtUp = behind === 0;
    // Otherwise some entries that are left were read before, and nobody knows how many.
    if (!caughtUp && firstId !== undefined && compareIds(firstId, lastDelivered) <= 0) return;
    const missed = added - read - (caughtUp ? 0 : length);
    const more = missed - (this.#missed ?? (caughtUp ? missed : 0));
    this.#missed = missed;
    if (more > 0) this.#context.warn(entriesLost(this.#context.table.stream, more));
  }
}

const streamLost = (stream: string): PenstockError =>
  redisError('redis_stream_lost', `The stream ${stream} was deleted, or holds less than it did before`, {
    hint: 'Look for what deletes the key: DEL, FLUSHALL, an expiry, or a server that restarts without its data.',
  });

const groupLost = (group: string, begin: string): PenstockError =>
  redisError(
    'redis_group_lost',
    `The consumer group ${group} was deleted: it is created again after ${begin}`,
    {
      hint: 'Stop the pipeline before you delete its group.',
    },
  );

export const entriesLost = (stream: string, count: number): PenstockError =>
  redisError(
    'redis_entries_lost',
    `${count} ${count === 1 ? 'entry' : 'entries'} of the stream ${stream} were removed before the job had read them`,
    { hint: 'Let writers keep more entries (MAXLEN), or read faster.', facts: { entries: count } },
  );
