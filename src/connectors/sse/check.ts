import type { CheckContext } from '../connector.ts';
import { CheckSteps, decodeStep } from '../network/check-steps.ts';
import { forUpTo } from '../network/deadline.ts';
import { HttpClient } from '../network/http.ts';
import { dialHttp } from '../network/http-steps.ts';
import { httpServer } from '../network/http-table.ts';
import type { Incoming } from '../network/queue-source.ts';
import { events } from './source.ts';
import type { SseTable } from './table.ts';

/** How long to wait for an event. */
const eventMs = 3_000;

/** Tests a table: `resolve → tcp → tls → request → first_event → decode`. */
export async function check(context: CheckContext<unknown, SseTable>): Promise<void> {
  const { table, schema, signal, stepTimeoutMs } = context;
  if (!table) return;
  const steps = new CheckSteps(context);
  await dialHttp({ ...context, table }, steps);
  const client = await HttpClient.open(httpServer({ ...context, table }), { connections: 1, signal });
  const reading = new AbortController();
  const opened = Promise.withResolvers<void>();
  let stream: AsyncGenerator<Incoming> | undefined;
  let first: Promise<IteratorResult<Incoming>> | undefined;
  try {
    await steps.run('request', async (soon) => {
      stream = events(client, table, undefined, AbortSignal.any([signal, reading.signal]), opened.resolve);
      first = stream.next();
      first.catch(opened.reject);
      // 204 ends the stream without an event.
      void first.then(
        () => opened.resolve(),
        () => {},
      );
      soon.addEventListener('abort', () => opened.reject(soon.reason), { once: true });
      await opened.promise;
      return { value: true, message: 'The server sends events' };
    });
    const sample = await steps.run('first_event', async (soon) => {
      const waited = Math.min(eventMs, stepTimeoutMs / 2);
      const result = await forUpTo(waited, soon, (late) =>
        Promise.race([
          first as Promise<IteratorResult<Incoming>>,
          new Promise<never>((_, reject) =>
            late.addEventListener('abort', () => reject(late.reason), { once: true }),
          ),
        ]),
      );
      if (!result || result.done)
        return { value: undefined, message: `No event came within ${waited / 1000} s` };
      const { id, event } = result.value.metadata;
      const message = `An event of the type ${String(event).slice(0, 100)}`;
      return id === null
        ? { value: result.value, message, hint: noIds }
        : { value: result.value, message: `${message}, with an id to go on from` };
    });
    await decodeStep(steps, schema, () => (sample ? [sample.payload] : []));
  } finally {
    reading.abort(new Error('the test is over'));
    await first?.catch(() => {});
    await stream?.return(undefined).catch(() => {});
    await client.close();
  }
}

const noIds =
  'The events have no id, so what the server sends while the pipeline is not connected is lost. Let the server send ids, and resend what follows Last-Event-ID.';
