import { PenstockError } from '../../../errors.ts';
import type { ConnectionSchema } from '../../../formats/schema/schema.ts';
import type { Reachable } from '../../connector.ts';
import { localFiles } from '../../files/local-files.ts';
import type { ReadableFiles } from '../../files/read-records.ts';
import { recordRules } from '../../files/records.ts';
import { validLocation } from '../config/location.ts';
import type { S3Profile } from '../config/profile.ts';
import { type FilesystemTable, type SourceTable, validateSchema } from '../config/table.ts';

/** The files of a source, and how they are divided into records. Throws `invalid_schema`. */
export async function readable(
  reachable: Reachable<S3Profile>,
  table: FilesystemTable,
  schema: ConnectionSchema,
  signal: AbortSignal,
) {
  const errors = validateSchema(table, schema);
  if (errors[0]) throw new PenstockError('invalid_schema', `The schema ${errors[0].message}`, { errors });
  const source = table.table_type as SourceTable;
  const files = await filesOf(reachable, source, signal);
  return { files, rules: recordRules(schema), compression: source.compression_format ?? 'none' };
}

async function filesOf(
  { profile, targets }: Reachable<S3Profile>,
  { path, regex_pattern = '' }: SourceTable,
  signal: AbortSignal,
): Promise<ReadableFiles> {
  const pattern = new RegExp(regex_pattern, 'u');
  const location = validLocation(path);
  const wanted = (name: string): boolean => pattern.test(name);
  if ('local' in location) return localFiles(location.local, targets, wanted);
  const { s3Files } = await import('./s3-files.ts');
  return s3Files({ profile, targets }, location, wanted, signal);
}
