import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { registryOf } from '../schema-registry/profile.ts';
import { describe } from './config/broker-url.ts';
import { mqttErrors } from './config/errors.ts';
import { MqttProfile, renamedProfileFields, validateProfile } from './config/profile.ts';
import {
  columnsOf,
  direction,
  exactlyOnce,
  MqttTable,
  metadataColumns,
  pace,
  shared,
  subjectOf,
  validateTable,
} from './config/table.ts';
import { sessionName } from './connection/connect-request.ts';

/** MQTT 5 and 3.1.1: any broker that speaks one of them, over TCP, TLS or WebSocket. */
export const mqtt = defineConnector({
  id: 'mqtt',
  name: 'MQTT',
  description: 'Read from and write to an MQTT broker',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: MqttProfile,
  renamed: renamedProfileFields,
  table: MqttTable,
  errors: mqttErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  registryOf,
  subjectOf,
  columnsOf,
  pace,
  exactlyOnce,
  describe,
  direction,
  session: sessionName,
  shared,
  check: async (context) => (await import('./check/check.ts')).check(context),
  autocomplete: async (context) => (await import('./watch/watch.ts')).autocomplete(context),
  watch: async (context) => (await import('./watch/watch.ts')).watch(context),
  openSource: async (context) => (await import('./source/source.ts')).openSource(context),
  openSink: async (context) =>
    context.exact
      ? (await import('./sink/exact-sink.ts')).openExactSink(context)
      : (await import('./sink/sink.ts')).openSink(context),
  isSameSession: async (...given) => (await import('./source/session.ts')).isSameSession(...given),
  forget: async (context) => (await import('./source/session.ts')).forget(context),
});
