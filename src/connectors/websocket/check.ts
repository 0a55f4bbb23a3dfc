import type { WebSocket } from 'ws';
import type { CheckContext } from '../connector.ts';
import { CheckSteps, decodeStep, firstMessageStep } from '../network/check-steps.ts';
import { dialHttp } from '../network/http-steps.ts';
import { requestOf } from '../network/http-table.ts';
import { messages, open, shut } from './source.ts';
import { subscriptionsOf, type WebSocketTable } from './table.ts';

/** Tests a table: `resolve → tcp → tls → websocket → first_message → decode`. */
export async function check(context: CheckContext<unknown, WebSocketTable>): Promise<void> {
  const { table, signal } = context;
  if (!table) return;
  const steps = new CheckSteps(context);
  await dialHttp({ ...context, table }, steps, () => void requestOf(table, 'ws'));
  const over = new AbortController();
  const reading = AbortSignal.any([signal, over.signal]);
  let opened: WebSocket | undefined;
  try {
    await steps.run('websocket', async (soon) => {
      opened = await open({ ...context, table }, soon);
      const sent = subscriptionsOf(table).length;
      const subscribed = sent === 0 ? '' : `, and took ${sent} subscription message${sent === 1 ? '' : 's'}`;
      return { value: true, message: `The server opened a WebSocket${subscribed}` };
    });
    const next = () => messages(opened as WebSocket, table, reading).next();
    const sample = await firstMessageStep(steps, context, next, ({ metadata }) => ({
      message: metadata.binary ? 'A binary message' : 'A text message',
    }));
    await decodeStep(steps, context, () => (sample ? [sample.payload] : []));
  } finally {
    over.abort(new Error('the test is over'));
    if (opened) await shut(opened);
  }
}
