import { expect, test } from 'vitest';
import { allDeadLetters, deadLetterOf } from '../support/dead-letters.ts';
import { endpoint } from '../support/http-endpoint.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { plainClient } from '../support/mqtt.ts';
import { Penstock } from '../support/penstock.ts';
import { created, createTables, jobOf } from '../support/resources.ts';
import { until } from '../support/until.ts';

/**
 * MQTT to an HTTP server that responds with 500, hangs, resets connections and refuses some messages, while Penstock and the
 * broker are killed. Every message arrives, or is a dead letter if the server refuses it.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const messages = soak ? 50_000 : 300;
const kills = soak ? 3 : 1;
const patience = soak ? 900_000 : 90_000;
const refusedEvery = 50;

test(
  'loses nothing at a server that fails in every way, while everything is killed',
  async () => {
    const broker = await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
    const penstock = await Penstock.start();
    const at = await endpoint();
    const taken = new Set<number>();
    let requests = 0;
    let calm = false;
    at.reply = ({ body }) => {
      const { seq } = JSON.parse(body) as { seq: number };
      at.received.length = 0;
      requests += 1;
      const chance = calm ? 1 : Math.random();
      if (seq % refusedEvery === 0) return 422;
      if (chance < 0.01) return 500;
      if (chance < 0.013) return undefined;
      if (chance < 0.018) for (const socket of at.sockets) socket.destroy();
      taken.add(seq);
      return 200;
    };
    await createTables(penstock.request, broker.url, { from: 'in' });
    const hook = {
      name: 'hook',
      connector: 'webhook',
      config: { endpoint: at.url, concurrency: 8, timeout_ms: 1_000 },
      schema: { format: { type: 'json' }, inferred: true, bad_data: { behavior: 'dead_letter' } },
    };
    await created(penstock.request, '/connection_tables', hook);
    const query = 'INSERT INTO hook SELECT seq FROM readings';
    const { id } = await created(penstock.request, '/pipelines', { name: 'p', query, parallelism: 1 });
    const state = async () => (await jobOf(penstock.request, id)).state;
    await until('the job runs', async () => (await state()) === 'Running');

    const strike = async () => {
      await penstock.kill();
      await penstock.resume();
      // mosquitto saves its queues when it is asked to end.
      await broker.kill('SIGTERM');
      await broker.resume();
    };
    const publish = async (from: number, to: number) => {
      const client = await plainClient(broker.url);
      for (let seq = from; seq < to; seq += 100)
        await Promise.all(
          Array.from({ length: Math.min(100, to - seq) }, (_, index) =>
            client.publishAsync('in', JSON.stringify({ device: 'a', seq: seq + index, celsius: 1 }), {
              qos: 1,
            }),
          ),
        );
      await client.endAsync();
    };
    const part = Math.ceil(messages / (kills + 1));
    for (let kill = 0; kill <= kills; kill++) {
      const before = requests;
      await publish(kill * part, Math.min((kill + 1) * part, messages));
      await until('requests', () => requests > before, 60_000);
      if (kill < kills) await strike();
    }
    calm = true;
    const refused = Array.from(
      { length: Math.ceil(messages / refusedEvery) },
      (_, index) => index * refusedEvery,
    );
    await until('every message', () => taken.size === messages - refused.length, patience).catch(() => {});
    const missing = Array.from({ length: messages }, (_, seq) => seq).filter(
      (seq) => !taken.has(seq) && seq % refusedEvery !== 0,
    );
    expect(missing).toEqual([]);
    const letters = await deadLetters(penstock.request, id, refused.length);
    expect(letters).toEqual(refused);
    await until('the job runs', async () => (await state()) === 'Running');
  },
  patience * 2,
);

/** The numbers of a pipeline's dead letters, once there are `count` different ones. */
async function deadLetters(request: Penstock['request'], pipeline: string, count: number): Promise<number[]> {
  const numbers = new Map<string, number>();
  await until(
    'the dead letters',
    async () => {
      for (const { id } of await allDeadLetters(request, pipeline)) {
        if (numbers.has(id)) continue;
        const { payload } = await deadLetterOf(request, pipeline, id);
        numbers.set(id, JSON.parse(payload.text ?? '').seq);
      }
      return new Set(numbers.values()).size >= count;
    },
    patience,
  );
  return [...new Set(numbers.values())].sort((a, b) => a - b);
}
