import type { CheckContext } from '../connector.ts';
import { CheckSteps, decodeStep, firstMessageStep } from '../network/check-steps.ts';
import { untilReported } from '../network/deadline.ts';
import { withHttpClient } from '../network/http.ts';
import { dialHttp } from '../network/http-steps.ts';
import { httpServer } from '../network/http-table.ts';
import type { Incoming } from '../network/queue-source.ts';
import { events } from './source.ts';
import type { SseTable } from './table.ts';

/** Tests a table: `resolve → tcp → tls → request → first_message → decode`. */
export async function check(context: CheckContext<unknown, SseTable>): Promise<void> {
  const { table, signal } = context;
  if (!table) return;
  const steps = new CheckSteps(context);
  await dialHttp({ ...context, table }, steps);
  const over = new AbortController();
  const reading = AbortSignal.any([signal, over.signal]);
  await withHttpClient(httpServer({ ...context, table }), reading, async (client) => {
    const opened = Promise.withResolvers<void>();
    const stream = events(client, table, undefined, reading, opened.resolve);
    let first: Promise<IteratorResult<Incoming>> | undefined;
    try {
      await steps.run('request', async (soon) => {
        first = stream.next();
        // 204 ends the stream without an event.
        first.then(() => opened.resolve(), opened.reject);
        await untilReported<void>(soon, (resolve, reject) => void opened.promise.then(resolve, reject));
        return { value: true, message: 'The server sends events' };
      });
      const next = () => first as Promise<IteratorResult<Incoming>>;
      const sample = await firstMessageStep(steps, context, next, described);
      await decodeStep(steps, context, () => (sample ? [sample.payload] : []));
    } finally {
      over.abort(new Error('the test is over'));
      await first?.catch(() => {});
      await stream.return(undefined).catch(() => {});
    }
  });
}

function described({ metadata: { id, event } }: Incoming): { message: string; hint?: string } {
  const message = `An event of the type ${String(event).slice(0, 100)}`;
  return id === null ? { message, hint: noIds } : { message: `${message}, with an id to go on from` };
}

const noIds =
  'The events have no id, so what the server sends while the pipeline is not connected is lost. Let the server send ids, and resend what follows Last-Event-ID.';
