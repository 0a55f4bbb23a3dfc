import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { allDeadLetters, deadLetterOf } from '../support/dead-letters.ts';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { until } from '../support/until.ts';
import { faults, type Side } from './faults.ts';

/**
 * Good and bad messages, each with a key, under random faults: brokers restarted, connections refused, links cut or
 * silent at either side, edits, and kills of the process. Every good one arrives, and every bad one is a dead letter.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const durationMs = soak ? Number(process.env.PENSTOCK_SOAK_SECONDS ?? 90) * 1000 : 4_000;
const perSecond = soak ? 300 : 100;
const badEveryMs = soak ? 20 : 100;
const seed = Number(process.env.PENSTOCK_SEED ?? (soak ? Date.now() % 1_000_000 : 5115));

type Step = (at: FaultyPipeline, brokers: Record<Side, Mosquitto>) => Promise<unknown>;

const strike =
  (name: string, side: Side): Step =>
  (at, brokers) => {
    const fault = faults.find((one) => one.name === name);
    if (!fault) throw new Error(`There is no fault ${name}`);
    return fault.strike({ side, broker: brokers[side], link: at[side], rig: at, soak });
  };

const refused =
  (side: Side): Step =>
  async (at) => {
    at[side].refuse();
    await sleep(300);
    await at[side].heal();
  };

const kill: Step = async ({ penstock }) => {
  await penstock.kill('SIGKILL');
  await penstock.resume();
};

const edit =
  (parallelism: number): Step =>
  (at) =>
    at.patch({ parallelism }).catch(() => undefined);

const steps: Step[] = [
  strike('broker restarted, persistent', 'source'),
  strike('broker restarted, persistent', 'sink'),
  strike('reset in the middle of a packet', 'source'),
  strike('reset in the middle of a packet', 'sink'),
  strike('link cut silently', 'source'),
  strike('link cut silently', 'sink'),
  refused('source'),
  refused('sink'),
  edit(3),
  edit(1),
  edit(2),
  kill,
];
const inCheck = [steps[0], refused('source'), edit(2), kill] as Step[];

test(
  'every bad message is a dead letter, by its key, whatever fails',
  async () => {
    const broker = () => Mosquitto.start({ config: ['max_queued_messages 1000000'], quiet: true });
    const brokers = { source: await broker(), sink: await broker() };
    const at = await FaultyPipeline.start({
      ...brokers,
      qos: 1,
      profile: { keepAliveSecs: 2, connectTimeoutMs: 2_000 },
      schema: { bad_data: { behavior: 'dead_letter', max_count: 1_000_000 } },
    });
    const { traffic, penstock } = at;
    const order = soak
      ? fc.sample(fc.constantFrom(...steps), { numRuns: 10_000, seed }).values()
      : inCheck.values();
    const stop = traffic.keepPublishing(perSecond);
    let bad = 0;
    let publishing = true;
    const confirmed = async (key: number): Promise<void> => {
      while (true) {
        try {
          await traffic.publishRaw(JSON.stringify({ device: 'd', seq: `bad ${key}` }));
          return;
        } catch {
          await sleep(20);
        }
      }
    };
    const badOnes = (async () => {
      const pending: Promise<void>[] = [];
      while (publishing) {
        pending.push(confirmed(bad++));
        await sleep(badEveryMs);
      }
      await Promise.all(pending);
    })();
    const end = performance.now() + durationMs;
    let taken = 0;
    for (const step of order) {
      await step(at, brokers);
      taken += 1;
      await sleep(300);
      if (performance.now() > end) break;
    }
    publishing = false;
    await Promise.all([stop(), badOnes]);
    await until('every good one arrives', () => traffic.arrived === traffic.sent, 120_000).catch(() => {});
    const keys = new Map<string, number>();
    const read = new Set<string>();
    const missing = () =>
      Array.from({ length: bad }, (_, key) => `bad ${key}`).filter((key) => !keys.has(key));
    await until(
      'every bad one is stored',
      async () => {
        for (const { id } of (await allDeadLetters(penstock.request, at.id).catch(() => undefined)) ?? []) {
          if (read.has(id)) continue;
          // An overloaded process may refuse a request; the next round asks again.
          const letter = await deadLetterOf(penstock.request, at.id, id).catch(() => undefined);
          if (!letter) return false;
          const { payload } = letter;
          const { seq } = JSON.parse(Buffer.from(payload.base64, 'base64').toString()) as { seq: string };
          keys.set(seq, (keys.get(seq) ?? 0) + 1);
          read.add(id);
        }
        return missing().length === 0;
      },
      soak ? 300_000 : 60_000,
    ).catch(() => {});
    console.log(
      `seed ${seed}: ${taken} steps, ${traffic.sent} good, ${traffic.missing.length} lost, ${bad} bad, ` +
        `${missing().length} without a dead letter, ${read.size - keys.size} stored twice`,
    );
    expect(traffic.missing).toEqual([]);
    expect(missing()).toEqual([]);
    // The last step kills Penstock, and all may have arrived before it.
    await until('the job runs', async () => (await at.job()).state === 'Running');
  },
  durationMs + 600_000,
);
