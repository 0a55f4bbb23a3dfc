import { readFileSync } from 'node:fs';
import { defineConnector, noProfile } from '../connector.ts';
import { registryOfTable } from '../schema-registry/profile.ts';
import { metadataColumns, PollingTable, pollingErrors, validateSchema, validateTable } from './table.ts';

/** Any HTTP endpoint, asked again and again. */
export const pollingHttp = defineConnector({
  id: 'polling_http',
  name: 'Polling HTTP',
  description: 'Read an HTTP endpoint at intervals',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: PollingTable,
  errors: pollingErrors,
  defaultSchema: { format: { type: 'json' } },
  metadata: metadataColumns,
  validateTable,
  validateSchema,
  registryOf: registryOfTable,
  describe: () => 'HTTP endpoint',
  direction: () => 'source',
  position: (_profile, { endpoint, method, body, items, cursor }) =>
    JSON.stringify([endpoint, method, body, items, cursor]),
  check: async (context) => (await import('./check.ts')).check(context),
  watch: async (context) => (await import('./source.ts')).watch(context),
  openSource: async (context) => (await import('./source.ts')).openSource(context),
});
