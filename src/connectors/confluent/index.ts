import { readFileSync } from 'node:fs';
import { defineConnector, type Reachable } from '../connector.ts';
import { describe } from '../kafka/config/profile.ts';
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
} from '../kafka/config/table.ts';
import { ConfluentProfile, registryOf, toKafka, validateProfile } from './profile.ts';

/** The context of a call with the profile that kafka takes. */
const forKafka = <C extends Reachable<ConfluentProfile>>({ profile, ...context }: C) => ({
  ...context,
  profile: toKafka(profile),
});

/** Clusters in Confluent Cloud: Kafka with a login by API key, and a schema registry. */
export const confluent = defineConnector({
  id: 'confluent',
  name: 'Confluent Cloud',
  description: 'Read and write topics of a Kafka cluster in Confluent Cloud',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: ConfluentProfile,
  table: KafkaTable,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  registryOf,
  subjectOf,
  columnsOf,
  pace,
  holds,
  transactional,
  shared,
  direction,
  position: (_profile, table) => positionName(table),
  describe: (profile) => describe(toKafka(profile)),
  check: async (context) => (await import('../kafka/check/check.ts')).check(forKafka(context)),
  autocomplete: async (context) => (await import('../kafka/check/check.ts')).autocomplete(forKafka(context)),
  watch: async (context) => (await import('../kafka/watch/watch.ts')).watch(forKafka(context)),
  openSource: async (context) => (await import('../kafka/source/source.ts')).openSource(forKafka(context)),
  openSink: async (context) => (await import('../kafka/sink/sink.ts')).openSink(forKafka(context)),
});
