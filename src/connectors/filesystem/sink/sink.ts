import { promisify } from 'node:util';
import { gzip, zstdCompress } from 'node:zlib';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Outgoing, Refusal, Sink } from '../../connector.ts';
import { fileError } from '../../files/errors.ts';
import { validLocation } from '../config/location.ts';
import { isSink, type SinkTable, validateSchema } from '../config/table.ts';
import type { SinkContext, Storage } from '../connection/storage.ts';
import { endOf, FileNames, tagOf } from './file-names.ts';
import { type FileContent, lineFile } from './line-file.ts';
import { type FolderOf, folderOf } from './partition.ts';

interface FileKind {
  /** Ending of its name. */
  ending: string;
  content(): FileContent;
}

interface OpenFile {
  folder: string;
  content: FileContent;
  rows: number;
  bytes: number;
  openedAt: number;
  usedAt: number;
  written: PromiseWithResolvers<void>;
}

const defaults = { file_size_bytes: 64 * 1024 * 1024, interval_seconds: 60, inactivity_seconds: 5 };
/** Number of files that are stored at the same time. */
const maxStoring = 4;

export async function openSink(context: SinkContext): Promise<Sink> {
  const { table_type: table } = context.table;
  if (!isSink(table)) throw fileError('invalid_query', 'The table is a source');
  const errors = validateSchema(context.table, context.schema);
  if (errors[0]) throw new PenstockError('invalid_schema', `The schema ${errors[0].message}`, { errors });
  context.signal.throwIfAborted();
  const kind = await kindOf(context, table);
  const storage = await openStorage(context, table);
  if (context.signal.aborted) await storage.close();
  context.signal.throwIfAborted();
  return new FilesSink(context, table, kind, storage);
}

/** Opens the place of a sink and removes what a crash of the same task has left there. */
async function openStorage({ identity, ...context }: SinkContext, table: SinkTable): Promise<Storage> {
  const location = validLocation(table.path);
  const tag = tagOf(identity);
  if ('local' in location) {
    const { LocalStorage } = await import('../connection/local-storage.ts');
    return LocalStorage.open(location.local, context.targets, tag, identity.taskIndex);
  }
  const { S3Storage } = await import('../connection/s3-storage.ts');
  const own = {
    mark: `.penstock-${tag}-${identity.taskIndex}-`,
    end: endOf(table.file_naming?.strategy, identity),
  };
  return S3Storage.open(context, location, table.multipart ?? {}, own);
}

async function kindOf(
  { schema }: SinkContext,
  { compression_format: packed = 'none' }: SinkTable,
): Promise<FileKind> {
  const type = schema.format?.type;
  if (type === 'parquet') {
    const { parquetFile } = await import('./parquet.ts');
    return { ending: 'parquet', content: parquetFile(schema) };
  }
  const ending = type === 'raw_string' ? 'txt' : String(type);
  const plain = lineFile(schema);
  const compress = packers[packed];
  if (!compress) return { ending, content: plain };
  return {
    ending: `${ending}.${packed === 'gzip' ? 'gz' : 'zst'}`,
    content() {
      const { add, finish } = plain();
      return { add, finish: async () => [await compress(Buffer.concat(await finish()))] };
    },
  };
}

const packers: Readonly<Record<string, ((data: Buffer) => Promise<Buffer>) | undefined>> = {
  gzip: promisify(gzip) as (data: Buffer) => Promise<Buffer>,
  zstd: promisify(zstdCompress) as (data: Buffer) => Promise<Buffer>,
};

/**
 * Collects rows in one file for each folder. A file is stored when it is large or old enough, when no more may be held, and
 * when the task asks for it. A message is confirmed once every file with its rows is durable.
 */
class FilesSink implements Sink {
  readonly #context: SinkContext;
  readonly #kind: FileKind;
  readonly #storage: Storage;
  readonly #names: FileNames;
  readonly #folderOf: FolderOf;
  readonly #policy: typeof defaults;
  readonly #open = new Map<string, OpenFile>();
  readonly #gone = Promise.withResolvers<never>();
  readonly #storing = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;
  #held = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(context: SinkContext, table: SinkTable, kind: FileKind, storage: Storage) {
    this.#context = context;
    this.#kind = kind;
    this.#storage = storage;
    this.#names = new FileNames(table, kind.ending, context.identity);
    this.#folderOf = folderOf(table, context.schema.fields ?? []);
    this.#policy = { ...defaults, ...table.rolling_policy };
    this.#gone.promise.catch(() => {});
    context.signal.addEventListener('abort', this.#aborted, { once: true });
  }

  async write(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure) throw this.#failure.error;
    const refusals: Refusal[] = [];
    const files = new Set<OpenFile>();
    for (const [index, message] of messages.entries()) {
      try {
        files.add(this.#add(message));
      } catch (error) {
        const refusal = asPenstockError(error);
        if (refusal.code !== 'bad_row') throw refusal;
        refusals.push({ index, error: refusal });
      }
    }
    if (this.#held >= this.#context.window) this.flush();
    this.#schedule();
    await Promise.race([this.#gone.promise, Promise.all([...files].map(({ written }) => written.promise))]);
    return refusals;
  }

  flush(): void {
    for (const file of this.#open.values()) this.#store(file);
  }

  async close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(fileError('connection_lost', 'The sink is closed'));
    await this.#storage.close();
    await Promise.all(this.#storing);
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    this.#failure ??= { error };
    clearTimeout(this.#timer);
    this.#open.clear();
    this.#gone.reject(this.#failure.error);
  }

  #add(message: Outgoing): OpenFile {
    const folder = this.#folderOf(message.row);
    const now = performance.now();
    let file = this.#open.get(folder);
    const isNew = file === undefined;
    file ??= {
      folder,
      content: this.#kind.content(),
      rows: 0,
      bytes: 0,
      openedAt: now,
      usedAt: now,
      written: Promise.withResolvers<void>(),
    };
    file.bytes += file.content.add(message);
    file.rows += 1;
    file.usedAt = now;
    this.#held += 1;
    if (isNew) {
      file.written.promise.catch(() => {});
      this.#open.set(folder, file);
    }
    if (file.bytes >= this.#policy.file_size_bytes) this.#store(file);
    return file;
  }

  #dueAt({ openedAt, usedAt }: OpenFile): number {
    const { interval_seconds, inactivity_seconds } = this.#policy;
    return Math.min(openedAt + interval_seconds * 1000, usedAt + inactivity_seconds * 1000);
  }

  #schedule(): void {
    if (this.#failure || this.#timer || this.#open.size === 0) return;
    const due = Math.min(...[...this.#open.values()].map((file) => this.#dueAt(file)));
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const now = performance.now();
        for (const file of this.#open.values()) if (this.#dueAt(file) <= now) this.#store(file);
        this.#schedule();
      },
      Math.max(1, due - performance.now()),
    );
  }

  #store(file: OpenFile): void {
    this.#open.delete(file.folder);
    const storing = this.#turn()
      .then(() => this.#put(file))
      .then(
        () => {
          this.#held -= file.rows;
          file.written.resolve();
        },
        (error: unknown) => this.#lost(error),
      )
      .finally(() => this.#storing.delete(storing));
    this.#storing.add(storing);
  }

  /** Waits until fewer files are being stored. */
  async #turn(): Promise<void> {
    const before = [...this.#storing];
    if (before.length >= maxStoring) await before[before.length - maxStoring];
  }

  async #put({ folder, content }: OpenFile): Promise<void> {
    const data = await content.finish();
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      const name = await this.#names.next(folder, (of) => this.#storage.names(of));
      if (await this.#storage.put(folder, name, data, this.#names.isSerial)) return;
    }
  }

  #lost(error: unknown): void {
    if (this.#failure) return;
    const raised = asPenstockError(error);
    this.#fail(raised);
    this.#context.lost?.(raised);
  }
}
