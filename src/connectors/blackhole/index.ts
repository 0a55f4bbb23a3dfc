import { readFileSync } from 'node:fs';
import Type from 'typebox';
import { PenstockError } from '../../errors.ts';
import { defineConnector, noProfile, type RunContext, type Sink } from '../connector.ts';

async function openSink({ signal }: RunContext<unknown, unknown>): Promise<Sink> {
  signal.throwIfAborted();
  let closed = false;
  return {
    async write() {
      signal.throwIfAborted();
      if (closed) throw new PenstockError('connection_lost', 'The blackhole is closed');
      return [];
    },
    async close() {
      closed = true;
    },
  };
}

/** A sink that discards all rows, to try out or measure what comes before it. */
export const blackhole = defineConnector({
  id: 'blackhole',
  name: 'Blackhole',
  description: 'Discard all rows',
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  table: Type.Object({}, { title: 'BlackholeTable', additionalProperties: false }),
  defaultSchema: { format: { type: 'json' } },
  metadata: [],
  describe: () => 'Blackhole',
  direction: () => 'sink',
  openSink,
});
