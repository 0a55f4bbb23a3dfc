import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { check } from './check/check.ts';
import { describe } from './config/address.ts';
import { mqttErrors } from './config/errors.ts';
import { sessionName } from './config/identity.ts';
import { MqttProfile } from './config/profile.ts';
import { columnsOf, direction, MqttTable, metadataColumns, pace, validateTable } from './config/table.ts';
import { validateProfile } from './config/validate-profile.ts';
import { openSink } from './sink/sink.ts';
import { isSameSession } from './source/same-session.ts';
import { forget, openSource } from './source/source.ts';
import { shared } from './source/subscription.ts';
import { autocomplete } from './watch/autocomplete.ts';
import { watch } from './watch/watch.ts';

/** MQTT 5 and 3.1.1: any broker that speaks one of them, over TCP, TLS or WebSocket. */
export const mqtt = defineConnector({
  id: 'mqtt',
  name: 'MQTT',
  description: 'Read from and write to an MQTT broker',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: MqttProfile,
  table: MqttTable,
  errors: mqttErrors,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  columnsOf,
  pace,
  describe,
  direction,
  check,
  autocomplete,
  watch,
  openSource,
  openSink,
  session: sessionName,
  isSameSession,
  forget,
  shared,
});
