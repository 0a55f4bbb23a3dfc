import { readFileSync } from 'node:fs';
import { defineConnector, noProfile } from '../connector.ts';
import { validateHttpTable } from '../network/http-table.ts';
import { metadataColumns, SseTable, sseErrors } from './table.ts';

/** A server that sends events over HTTP (HTML Living Standard, section 9.2). */
export const sse = defineConnector({
  id: 'sse',
  name: 'Server-Sent Events',
  description: 'Read a stream of events from an HTTP endpoint',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: SseTable,
  errors: sseErrors,
  defaultSchema: { format: { type: 'json' } },
  metadata: metadataColumns,
  validateTable: (table) => validateHttpTable(table),
  describe: () => 'HTTP endpoint',
  direction: () => 'source',
  position: (_profile, { endpoint }) => endpoint,
  check: async (context) => (await import('./check.ts')).check(context),
  watch: async (context) => (await import('./source.ts')).watch(context),
  openSource: async (context) => (await import('./source.ts')).openSource(context),
});
