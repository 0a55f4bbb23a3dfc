import { asPenstockError, type PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, RunContext, Sink } from '../../connector.ts';
import { pause } from '../../network/deadline.ts';
import { PendingWrite } from '../../network/pending-write.ts';
import { redisError } from '../config/errors.ts';
import type { RedisProfile } from '../config/profile.ts';
import { type RedisTable, type SinkTable, sinkOf, targetOf } from '../config/table.ts';
import { type Command, type Connection, orAborted, type Reply } from '../connection/client.ts';
import { Nodes, redirectOf } from '../connection/cluster.ts';
import {
  lost,
  passesHere,
  type ReplyFailure,
  refusesKey,
  replyError,
  translated,
} from '../connection/reply-errors.ts';
import { maxCommandBytes, serverVersion } from '../connection/server.ts';
import { Commands, type Write } from './commands.ts';

type RedisContext = RunContext<RedisProfile, RedisTable>;

/** A batch is full at this number of messages or bytes; what is written while one is on its way makes the next. */
const maxBatchMessages = 1_000;
const maxBatchBytes = 8 * 1024 * 1024;
/** Tries of a batch of which the server takes nothing. Then the job connects again, with back-off. */
const maxTries = 5;
const firstPauseMs = 250;
const maxPauseMs = 5_000;
/** Times that one command may be sent to another node. */
const maxRedirects = 16;
/** Time that the server gets to have replicas or its disk confirm a batch. */
const confirmMs = 5_000;

export async function openSink(context: RedisContext): Promise<Sink> {
  const { signal, table } = context;
  const nodes = await Nodes.open(context, signal);
  const abort = () => nodes.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const sink = sinkOf(table) as SinkTable;
    const target = targetOf(sink);
    const first = await orAborted(signal, () => nodes.of(target.prefix));
    const maxBytes = await orAborted(signal, () => maxCommandBytes(first));
    if (sink.waitAof) await orAborted(signal, () => checkAof(first));
    signal.throwIfAborted();
    return new RedisSink(nodes, new Commands(target, maxBytes), sink, context);
  } catch (error) {
    nodes.destroy();
    await nodes.close();
    signal.throwIfAborted();
    throw translated(error);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function checkAof(connection: Connection): Promise<void> {
  const { text, major, minor } = await serverVersion(connection);
  if (major > 7 || (major === 7 && minor >= 2)) return;
  throw redisError('redis_too_old', `waitAof needs Redis 7.2, and the server is ${text}`, {
    hint: 'Upgrade the server, or remove waitAof and set appendfsync to always at the server.',
  });
}

interface Entry extends Write {
  write: PendingWrite;
  index: number;
  /** Place in the order of all messages. */
  place: number;
}

/** A command on its way: that of a message, or one that trims a key. */
interface Sent {
  entry: Entry | undefined;
  command: Command;
  key: string;
}

/**
 * Writes messages in order, one batch after the other: the next is sent when the server has replied to every command. A reply
 * confirms or refuses one message.
 */
class RedisSink implements Sink {
  readonly #nodes: Nodes;
  readonly #commands: Commands;
  readonly #options: SinkTable;
  readonly #context: RedisContext;
  readonly #closing = new AbortController();
  readonly #pending = new Set<PendingWrite>();
  #queue: Entry[] = [];
  #taken = 0;
  #failure: { error: unknown } | undefined;
  #writing = false;

  constructor(nodes: Nodes, commands: Commands, options: SinkTable, context: RedisContext) {
    this.#nodes = nodes;
    this.#commands = commands;
    this.#options = options;
    this.#context = context;
    context.signal.addEventListener('abort', this.#aborted, { once: true });
    nodes.whenLost((error) => this.#lose(error));
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure) throw this.#failure.error;
    if (messages.length === 0) return [];
    const write = new PendingWrite(messages);
    this.#pending.add(write);
    try {
      for (const [index, message] of messages.entries()) this.#take(write, index, message);
      if (!this.#writing) void this.#writeQueue();
      return await write.done;
    } finally {
      this.#pending.delete(write);
    }
  }

  async close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(lost('The sink was closed'));
    if (this.#writing) this.#nodes.destroy();
    await this.#nodes.close();
  }

  #take(write: PendingWrite, index: number, message: Outgoing): void {
    try {
      this.#queue.push({ ...this.#commands.of(message), write, index, place: this.#taken });
      this.#taken += 1;
    } catch (error) {
      const raised = asPenstockError(error);
      if (raised.code !== 'bad_row' && raised.code !== 'redis_too_large') throw raised;
      write.refuse(index, raised);
    }
  }

  /** Ends in the same turn in which it finds nothing left, so that what is written next begins anew. Never rejects. */
  async #writeQueue(): Promise<void> {
    this.#writing = true;
    try {
      while (this.#queue.length > 0 && !this.#failure) await this.#writeBatch(this.#nextBatch());
    } catch (error) {
      this.#lose(translated(error));
    }
    this.#writing = false;
  }

  #nextBatch(): Entry[] {
    const most = Math.min(maxBatchMessages, this.#context.window);
    let bytes = 0;
    let count = 0;
    for (const entry of this.#queue) {
      if (count >= most || (count > 0 && bytes + entry.bytes > maxBatchBytes)) break;
      bytes += entry.bytes;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /**
   * Sends a batch until the server has taken or refused every message. If it takes only some, such as when its memory fills up, the
   * others wait here: after a new connection all would be written again. A server that is no master any more ends the sink.
   */
  async #writeBatch(batch: readonly Entry[]): Promise<void> {
    let waiting: Sent[] = this.#withTrims(batch);
    const written: Entry[] = [];
    const used = new Set<Connection>();
    for (let tries = 1; waiting.length > 0; tries++) {
      const refused = await this.#round(waiting, written, used);
      const [first] = refused;
      if (!first) break;
      const error = replyError(first.failure);
      if (written.length === 0 && tries >= maxTries) throw error;
      this.#context.warn(error);
      const latest = latestPlaces(written);
      waiting = refused
        .filter(({ sent: { entry } }) => {
          // A later message is there already: this one must not replace it.
          const isOver = entry?.replaces !== undefined && (latest.get(entry.replaces) ?? -1) > entry.place;
          if (isOver) written.push(entry);
          return !isOver;
        })
        .map(({ sent }) => sent);
      await pause(Math.min(firstPauseMs * 2 ** (tries - 1), maxPauseMs), this.#closing.signal);
    }
    await this.#confirmed(used);
    for (const { write } of written) write.confirm();
  }

  #withTrims(batch: readonly Entry[]): Sent[] {
    const sent: Sent[] = batch.map((entry) => ({ entry, command: entry.command, key: entry.key }));
    for (const key of new Set(batch.map((entry) => entry.key))) {
      const command = this.#commands.trim(key);
      if (command) sent.push({ entry: undefined, command, key });
    }
    return sent;
  }

  /** Sends commands to the nodes of their keys. Returns those to send again later. */
  async #round(
    all: readonly Sent[],
    written: Entry[],
    used: Set<Connection>,
  ): Promise<{ sent: Sent; failure: ReplyFailure }[]> {
    const later: { sent: Sent; failure: ReplyFailure }[] = [];
    let groups = new Map<Connection, { sent: Sent; asking: boolean }[]>();
    for (const sent of all) add(groups, await this.#nodes.of(sent.key), { sent, asking: false });
    for (let hops = 0; groups.size > 0; hops++) {
      const next: typeof groups = new Map();
      const replies = await Promise.all(
        [...groups].map(async ([node, group]) => ({ node, group, replies: await exchange(node, group) })),
      );
      for (const { node, group, replies: own } of replies) {
        used.add(node);
        for (const [index, { sent }] of group.entries()) {
          const reply = own[index] as Reply;
          const redirect = 'failure' in reply && this.#nodes.isCluster && redirectOf(reply.failure, node);
          if (redirect && hops < maxRedirects)
            add(next, await this.#nodes.redirected(redirect), { sent, asking: redirect.once });
          else if (redirect)
            throw redisError('redis_unavailable', 'The nodes of the cluster send a key in circles', {
              hint: 'CLUSTER SLOTS at each node shows where it takes the slots to be.',
            });
          else if (!('failure' in reply)) {
            if (sent.entry) written.push(sent.entry);
          } else if (passesHere(reply.failure)) later.push({ sent, failure: reply.failure });
          else this.#refused(sent, reply.failure);
        }
      }
      groups = next;
    }
    return later;
  }

  /** The refusal of one message; any other ends the sink. A trim of a key with another type follows the refusal of its messages. */
  #refused({ entry }: Sent, failure: ReplyFailure): void {
    if (!refusesKey(failure)) throw replyError(failure);
    entry?.write.refuse(entry.index, replyError(failure));
  }

  /** Waits until as many copies are safe as the table asks for. */
  async #confirmed(used: ReadonlySet<Connection>): Promise<void> {
    const { waitReplicas = 0, waitAof = false } = this.#options;
    if (waitReplicas === 0 && !waitAof) return;
    await Promise.all(
      [...used].map(async (connection) => {
        if (waitAof) {
          const [local] = (await connection.send(['WAITAOF', 1, 0, confirmMs], {
            blockMs: confirmMs,
          })) as number[];
          if ((local ?? 0) < 1) throw notConfirmed('The server has not written its AOF to disk in time');
        }
        if (waitReplicas === 0) return;
        const reached = Number(
          await connection.send(['WAIT', waitReplicas, confirmMs], { blockMs: confirmMs }),
        );
        if (reached < waitReplicas)
          throw notConfirmed(
            `${reached} of ${waitReplicas} replicas have the data after ${confirmMs / 1000} s`,
          );
      }),
    );
  }

  #lose(error: PenstockError): void {
    if (this.#failure) return;
    this.#fail(error);
    this.#context.lost?.(error);
    this.#nodes.destroy();
  }

  readonly #aborted = (): void => {
    this.#fail(this.#context.signal.reason);
    this.#nodes.destroy();
  };

  #fail(error: unknown): void {
    if (this.#failure) return;
    this.#failure = { error };
    this.#closing.abort(error);
    this.#queue = [];
    for (const write of this.#pending) write.fail(error);
  }
}

const notConfirmed = (message: string): PenstockError =>
  redisError('redis_not_confirmed', message, {
    hint: 'Check the replicas and the disk of the server: INFO replication, INFO persistence.',
  });

/** The highest place that is written of each thing that commands replace. */
function latestPlaces(written: readonly Entry[]): Map<string, number> {
  const latest = new Map<string, number>();
  for (const { replaces, place } of written)
    if (replaces !== undefined) latest.set(replaces, Math.max(place, latest.get(replaces) ?? -1));
  return latest;
}

function add<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group) group.push(value);
  else groups.set(key, [value]);
}

/** Sends commands to one node, each after an ASKING if its slot is on the move. Returns their replies without those of ASKING. */
async function exchange(
  node: Connection,
  group: readonly { sent: Sent; asking: boolean }[],
): Promise<Reply[]> {
  const commands = group.flatMap(({ sent, asking }): Command[] =>
    asking ? [['ASKING'], sent.command] : [sent.command],
  );
  const replies = await node.sendAll(commands);
  return replies.filter((_, index) => commands[index]?.[0] !== 'ASKING');
}
