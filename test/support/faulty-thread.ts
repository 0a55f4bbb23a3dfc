import { BroadcastChannel, threadId } from 'node:worker_threads';
import '../../src/runtime/thread.ts';

/** A thread of tasks as it is, which says when it starts and does what it is told to: see `ThreadFaults`. */

const faults: Record<string, () => void> = {
  crash: () => {
    throw new Error('as asked for');
  },
  // For ever, and without work for the processor.
  hang: () => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0),
};

const channel = new BroadcastChannel('faults of threads');
channel.postMessage({ started: threadId });
channel.onmessage = (message: unknown) => {
  const { fault, thread } = (message as { data: { fault?: string; thread?: number } }).data;
  if (fault !== undefined && thread === threadId) faults[fault]?.();
};
