import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { Mosquitto } from '../support/mosquitto.ts';
import { Penstock } from '../support/penstock.ts';
import { created, jobOf, profileBody, tableBody } from '../support/resources.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { Traffic } from '../support/traffic.ts';
import { until } from '../support/until.ts';

/** Real processes, killed while messages flow. `npm run soak` does the same for longer. */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 200_000 : 3_000;
const kills = soak ? 20 : 1;
const patience = soak ? 600_000 : 120_000;

let broker: Mosquitto;
let penstock: Penstock;

beforeEach(async () => {
  // By default messages beyond a queue of 1,000 are dropped silently.
  broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
  penstock = await Penstock.start();
});

const at = (topic: string) => ({ url: broker.url, topic });

async function startPipeline(qos: 'AtLeastOnce' | 'ExactlyOnce'): Promise<string> {
  const { request } = penstock;
  const profile = await created(request, '/connection_profiles', profileBody(broker.url));
  await created(
    request,
    '/connection_tables',
    tableBody('readings', profile.id, { topic: 'in', type: {}, qos }),
  );
  await created(
    request,
    '/connection_tables',
    tableBody('out', profile.id, { topic: 'out', type: { retain: false }, qos }),
  );
  const query = 'INSERT INTO out SELECT * FROM readings';
  const { id } = await created(request, '/pipelines', { name: 'all', query, parallelism: 1 });
  await until('the job runs', async () => (await jobOf(request, id)).state === 'Running');
  return id;
}

/** `count` random moments between the first and the last message, in order. */
const moments = (count: number): number[] =>
  Array.from({ length: count }, () => randomInt(messages / 20, messages)).sort((a, b) => a - b);

/** Calls `strike` at each moment, one after the other, while messages are published. */
async function underFire(traffic: Traffic, count: number, strike: () => Promise<void>): Promise<void> {
  const due = moments(count);
  let striking = Promise.resolve();
  let struck = 0;
  await traffic.publish(messages, (sent) => {
    while (struck < due.length && sent >= (due[struck] as number)) {
      struck++;
      striking = striking.then(strike);
    }
  });
  await striking;
  expect(struck).toBe(count);
}

/**
 * Waits until messages arrive again, so that the next strike hits a working pipeline. One that Penstock
 * had written before it was killed arrives late and says nothing of the new run: wait for that first.
 */
async function moving(traffic: Traffic): Promise<void> {
  const before = traffic.arrived;
  await until(
    'messages get through',
    async () => traffic.arrived > before || traffic.arrived >= messages,
    60_000,
  );
}

async function expectAllArrive(traffic: Traffic, what: string): Promise<void> {
  await until('every message arrives', async () => traffic.arrived === traffic.sent, patience).catch(
    () => {},
  );
  const { sent, missing, duplicated } = traffic;
  console.log(`${what}: ${sent} sent, ${missing.length} lost, ${duplicated} duplicated`);
  expect(missing.slice(0, 10)).toEqual([]);
}

// A check kills the process at QoS 2, and the broker at QoS 1; the soak both at both.
describe.each([
  { qos: 1, name: 'AtLeastOnce' },
  { qos: 2, name: 'ExactlyOnce' },
] as const)('at QoS $qos', ({ qos, name }) => {
  const [killSkipped, restartSkipped] = qos === 2 ? [undefined, onlyInSoak] : [onlyInSoak, undefined];
  test.skipIf(killSkipped !== undefined)(
    skipping(`nothing is lost when the process is killed ${kills} times`, killSkipped),
    async () => {
      const id = await startPipeline(name);
      const traffic = await Traffic.open(at('in'), at('out'), qos);
      let run = 1;
      await underFire(traffic, kills, async () => {
        await penstock.kill('SIGKILL');
        await pause(randomInt(300));
        await penstock.resume();
        run++;
        await until(
          `run ${run} has begun`,
          async () => {
            const job = await jobOf(penstock.request, id);
            return job.state === 'Running' && job.run_id === run;
          },
          60_000,
        );
        await moving(traffic);
      });
      await expectAllArrive(traffic, `${kills} × kill -9 of Penstock at QoS ${qos}`);
      await expect
        .poll(() => jobOf(penstock.request, id), { timeout: 60_000 })
        .toMatchObject({ state: 'Running', run_id: kills + 1 });
    },
    patience * 2,
  );

  test.skipIf(restartSkipped !== undefined)(
    skipping('nothing is lost when the broker is restarted, and the job recovers', restartSkipped),
    async () => {
      const id = await startPipeline(name);
      const traffic = await Traffic.open(at('in'), at('out'), qos);
      await underFire(traffic, kills, async () => {
        await broker.kill('SIGTERM');
        await pause(randomInt(300));
        await broker.resume();
        await moving(traffic);
      });
      await expectAllArrive(traffic, `${kills} × restart of the broker at QoS ${qos}`);
      await expect
        .poll(() => jobOf(penstock.request, id), { timeout: 60_000 })
        .toMatchObject({
          state: 'Running',
          run_id: 1,
          failure_reason: null,
        });
    },
    patience * 2,
  );
});

test('SIGTERM drains, exits with 0, and loses nothing', async () => {
  await startPipeline('AtLeastOnce');
  const traffic = await Traffic.open(at('in'), at('out'), 1);
  let exit: Promise<number | null> | undefined;
  await traffic.publish(2000, (sent) => {
    if (sent === 1000) exit = penstock.kill('SIGTERM');
  });
  expect(await exit).toBe(0);
  await penstock.resume();
  await expectAllArrive(traffic, 'SIGTERM in the middle at QoS 1');
});
