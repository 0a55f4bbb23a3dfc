import { expect, test } from 'vitest';
import { type BundlePlan, clean, drawPlan, drawStep } from './draw.ts';
import { eventsIn } from './server.ts';

const streamed = (chunks: Uint8Array[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });

test('reads events wherever the stream is cut', async () => {
  const text =
    ': still here\n\ndata: {"a":"ä€"}\n\nid: 7\r\ndata:one\r\ndata: two\r\n\r\n\ndata: unfinished\n';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 2, 3, 5, 7, bytes.length]) {
    const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
      bytes.slice(i * size, (i + 1) * size),
    );
    const events: string[] = [];
    for await (const event of eventsIn(streamed(chunks))) events.push(event);
    expect(events, `${size} bytes a chunk`).toEqual(['{"a":"ä€"}', 'one\ntwo']);
  }
});

test('draws a step for terminals and for logs, with nothing in it that a terminal obeys', () => {
  const step = {
    name: 'tcp',
    outcome: 'failed',
    durationMs: 12.4,
    message: 'closed\u001b[2J\r\nport',
    code: 'connection_refused',
    hint: 'Start it.',
  } as const;
  expect(drawStep(step, false)).toBe(
    'failed  tcp               12 ms  connection_refused: closed [2J port\n        Start it.',
  );
  expect(drawStep(step, true).startsWith('\u001b[31m✗\u001b[0m tcp ')).toBe(true);
  expect(drawStep({ ...step, outcome: 'ok' }, true)).toMatch(/✓/);
  expect(drawStep({ ...step, outcome: 'warning' }, true)).toMatch(/!/);
  expect(clean('a\u009b\u0007b')).toBe('a b');
});

test.each([
  ['connection_tables', '/config/topic', false, true],
  ['connection_tables', '/config/topic', true, false],
  ['connection_tables', '/config/qos', false, false],
  ['connection_profiles', '/config/topic', false, false],
] as const)('a plan that changes %s%s (applied: %s) warns of queues: %s', (kind, path, applied, warns) => {
  const plan: BundlePlan = {
    plan: '5a0c',
    applied,
    summary: { created: 0, updated: 1, unchanged: 0, deleted: 0 },
    changes: [{ kind, name: 'readings', action: 'updated', diff: [{ path, before: 'a', after: 'b' }] }],
    affected_pipelines: [{ name: 'overheating' }],
  };
  expect(drawPlan(plan).includes('discard what is queued')).toBe(warns);
  expect(drawPlan({ ...plan, affected_pipelines: [] })).not.toContain('discard');
});
