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

const discarding = {
  icon: readFileSync(new URL('./icon.svg', import.meta.url), 'utf8'),
  profile: noProfile,
  defaultSchema: { format: { type: 'json' as const } },
  metadata: [],
  direction: () => 'sink' as const,
  openSink,
};

/** A sink that discards all rows, to try out or measure what comes before it. */
export const blackhole = defineConnector({
  ...discarding,
  id: 'blackhole',
  name: 'Blackhole',
  description: 'Discard all rows',
  table: Type.Object({}, { title: 'BlackholeTable', additionalProperties: false }),
  describe: () => 'Blackhole',
});

/** The sink of a SELECT alone: its rows are discarded, and the output of the pipeline shows them. */
export const preview = defineConnector({
  ...discarding,
  id: 'preview',
  name: 'Preview',
  description: 'Show rows in the output of a pipeline',
  hidden: true,
  table: Type.Object({}, { title: 'PreviewTable', additionalProperties: false }),
  describe: () => 'Preview',
});
