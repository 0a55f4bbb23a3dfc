import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { useRig } from './support/rig.ts';
import { until } from './support/until.ts';

/** Applies the bundles of docs/windows.md as they are printed there, and feeds them. */

const text = readFileSync(new URL('../docs/windows.md', import.meta.url), 'utf8');
const rig = useRig({ service: { worker: true } });

type Message = readonly [topic: string, message: object];

interface Recipe {
  /** In order. The last ones only close windows. */
  messages: readonly Message[];
  /** Sent when the first result has come. */
  later?: readonly Message[];
  /** What comes to its topic below `results/`. */
  rows: readonly object[];
}

const at = (time: string) => `2024-01-31T${time}Z`;
const many = (count: number, device: string) =>
  Array.from(
    { length: count },
    () => [`plant/${device}/alarms`, { device, raised_at: at('07:11:00') }] as const,
  );
const reading = (time: string, celsius: number, device = 'oven') =>
  [`plant/${device}/readings`, { device, measured_at: at(time), celsius }] as const;
const sensor = (kind: string, device: string, time: string, value: number) =>
  [`plant/${device}/${kind}`, { device, measured_at: at(time), value }] as const;
const scan = (id: string, badge: string, time: string) =>
  ['plant/north/scans', { id, gate: 'north', badge, scanned_at: at(time) }] as const;

const recipes: Readonly<Record<string, Recipe>> = {
  minutes: {
    messages: [
      reading('07:15:01', 20),
      reading('07:16:05', 30),
      // 10 seconds may pass before a minute closes.
      reading('07:15:59', 22),
      reading('07:15:30', -4, 'freezer'),
      reading('07:16:10', 31),
    ],
    // The first one is late.
    later: [reading('07:15:58', 1000), reading('07:17:10', 0)],
    rows: [
      { minute: at('07:15:00'), device: 'freezer', average: -4, lowest: -4, highest: -4, readings: 1 },
      { minute: at('07:15:00'), device: 'oven', average: 21, lowest: 20, highest: 22, readings: 2 },
      { minute: at('07:16:00'), device: 'oven', average: 30.5, lowest: 30, highest: 31, readings: 2 },
    ],
  },
  noisiest: {
    messages: [
      ...Array.from({ length: 12 }, (_, index) => many(12 - index, `d${index + 10}`)).flat(),
      ['plant/d10/alarms', { device: 'd10', raised_at: at('07:15:10') }],
    ],
    rows: Array.from({ length: 10 }, (_, index) => ({
      until: at('07:15:00'),
      place: index + 1,
      device: `d${index + 10}`,
      alarms: 12 - index,
    })),
  },
  silences: {
    messages: [
      ['plant/pump/heartbeat', { device: 'pump' }],
      ['plant/pump/heartbeat', { device: 'pump' }],
    ],
    rows: [{ device: 'pump', first_seen: expect.any(String), last_seen: expect.any(String), heartbeats: 2 }],
  },
  climate: {
    messages: [
      sensor('temperature', 'attic', '07:15:01', 20),
      sensor('temperature', 'attic', '07:15:31', 22),
      sensor('temperature', 'cellar', '07:15:31', 8),
      sensor('humidity', 'attic', '07:15:20', 45),
      sensor('humidity', 'attic', '07:16:10', 60),
      sensor('temperature', 'attic', '07:16:10', 25),
    ],
    rows: [
      { minute: at('07:15:00'), device: 'attic', celsius: 21, humidity: 45 },
      { minute: at('07:15:00'), device: 'cellar', celsius: 8, humidity: null },
    ],
  },
  entries: {
    messages: [
      scan('1', 'ada', '07:15:00'),
      scan('2', 'bob', '07:20:00'),
      scan('1', 'ada', '07:15:00'),
      scan('3', 'ada', '07:25:00'),
      scan('4', 'ada', '08:00:10'),
    ],
    rows: [{ hour: at('07:00:00'), gate: 'north', entries: 3, people: 2 }],
  },
};

const bundles = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, bundle]) => bundle as string);

test('the recipes of docs/windows.md have these results', { timeout: 240_000 }, async () => {
  const topics = bundles.map((bundle) => /topic: results\/(\w+)/.exec(bundle)?.[1]);
  expect(topics).toEqual(Object.keys(recipes));
  for (const bundle of bundles) {
    // Nothing else decides when silence is over but the clock.
    const quick = bundle
      .replace('mqtt://localhost:1883', rig.broker.url)
      .replaceAll("INTERVAL '2 minutes'", "INTERVAL '1 second'");
    const applied = await rig.request
      .post('/api/v1/apply')
      .set('content-type', 'application/yaml')
      .send(quick);
    expect([applied.status, applied.body.errors ?? applied.body.detail]).toEqual([200, undefined]);
  }
  const { body } = await rig.request.get('/api/v1/pipelines?limit=100');
  expect(body.data).toHaveLength(bundles.length);
  for (const { id } of body.data) await rig.inState(id, 'Running', 60_000);
  const results: Record<string, object[]> = {};
  rig.client.on('message', (topic, payload) => {
    const name = topic.split('/')[1] as string;
    results[name] = [...(results[name] ?? []), JSON.parse(payload.toString())];
  });
  await rig.client.subscribeAsync('results/#', { qos: 1 });
  const send = async (messages: readonly Message[]) => {
    for (const [topic, message] of messages)
      await rig.client.publishAsync(topic, JSON.stringify(message), { qos: 1 });
  };
  for (const { messages } of Object.values(recipes)) await send(messages);
  for (const [name, { later }] of Object.entries(recipes)) {
    if (!later) continue;
    await until(`${name} has a result`, () => results[name] !== undefined);
    await send(later);
  }
  const isDone = () =>
    Object.entries(recipes).every(([name, { rows }]) => (results[name]?.length ?? 0) >= rows.length);
  await until('all results have come', isDone).catch(() => undefined);
  for (const [name, { rows }] of Object.entries(recipes))
    expect([name, [...(results[name] ?? [])].sort(byText)]).toEqual([name, [...rows].sort(byText)]);
});

const byText = (one: object, other: object): number => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1);
