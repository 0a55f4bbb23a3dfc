import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { registryOf } from '../schema-registry/profile.ts';
import { kafkaErrors } from './config/errors.ts';
import { describe, KafkaProfile, validateProfile } from './config/profile.ts';
import {
  columnsOf,
  direction,
  holds,
  KafkaTable,
  metadataColumns,
  pace,
  positionName,
  shared,
  subjectOf,
  transactional,
  validateTable,
} from './config/table.ts';

/** Apache Kafka 2.7 and later, and what speaks its protocol. */
export const kafka = defineConnector({
  id: 'kafka',
  name: 'Kafka',
  description: 'Read and write topics of a Kafka cluster',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: KafkaProfile,
  table: KafkaTable,
  errors: kafkaErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  columnsOf,
  registryOf,
  subjectOf,
  pace,
  holds,
  transactional,
  shared,
  describe,
  direction,
  position: (_profile, table) => positionName(table),
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./check/check.ts')).autocomplete(context),
  watch: async (context) => (await import('./watch/watch.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
});
