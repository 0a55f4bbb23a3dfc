import { constants } from 'node:fs';
import { access, type FileHandle, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { badRow } from '../../formats/values/bad.ts';
import type {
  CheckContext,
  Outgoing,
  Refusal,
  RunContext,
  Sink,
  Source,
  WatchContext,
} from '../connector.ts';
import { decodeStep } from '../files/decode-step.ts';
import { fileError, lostError, systemError } from '../files/errors.ts';
import { localFiles } from '../files/local-files.ts';
import { existingFolder, type LocalPath, localPath, makeFolder, syncFolder } from '../files/paths.ts';
import { RecordSource, watchRecords } from '../files/record-source.ts';
import { recordRules } from '../files/records.ts';
import { CheckSteps } from '../network/check-steps.ts';
import type { SingleFileTable } from './table.ts';

type Context = RunContext<unknown, SingleFileTable>;

async function readable({ table, targets, schema }: Pick<Context, 'table' | 'targets'> & Partial<Context>) {
  const files = await localFiles(table.path, targets, () => true);
  if (files.isFolder) throw fileError('file_not_found', `${table.path} is a folder, not a file`);
  return { files, rules: recordRules(schema ?? {}), compression: 'none' as const };
}

export async function openSource(context: Context): Promise<Source> {
  const options = await readable(context).catch((error: unknown) => {
    context.signal.throwIfAborted();
    throw error;
  });
  return new RecordSource(context, options);
}

export async function watch(context: WatchContext<unknown, SingleFileTable>): Promise<never> {
  return watchRecords(context, await readable(context as never));
}

/** Tests a file: `file`, and for a source `decode`. A sink writes nothing. */
export async function check(context: CheckContext<unknown, SingleFileTable>): Promise<void> {
  const { table, targets } = context;
  const steps = new CheckSteps(context);
  if (!table) return steps.skip('file', 'A table names the file');
  const isSink = table.table_type === 'sink';
  await steps.run('file', async () => {
    const place = await localPath(table.path, targets);
    return { value: true, message: isSink ? await writableFile(place) : await readableFile(place) };
  });
  if (!isSink) await decodeStep(steps, context.schema, (schema) => readable({ table, targets, schema }));
}

async function readableFile(place: LocalPath): Promise<string> {
  await (await openFile(place, constants.O_RDONLY)).close();
  return `The file ${place.shown} can be read`;
}

async function writableFile(place: LocalPath): Promise<string> {
  const { real, shown } = place;
  if (await stat(real).catch(() => undefined)) {
    await (await openFile(place, constants.O_WRONLY)).close();
    return `The file ${shown} can be written`;
  }
  const folder = await existingFolder(dirname(real));
  await access(folder, constants.W_OK | constants.X_OK).catch((error: unknown) => {
    throw systemError(error, shown);
  });
  return `The file ${shown}${folder === dirname(real) ? ' does' : ' and its folder do'} not exist yet: the job will create it`;
}

async function openFile({ real, shown }: LocalPath, flags: number): Promise<FileHandle> {
  let file: FileHandle;
  try {
    // A link or pipe that replaces the file in between is neither followed nor waited for.
    file = await open(real, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    throw systemError(error, shown);
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  throw fileError('file_not_found', `${shown} is not a file`);
}

export async function openSink(context: Context): Promise<Sink> {
  context.signal.throwIfAborted();
  const place = await localPath(context.table.path, context.targets);
  const folder = dirname(place.real);
  await makeFolder(folder, folder).catch((error: unknown) => {
    throw systemError(error, place.shown);
  });
  const file = await openFile(place, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT);
  try {
    await syncFolder(folder);
    // A crash, or another program, may have left a line without its end.
    const { size } = await file.stat();
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, Math.max(0, size - 1));
    context.signal.throwIfAborted();
    return new FileSink(context, file, place, size > 0 && buffer[0] !== 0x0a);
  } catch (error) {
    await file.close();
    throw error;
  }
}

const newline = Buffer.from('\n');

/** Appends lines. A message is confirmed when its line is durable. */
class FileSink implements Sink {
  readonly #context: Pick<Context, 'signal' | 'lost'>;
  readonly #file: FileHandle;
  readonly #place: LocalPath;
  readonly #gone = Promise.withResolvers<never>();
  #failure: { error: unknown } | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #isOpenLine: boolean;
  #closing: Promise<void> | undefined;

  constructor(
    context: Pick<Context, 'signal' | 'lost'>,
    file: FileHandle,
    place: LocalPath,
    isOpenLine: boolean,
  ) {
    this.#context = context;
    this.#file = file;
    this.#place = place;
    this.#isOpenLine = isOpenLine;
    this.#gone.promise.catch(() => {});
    context.signal.addEventListener('abort', this.#aborted, { once: true });
  }

  write(messages: Outgoing[]): Promise<Refusal[]> {
    const written = this.#last.then(() => this.#append(messages));
    this.#last = written.catch(() => {});
    return Promise.race([this.#gone.promise, written]);
  }

  close(): Promise<void> {
    this.#context.signal.removeEventListener('abort', this.#aborted);
    this.#fail(fileError('connection_lost', 'The sink is closed'));
    this.#closing ??= this.#last.then(() => this.#file.close()).catch(() => {});
    return this.#closing;
  }

  readonly #aborted = (): void => this.#fail(this.#context.signal.reason);

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#gone.reject(this.#failure.error);
  }

  async #append(messages: Outgoing[]): Promise<Refusal[]> {
    if (this.#failure) throw this.#failure.error;
    const refusals: Refusal[] = [];
    const parts: Buffer[] = this.#isOpenLine ? [newline] : [];
    for (const [index, { payload }] of messages.entries()) {
      const line = payload.at(-1) === 0x0a ? payload.subarray(0, -1) : payload;
      if (line.includes(0x0a))
        refusals.push({
          index,
          error: badRow('', 'contains a line end, so it cannot be one line of a file'),
        });
      else parts.push(line, newline);
    }
    if (parts.length === 0) return refusals;
    try {
      await this.#file.appendFile(Buffer.concat(parts));
      await this.#file.datasync();
      this.#isOpenLine = false;
      return refusals;
    } catch (cause) {
      const error = lostError(cause, this.#place.shown);
      if (!this.#failure) this.#context.lost?.(error);
      this.#fail(error);
      throw error;
    }
  }
}
