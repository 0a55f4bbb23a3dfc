import { expect, test } from 'vitest';
import { until } from '../../test/support/until.ts';
import type { Delivery } from '../connectors/connector.ts';
import type { BadMessages } from './bad-messages.ts';
import type { BatchProcessor } from './batch-processor.ts';
import { AttemptCounts } from './counts.ts';
import { RowPump } from './row-pump.ts';

test('a sink that begins no transaction ends the attempt', async () => {
  const error = new Error('no transaction');
  const delivery: Delivery = { payload: Buffer.from('a'), metadata: {}, receivedAt: 0, ack() {} };
  const batch = { messages: [delivery], failures: new Map(), rows: [], rowsOut: 0, weight: 1 };
  const processor = {
    ready() {},
    prepare() {},
    flush() {},
    batch: () => batch,
    begin() {
      throw error;
    },
  };
  const failed = new AbortController();
  const { signal } = failed;
  const pump = new RowPump({
    processor: processor as unknown as BatchProcessor,
    bad: { failed() {} } as unknown as BadMessages,
    ...{ counts: new AttemptCounts(() => {}), window: 1, failed, signal, sinkError: (one) => one },
  });
  const end = Promise.withResolvers<void>();
  // Silent after the first message, so nobody waits for what becomes of it.
  async function* source(): AsyncGenerator<Delivery[]> {
    yield [delivery];
    await end.promise;
  }
  const running = pump.run(source());
  await until('the attempt to end', () => signal.aborted);
  expect(signal.reason).toBe(error);
  end.resolve();
  await expect(running).rejects.toBe(error);
});
