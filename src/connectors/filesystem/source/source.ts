import type { RunContext, Source, WatchContext } from '../../connector.ts';
import { RecordSource, watchRecords } from '../../files/record-source.ts';
import type { S3Profile } from '../config/profile.ts';
import type { FilesystemTable } from '../config/table.ts';
import { readable } from '../connection/readable.ts';

/** Reads the files of a folder or prefix once, in the order of their names. */
export async function openSource(context: RunContext<S3Profile, FilesystemTable>): Promise<Source> {
  const { table, signal } = context;
  signal.throwIfAborted();
  const options = await readable(context, table, context.schema, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    throw error;
  });
  if (signal.aborted) options.files.close();
  signal.throwIfAborted();
  return new RecordSource(context, options);
}

export async function watch(context: WatchContext<S3Profile, FilesystemTable>): Promise<never> {
  return watchRecords(context, await readable(context, context.table, context.schema ?? {}, context.signal));
}
