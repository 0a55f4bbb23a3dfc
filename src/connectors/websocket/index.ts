import { readFileSync } from 'node:fs';
import { defineConnector, noProfile } from '../connector.ts';
import { registryOfTable } from '../schema-registry/profile.ts';
import { metadataColumns, validateTable, WebSocketTable, webSocketErrors } from './table.ts';

/** A server that sends messages over a WebSocket (RFC 6455). */
export const websocket = defineConnector({
  id: 'websocket',
  name: 'WebSocket',
  description: 'Read messages from a WebSocket',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: WebSocketTable,
  errors: webSocketErrors,
  defaultSchema: { format: { type: 'json' } },
  metadata: metadataColumns,
  validateTable,
  registryOf: registryOfTable,
  describe: () => 'WebSocket',
  direction: () => 'source',
  check: async (context) => (await import('./check.ts')).check(context),
  watch: async (context) => (await import('./source.ts')).watch(context),
  openSource: async (context) => (await import('./source.ts')).openSource(context),
});
