import { readFileSync } from 'node:fs';
import { defineConnector, noProfile } from '../connector.ts';
import { registryOfTable } from '../schema-registry/profile.ts';
import { columnsOf, sends, validateTable, WebhookTable, webhookErrors } from './table.ts';

/** Any HTTP server that takes messages as requests. */
export const webhook = defineConnector({
  id: 'webhook',
  name: 'Webhook',
  description: 'Send each message to an HTTP endpoint',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: WebhookTable,
  errors: webhookErrors,
  defaultSchema: { format: { type: 'json' } },
  metadata: [],
  validateTable,
  registryOf: registryOfTable,
  columnsOf,
  idempotent: {
    when: 'the server honours the header of idempotency_header',
    holds: (table) => sends(table).idempotencyHeader !== undefined,
  },
  describe: () => 'HTTP endpoint',
  direction: () => 'sink',
  check: async (context) => (await import('./check.ts')).check(context),
  openSink: async (context) => (await import('./sink.ts')).openSink(context),
});
