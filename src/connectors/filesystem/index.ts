import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { fileMetadata } from '../files/record-source.ts';
import { endpointOf, filesystemErrors, S3Profile, validateProfile } from './config/profile.ts';
import {
  columnsOf,
  direction,
  FilesystemTable,
  holds,
  takesRows,
  validateSchema,
  validateTable,
} from './config/table.ts';

/** Files of a local folder or an S3-compatible store: rows are collected into whole files, and files are read once. */
export const filesystem = defineConnector({
  id: 'filesystem',
  name: 'FileSystem',
  description: 'Write and read files in a folder or an S3-compatible store',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: S3Profile,
  profileOptional: true,
  table: FilesystemTable,
  errors: filesystemErrors,
  metadata: fileMetadata,
  validateProfile,
  validateTable,
  validateSchema,
  takesRows,
  holds,
  columnsOf,
  describe: (profile) => endpointOf(profile).host,
  direction,
  position: (profile, { table_type: { path } }) =>
    path.startsWith('s3') ? `${endpointOf(profile).host} ${path}` : path,
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./check/paths.ts')).autocomplete(context),
  watch: async (context) => (await import('./source/source.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
});
