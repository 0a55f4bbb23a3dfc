import type { CheckContext } from '../connector.ts';
import { CheckSteps, decodeStep } from '../network/check-steps.ts';
import { httpSteps } from '../network/http-steps.ts';
import { requestOf } from '../network/http-table.ts';
import { readPage } from './page.ts';
import { type PollingTable, polls } from './table.ts';

/** Tests a table: `resolve → tcp → tls → request → decode`, with one poll. */
export async function check(context: CheckContext<unknown, PollingTable>): Promise<void> {
  const { table } = context;
  if (!table) return;
  const steps = new CheckSteps(context);
  const options = polls(table);
  const response = await httpSteps({ ...context, table }, steps, {
    method: options.method,
    body: options.body,
    prepare: () => void requestOf(table),
  });
  await decodeStep(steps, context, () =>
    readPage(response as NonNullable<typeof response>, requestOf(table).url, options).messages.map(
      ({ payload }) => payload,
    ),
  );
}
