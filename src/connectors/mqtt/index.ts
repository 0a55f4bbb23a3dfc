import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { check } from './check/check.ts';
import { describe } from './config/broker-url.ts';
import { fromOptions } from './config/options.ts';
import { MqttProfile, validateProfile } from './config/profile.ts';
import { columnsOf, direction, MqttTable, metadataColumns, pace, validateTable } from './config/table.ts';
import { sessionName } from './connection/connect-request.ts';
import { openSink } from './sink/sink.ts';
import { forget, isSameSession, shared } from './source/session.ts';
import { openSource } from './source/source.ts';
import { autocomplete, watch } from './watch/watch.ts';

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
