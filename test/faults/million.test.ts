import { expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

const messages = 1_000_000;
const everyMs = 500;

const megabytes = (bytes: number): number => Math.round(bytes / 2 ** 20);

const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;

test.skipIf(onlyInSoak !== undefined)(
  skipping('a million messages go through one pipeline: none is lost, in order, in flat memory', onlyInSoak),
  async () => {
    const broker = () => Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
    const rig = await FaultyPipeline.start({ source: await broker(), sink: await broker(), qos: 1 });
    const { traffic, ledger, penstock } = rig;
    const resident: number[] = [];
    const sampling = setInterval(() => resident.push(penstock.residentBytes), everyMs);
    const since = performance.now();
    await traffic.publish(messages);
    await until('every message arrives', () => traffic.arrived === messages, 900_000).catch(() => {});
    await until('all are acknowledged', () => ledger.acknowledged >= messages).catch(() => {});
    const seconds = Math.round((performance.now() - since) / 1000);
    const third = Math.floor(resident.length / 3);
    const first = megabytes(median(resident.slice(0, third)));
    const last = megabytes(median(resident.slice(-third)));
    console.log(
      `${messages} sent, ${traffic.missing.length} lost, ${traffic.duplicated} twice, ${seconds} s; ` +
        `resident ${first} MB in the first third, ${last} MB in the last, ${megabytes(Math.max(...resident))} MB at most`,
    );
    expect(traffic.missing).toEqual([]);
    expect(ledger).toMatchObject({ acknowledged: messages, early: 0, disordered: 0 });
    // A leak per message would be larger: 100 bytes per message are 95 MB.
    expect(last).toBeLessThan(first + 64);
    clearInterval(sampling);
  },
  1_800_000,
);
