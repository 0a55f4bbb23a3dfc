import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { registryOf } from '../schema-registry/profile.ts';
import { rabbitmqErrors } from './config/errors.ts';
import { describe, RabbitmqProfile, validateProfile } from './config/profile.ts';
import {
  columnsOf,
  direction,
  metadataColumns,
  positionName,
  RabbitmqTable,
  shared,
  subjectOf,
  validateTable,
} from './config/table.ts';

/** RabbitMQ 3.8 and later by AMQP 0-9-1: queues, exchanges, and streams (3.9 and later). */
export const rabbitmq = defineConnector({
  id: 'rabbitmq',
  name: 'RabbitMQ',
  description: 'Read queues and streams, and write to exchanges, queues and streams',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: RabbitmqProfile,
  table: RabbitmqTable,
  errors: rabbitmqErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  columnsOf,
  registryOf,
  subjectOf,
  describe,
  direction,
  shared,
  position: positionName,
  check: async (context) => (await import('./check/check.ts')).check(context),
  watch: async (context) => (await import('./watch/watch.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) => (await import('./sink/sink.ts')).openSink(context),
});
