import { BroadcastChannel, threadId } from 'node:worker_threads';
import '../../src/runtime/thread.ts';

/** A normal worker thread that also reports its start and fails on demand: see `ThreadFaults`. */

const faults: Record<string, () => void> = {
  crash: () => {
    throw new Error('as asked for');
  },
  // Forever, and without CPU time.
  hang: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
};

const channel = new BroadcastChannel('faults of threads');
channel.postMessage({ started: threadId });
channel.onmessage = (message: unknown) => {
  const { fault, thread } = (message as { data: { fault?: string; thread?: number } }).data;
  if (fault !== undefined && thread === threadId) faults[fault]?.();
};
