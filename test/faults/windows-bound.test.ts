import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { createPipeline, jobOf } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { ThreadFaults } from '../support/thread-faults.ts';
import { until } from '../support/until.ts';
import { Counted, countingQuery } from './windowed.ts';

/** Windows in a thread that crashes, and with a bound on their size. */

let broker: Mosquitto;
let faults: ThreadFaults;
let service: Service;
beforeEach(async () => {
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  faults = new ThreadFaults();
  service = await startService({ worker: true, threads: { max: 1, entry: ThreadFaults.entry } });
});

async function run(query: string): Promise<string> {
  const id = await createPipeline(service.request, query);
  await until('it runs', async () => (await jobOf(service.request, id)).state === 'Running', 60_000);
  return id;
}

async function codes(id: string): Promise<string[]> {
  const job = await jobOf(service.request, id);
  const path = `/api/v1/pipelines/${id}/jobs/${job.id}/errors`;
  const { body } = await service.request.get(path).expect(200);
  return (body.data as { code: string }[]).map(({ code }) => code);
}

test('windows are exact after their thread has crashed', async () => {
  const ends = { from: broker.url, to: broker.url, qos: 2 } as const;
  const id = await run(countingQuery(ends));
  const counted = await Counted.open(ends);
  const end = counted.keepPublishing(400);
  for (let crashes = 1; crashes <= (onlyInSoak ? 1 : 10); crashes += 1) {
    const before = counted.total;
    await until('results come', () => counted.total > before);
    const started = faults.started.length;
    faults.cause('crash', faults.started.at(-1) as number);
    await until('another thread begins', () => faults.started.length > started);
  }
  await end();
  await counted.expectExact('crashes of the thread');
  expect(await codes(id)).toContain('thread_lost');
});

/** Rows that cannot be folded, as all texts are different. */
const large = (bound: string, time = '', width = 2) => `
  SET max_state_bytes = '${bound}'; SET when_state_full = 'wait';
  CREATE TABLE readings (ts TIMESTAMP, pad TEXT${time && ', WATERMARK FOR ts'})
  WITH (connector = 'mqtt', url = '${broker.url}', topic = 'in', qos = 'ExactlyOnce', format = 'json', type = 'source'${time});
  CREATE TABLE counts (n BIGINT, different BIGINT)
  WITH (connector = 'mqtt', url = '${broker.url}', topic = 'out', qos = 'ExactlyOnce', format = 'json', type = 'sink');
  INSERT INTO counts SELECT n, different FROM (
    SELECT tumble(interval '${width} seconds') AS period, count(*) AS n, count(DISTINCT pad) AS different FROM readings
    GROUP BY period)`;

/** Publishes messages of 50 KB whose times are a second apart. Returns what adds up the results. */
async function publishLarge(count: number): Promise<() => number> {
  const client = await plainClient(broker.url);
  let total = 0;
  client.on('message', (_topic, payload) => {
    total += (JSON.parse(payload.toString()) as { n: number }).n;
  });
  await client.subscribeAsync('out', { qos: 2 });
  const start = Date.now() - 3_600_000;
  for (let seq = 0; seq < count; seq += 10)
    await Promise.all(
      Array.from({ length: 10 }, (_, index) => {
        const ts = new Date(start + (seq + index) * 1000).toISOString();
        const payload = JSON.stringify({ ts, pad: `${seq + index} ${'x'.repeat(50_000)}` });
        return client.publishAsync('in', payload, { qos: 2 });
      }),
    );
  return () => total;
}

describe.skipIf(onlyInSoak)(skipping('a job whose state is full', onlyInSoak), () => {
  test('waits, goes on when windows close, and loses nothing', async () => {
    const id = await run(large('1 MiB'));
    const total = await publishLarge(400);
    await until('all are counted', () => total() >= 400, 30_000).catch(() => {});
    expect(total()).toBe(400);
    expect(await codes(id)).toContain('state_full');
  });

  test('waits for a higher limit if nothing else closes its windows', async () => {
    const time = ", idle_timeout = '1 second'";
    const id = await run(large('1 MiB', time, 300));
    const publishing = publishLarge(400);
    await until('it is full', async () => (await codes(id)).includes('state_full'));
    const total = await publishing;
    // Longer than a source may be silent.
    await pause(2_000);
    const body = { query: large('1 GiB', time, 300) };
    await service.request.patch(`/api/v1/pipelines/${id}`).send(body).expect(200);
    const ts = new Date(Date.now() - 600_000).toISOString();
    await (await plainClient(broker.url)).publishAsync('in', JSON.stringify({ ts, pad: '' }), { qos: 2 });
    await until('all are counted', () => total() >= 400, 30_000).catch(() => {});
    expect(total()).toBe(400);
  });
});
