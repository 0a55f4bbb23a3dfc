import type { CheckContext } from '../connector.ts';
import { CheckSteps } from '../network/check-steps.ts';
import { httpSteps } from '../network/http-steps.ts';
import { requestOf } from '../network/http-table.ts';
import { checkBatches, contentType, refusesMessage, sends, type WebhookTable } from './table.ts';

const testMessage = '{"test":"Penstock tests this connection"}';

/** Tests a table: `resolve → tcp → tls → request`. The request has a test message, or with probe none it is OPTIONS. */
export async function check(context: CheckContext<unknown, WebhookTable>): Promise<void> {
  const { table, schema = {}, probe } = context;
  const steps = new CheckSteps(context);
  if (!table) return;
  const { method, batch } = sends(table);
  const body = batch === 'json_array' ? `[${testMessage}]` : testMessage;
  await httpSteps({ ...context, table }, steps, {
    method: probe === 'none' ? 'OPTIONS' : method,
    headers: probe === 'none' ? {} : { 'content-type': contentType(table, schema) },
    body: probe === 'none' ? undefined : body,
    prepare: () => {
      requestOf(table);
      checkBatches(table, schema);
    },
    judge: (status) =>
      probe === 'none'
        ? `The server is reachable; it responded to OPTIONS with ${status}, which says nothing of ${method}`
        : refusesMessage(status)
          ? {
              code: 'webhook_message_refused',
              message: `The server refuses the test message with HTTP status ${status}`,
              hint: 'That is fine if it takes only messages of its own kind. The response may say what it expects.',
            }
          : undefined,
  });
}
