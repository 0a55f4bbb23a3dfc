import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { registryOf } from '../schema-registry/profile.ts';
import { redisErrors } from './config/errors.ts';
import { describe, RedisProfile, validateProfile } from './config/profile.ts';
import {
  columnsOf,
  direction,
  isIdempotent,
  metadataColumns,
  RedisTable,
  shared,
  sourceOf,
  subjectOf,
  validateSchema,
  validateTable,
} from './config/table.ts';

/** Redis 6.2 and later, and Valkey: a server or a cluster. Messages become strings, lists, hashes or entries of streams; streams are read too. */
export const redis = defineConnector({
  id: 'redis',
  name: 'Redis',
  description: 'Read streams, and write strings, lists, hashes and streams',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: RedisProfile,
  table: RedisTable,
  errors: redisErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  validateSchema,
  registryOf,
  subjectOf,
  columnsOf,
  describe,
  direction,
  shared,
  idempotent: { when: 'the target is string or hash', holds: isIdempotent },
  position: (profile, table) => {
    const { stream, consumerGroup } = sourceOf(table) ?? {};
    return `${describe(profile)} ${stream} ${consumerGroup}`;
  },
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./check/autocomplete.ts')).autocomplete(context),
  watch: async (context) => (await import('./watch/watch.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
});
