import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { describe } from './address.ts';
import { autocomplete } from './autocomplete.ts';
import { check } from './check.ts';
import { sessionName } from './identity.ts';
import { fromOptions } from './options.ts';
import { MqttProfile } from './profile.ts';
import { isSameSession } from './same-session.ts';
import { openSink } from './sink.ts';
import { forget, openSource } from './source.ts';
import { shared } from './subscription.ts';
import { columnsOf, direction, MqttTable, metadataColumns, pace, validateTable } from './table.ts';
import { validateProfile } from './validate-profile.ts';
import { watch } from './watch.ts';

/** MQTT 5 and 3.1.1: any broker that speaks one of them, over TCP, TLS or WebSocket. */
export const mqtt = defineConnector({
  id: 'mqtt',
  name: 'MQTT',
  description: 'Read from and write to an MQTT broker',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: MqttProfile,
  table: MqttTable,
  metadata: metadataColumns,
  validateProfile,
  validateTable,
  columnsOf,
  pace,
  describe,
  direction,
  fromOptions,
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
