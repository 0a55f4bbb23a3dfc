import type { Connection } from './client.ts';
import { ReplyFailure } from './reply-errors.ts';

/** The state of a stream and of a group, from XINFO. */

export interface StreamInfo {
  length: number;
  lastId: string;
  /** Undefined if the stream is empty. */
  firstId: string | undefined;
  /** Number of entries ever added; undefined before Redis 7. */
  added: number | undefined;
}

export interface GroupInfo {
  /** The newest entry that any consumer got. */
  lastDelivered: string;
  /** Number of entries that consumers got; undefined if Redis does not know. */
  read: number | undefined;
  pending: number;
}

const recordOf = (list: unknown): Record<string, unknown> => {
  const items = list as unknown[];
  return Object.fromEntries(
    Array.from({ length: Math.floor(items.length / 2) }, (_, index) => [
      items[2 * index],
      items[2 * index + 1],
    ]),
  );
};

const numberOf = (value: unknown): number | undefined =>
  value === undefined || value === null ? undefined : Number(value);

/** Undefined if there is no such key. Rejects with `ReplyFailure` for a key of another type. The reply has two entries in it. */
export async function streamInfo(connection: Connection, stream: string): Promise<StreamInfo | undefined> {
  const reply = await unlessMissing(connection.send(['XINFO', 'STREAM', stream], { large: true }));
  if (reply === undefined) return undefined;
  const found = recordOf(reply);
  const first = found['first-entry'] as [string, unknown] | null;
  return {
    length: Number(found.length),
    lastId: String(found['last-generated-id']),
    firstId: first?.[0],
    added: numberOf(found['entries-added']),
  };
}

/** Undefined if there is no such group, or no such stream. */
export async function groupInfo(
  connection: Connection,
  stream: string,
  group: string,
): Promise<GroupInfo | undefined> {
  const reply = (await unlessMissing(connection.send(['XINFO', 'GROUPS', stream]))) as unknown[] | undefined;
  const found = reply?.map(recordOf).find(({ name }) => name === group);
  return (
    found && {
      lastDelivered: String(found['last-delivered-id']),
      read: numberOf(found['entries-read']),
      pending: Number(found.pending),
    }
  );
}

const unlessMissing = (reply: Promise<unknown>): Promise<unknown> =>
  reply.catch((error: unknown) => {
    if (error instanceof ReplyFailure && /no such key/i.test(error.message)) return undefined;
    throw error;
  });
