import { readFileSync } from 'node:fs';
import { defineConnector } from '../connector.ts';
import { check } from './check.ts';
import { fromOptions } from './options.ts';
import { describe, MqttProfile, validateProfile } from './profile.ts';
import { openSink } from './sink.ts';
import { forget, openSource } from './source.ts';
import { columnsOf, direction, MqttTable, metadataColumns, pace, validateTable } from './table.ts';

/** MQTT 5 and 3.1.1: any broker that speaks one of them, over TCP or TLS. */
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
  openSource,
  openSink,
  forget,
});
