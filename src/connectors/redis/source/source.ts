import type { Delivery, Identity, RunContext, Source } from '../../connector.ts';
import { pause } from '../../network/deadline.ts';
import { QueueSource } from '../../network/queue-source.ts';
import { redisError } from '../config/errors.ts';
import type { RedisProfile } from '../config/profile.ts';
import { entryShape, type RedisTable, type SourceTable, sourceOf } from '../config/table.ts';
import { type Command, type Connection, openConnection, orAborted } from '../connection/client.ts';
import { Nodes } from '../connection/cluster.ts';
import {
  type Entry,
  type MakePayload,
  metadataOf,
  payloadMaker,
  readEntries,
  readStream,
} from '../connection/entries.ts';
import { serverVersion } from '../connection/server.ts';
import { entriesLost, Group } from './group.ts';

type RedisContext = RunContext<RedisProfile, RedisTable>;

/** Time that the server holds a read open. Entries that others left are looked for in between. */
const blockMs = 1_000;
/** How often the state of the group is looked at. */
const lookMs = 2_000;
/** How often entries are counted that were removed unread, if entries are large: the server sends two of them. */
const countLargeMs = 60_000;
const largeBytes = 64 * 1024;
/** Entries that one read asks for at most, and bytes that they may have, by the largest so far. */
const maxRead = 1_000;
const firstRead = 10;
const maxReadBytes = 16 * 1024 * 1024;

export async function openSource(context: RedisContext): Promise<Source> {
  const { signal, table } = context;
  const source = sourceOf(table) as SourceTable;
  const nodes = await Nodes.open(context, signal);
  let reader: Connection | undefined;
  const abort = () => nodes.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    const control = await orAborted(signal, () => nodes.of(source.stream));
    reader = await openConnection(context, control.endpoint, signal);
    const { position, identity, warn } = context;
    // One task speaks for all that share the group.
    const group = new Group(control, { table: source, position, warn, counts: identity.taskIndex === 0 });
    await orAborted(signal, async () => {
      await checkVersion(control);
      await group.ensure();
    });
    signal.throwIfAborted();
    return new StreamSource(context, nodes, { control, reader, group });
  } catch (error) {
    nodes.destroy();
    reader?.destroy();
    await Promise.all([nodes.close(), reader?.close()]);
    signal.throwIfAborted();
    throw nodes.translated(error);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function checkVersion(connection: Connection): Promise<void> {
  const { text, major, minor } = await serverVersion(connection);
  if (major === 0 || major > 6 || (major === 6 && minor >= 2)) return;
  throw redisError('redis_too_old', `Streams need Redis 6.2, and the server is ${text}`, {
    hint: 'Upgrade the server.',
  });
}

/** The name of a task in its group: the same after a restart, so that it finds what it had not acknowledged. */
const consumerName = ({ jobId, operatorId, taskIndex }: Identity): string =>
  `penstock:${jobId}:${operatorId}:${taskIndex}`;

interface Parts {
  /** For everything but reading, because a read blocks its connection. */
  control: Connection;
  reader: Connection;
  group: Group;
}

/** Reads a stream as one consumer of a group. An entry is acknowledged when it and all before it are safe downstream. */
class StreamSource implements Source {
  readonly #context: RedisContext;
  readonly #table: SourceTable;
  readonly #consumer: string;
  readonly #nodes: Nodes;
  readonly #parts: Parts;
  readonly #payload: MakePayload;
  readonly #queue: QueueSource;
  readonly #failed = Promise.withResolvers<never>();
  readonly #over = new AbortController();
  /** IDs that were handed out and are not acknowledged, by the order in which they were. */
  readonly #held = new Map<string, number>();
  #number = 0;
  #acknowledged: string[] = [];
  #acknowledging: Promise<void> = Promise.resolve();
  #largest = 0;
  #claimFrom = '0-0';
  #claimAt = 0;
  #withoutPayload = false;

  constructor(context: RedisContext, nodes: Nodes, parts: Parts) {
    this.#context = context;
    this.#table = sourceOf(context.table) as SourceTable;
    this.#consumer = consumerName(context.identity);
    this.#nodes = nodes;
    this.#parts = parts;
    this.#payload = payloadMaker(entryShape(context.table), context.schema);
    this.#failed.promise.catch(() => {});
    nodes.whenLost((error) => this.#fail(error));
    parts.reader.whenLost((error) => this.#fail(error));
    context.signal.addEventListener('abort', this.#aborted, { once: true });
    this.#queue = new QueueSource({
      window: context.window,
      signal: context.signal,
      position: { stored: undefined, commit: (number) => this.#acknowledge(number as number) },
      read: (queue, stop) => Promise.race([this.#read(queue, stop), this.#failed.promise]),
    });
    void this.#tend();
  }

  [Symbol.asyncIterator](): AsyncIterator<Delivery[]> {
    return this.#queue[Symbol.asyncIterator]();
  }

  drain(): Promise<void> {
    return this.#queue.drain();
  }

  async close(): Promise<void> {
    await this.#queue.close();
    this.#over.abort(new Error('the source was closed'));
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#send();
    await this.#acknowledging;
    await Promise.all([this.#parts.reader.close(), this.#nodes.close()]);
  }

  readonly #aborted = (): void => {
    this.#over.abort(this.#context.signal.reason);
    this.#nodes.destroy();
    this.#parts.reader.destroy();
  };

  #fail(error: unknown): void {
    if (this.#over.signal.aborted) return;
    const raised = this.#nodes.translated(error);
    this.#over.abort(raised);
    this.#failed.reject(raised);
    this.#nodes.destroy();
    this.#parts.reader.destroy();
  }

  /** First what this consumer had and did not acknowledge, then what is new, and in between what others left. */
  async #read(queue: QueueSource, stop: AbortSignal): Promise<void> {
    const unblock = await this.#unblocker();
    stop.addEventListener('abort', unblock, { once: true });
    try {
      for (let from = '0'; !stop.aborted; ) {
        await queue.untilRoom();
        const entries = await this.#readGroup(from, queue.room);
        const last = entries.at(-1);
        if (!last) break;
        from = last.id;
        await this.#handOut(queue, entries, true);
      }
      while (!stop.aborted) {
        await queue.untilRoom();
        await this.#handOut(queue, await this.#claim(queue.room), true);
        await queue.untilRoom();
        await this.#handOut(queue, await this.#readGroup('>', queue.room), false);
      }
    } catch (error) {
      if (stop.aborted) return;
      throw this.#nodes.translated(error);
    } finally {
      stop.removeEventListener('abort', unblock);
    }
  }

  /** Returns a function that ends a read that blocks. Without the permission it ends by itself soon. */
  async #unblocker(): Promise<() => void> {
    const { reader, control } = this.#parts;
    const id = await reader.send(['CLIENT', 'ID']).catch(() => undefined);
    return () => {
      if (id !== undefined) control.send(['CLIENT', 'UNBLOCK', String(id)]).catch(() => {});
    };
  }

  async #readGroup(from: string, room: number): Promise<Entry[]> {
    const { stream, consumerGroup } = this.#table;
    const block = from === '>' ? blockMs : 0;
    const command: Command = [
      ...(['XREADGROUP', 'GROUP', consumerGroup, this.#consumer] as const),
      ...['COUNT', this.#count(room)],
      ...(block > 0 ? ['BLOCK', block] : []),
      ...['STREAMS', stream, from],
    ];
    return readStream(await this.#parts.reader.send(command, { binary: true, blockMs: block }));
  }

  /** Number of entries to ask for. Until their size is known it is small. */
  #count(room: number): number {
    const fitting = this.#largest === 0 ? firstRead : Math.floor(maxReadBytes / this.#largest);
    return Math.max(1, Math.min(room, maxRead, fitting));
  }

  /** Takes over entries that a consumer of the group got and did not acknowledge for a while, this one included. */
  async #claim(room: number): Promise<Entry[]> {
    const { stream, consumerGroup, claimIdleSecs = 60 } = this.#table;
    if (claimIdleSecs === 0 || performance.now() < this.#claimAt) return [];
    const reply = (await this.#parts.control.send(
      [
        ...(['XAUTOCLAIM', stream, consumerGroup, this.#consumer, claimIdleSecs * 1000] as const),
        ...[this.#claimFrom, 'COUNT', this.#count(room)],
      ],
      { binary: true },
    )) as [Buffer, unknown, Buffer[]?];
    const [next, claimed, removed = []] = reply;
    this.#claimFrom = String(next);
    if (this.#claimFrom === '0-0') this.#claimAt = performance.now() + Math.min(claimIdleSecs * 500, 30_000);
    if (removed.length > 0) this.#context.warn(entriesLost(stream, removed.length));
    return readEntries(claimed).filter(({ id }) => !this.#held.has(id));
  }

  async #handOut(queue: QueueSource, entries: readonly Entry[], redelivered: boolean): Promise<void> {
    const { stream } = this.#table;
    const gone = entries.filter(({ fields }) => fields === null);
    if (gone.length > 0) {
      this.#context.warn(entriesLost(stream, gone.length));
      this.#acknowledged.push(...gone.map(({ id }) => id));
      this.#send();
    }
    for (const entry of entries) {
      if (entry.fields === null || this.#held.has(entry.id)) continue;
      const bytes = entry.fields.reduce((sum, one) => sum + one.length, 0);
      this.#largest = Math.max(this.#largest, bytes, 1);
      const payload = this.#payload(entry.fields);
      if (payload === undefined) this.#warnOfPayload(entry);
      this.#number += 1;
      const position = this.#number;
      // Before it is handed out: it may be acknowledged at once.
      this.#held.set(entry.id, position);
      await queue.add({
        payload: payload ?? Buffer.alloc(0),
        metadata: metadataOf(entry, stream, redelivered),
        bytes,
        position,
      });
    }
  }

  #warnOfPayload({ id }: Entry): void {
    if (this.#withoutPayload) return;
    this.#withoutPayload = true;
    const { payloadField } = entryShape(this.#context.table);
    this.#context.warn(
      redisError('redis_no_payload', `The entry ${id} has no field ${payloadField}: its payload is empty`, {
        hint: 'Correct payloadField of the table, or read all fields with entry = fields.',
      }),
    );
  }

  /** Everything up to this number is safe downstream. What comes in one turn is sent as one command. */
  #acknowledge(number: number): void {
    if (this.#acknowledged.length === 0) setImmediate(() => this.#send());
    for (const [id, at] of this.#held) {
      if (at > number) break;
      this.#acknowledged.push(id);
      this.#held.delete(id);
    }
  }

  #send(): void {
    const ids = this.#acknowledged.splice(0);
    if (ids.length === 0) return;
    const { stream, consumerGroup } = this.#table;
    const sent = this.#parts.control.send(['XACK', stream, consumerGroup, ...ids]);
    this.#acknowledging = Promise.all([this.#acknowledging, sent]).then(
      () => {},
      (error: unknown) => this.#fail(error),
    );
  }

  /** Keeps others from claiming what this consumer holds, and looks at the group. */
  async #tend(): Promise<void> {
    const { signal } = this.#over;
    const { claimIdleSecs = 60 } = this.#table;
    const keepMs = (claimIdleSecs === 0 ? 60_000 : claimIdleSecs * 1000) / 3;
    let keepAt = performance.now() + keepMs;
    let countAt = 0;
    try {
      for (;;) {
        const counting = this.#largest <= largeBytes || performance.now() >= countAt;
        if (counting) countAt = performance.now() + countLargeMs;
        await this.#parts.group.look(counting);
        if (performance.now() >= keepAt) {
          keepAt = performance.now() + keepMs;
          await this.#keep();
        }
        await pause(Math.min(lookMs, keepMs), signal);
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Makes the held entries young again. */
  async #keep(): Promise<void> {
    const ids = [...this.#held.keys()];
    const { stream, consumerGroup } = this.#table;
    for (let at = 0; at < ids.length; at += maxRead)
      await this.#parts.control.send([
        ...(['XCLAIM', stream, consumerGroup, this.#consumer, 0] as const),
        ...ids.slice(at, at + maxRead),
        'JUSTID',
      ]);
  }
}
