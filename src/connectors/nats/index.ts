import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { registryOf } from '../schema-registry/profile.ts';
import { natsErrors } from './config/errors.ts';
import { describe, NatsProfile, validateProfile } from './config/profile.ts';
import { sessionName } from './config/session.ts';
import {
  columnsOf,
  direction,
  isIdempotent,
  metadataColumns,
  NatsTable,
  pace,
  shared,
  subjectOf,
  validateTable,
} from './config/table.ts';

/** NATS: subjects, and streams of JetStream (nats-server 2.9 and later). */
export const nats = defineConnector({
  id: 'nats',
  name: 'NATS',
  description: 'Read from and write to NATS, with or without JetStream',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: NatsProfile,
  table: NatsTable,
  errors: natsErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  registryOf,
  subjectOf,
  columnsOf,
  pace,
  describe,
  direction,
  shared,
  session: sessionName,
  idempotent: { when: 'a stream has a messageId, within its duplicate window', holds: isIdempotent },
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./watch/watch.ts')).autocomplete(context),
  watch: async (context) => (await import('./watch/watch.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
  isSameSession: async (...given) => (await import('./source/source.ts')).isSameSession(...given),
  forget: async (context) => (await import('./source/source.ts')).forget(context),
});
