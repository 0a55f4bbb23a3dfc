import { readFileSync } from 'node:fs';
import type { FieldError } from '../../errors.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { defineConnector, noProfile } from '../connector.ts';
import { fileErrors } from '../files/errors.ts';
import { fileMetadata } from '../files/record-source.ts';
import { lineErrors } from '../files/records.ts';
import { SingleFileTable } from './table.ts';

/** A sink has no place for the header: the file may have rows already. */
function validateSchema({ table_type }: SingleFileTable, schema: ConnectionSchema): FieldError[] {
  const { format } = schema;
  const headed = table_type === 'sink' && format?.type === 'csv' && format.header;
  const message =
    'is not supported by a sink, which appends to a file; leave it out, or use the connector filesystem';
  return headed ? [{ path: '/format/header', message }] : lineErrors(schema);
}

/** One local file: its lines are read once, or lines are appended. */
export const singleFile = defineConnector({
  id: 'single_file',
  name: 'Single File',
  description: 'Read the lines of one file, or append to it',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: SingleFileTable,
  errors: fileErrors,
  metadata: fileMetadata,
  validateSchema,
  describe: () => 'Local file',
  direction: ({ table_type }) => table_type,
  position: (_, { path }) => path,
  check: async (context) => (await import('./file.ts')).check(context),
  watch: async (context) => (await import('./file.ts')).watch(context),
  openSource: async (context) => (await import('./file.ts')).openSource(context),
  openSink: async (context) => (await import('./file.ts')).openSink(context),
});
