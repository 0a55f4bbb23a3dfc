import { describe, expect, test } from 'vitest';
import { faulty, mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import { errorOf, targets } from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import { autocomplete } from './watch.ts';

const broker = await mosquitto();

const topicsOf = async (url: string, signal = new AbortController().signal) =>
  (await autocomplete({ profile: { url, will: { topic: 'gone' } }, targets, signal })).topic;

describe('autocompletion of topics', () => {
  test('finds topics of retained and live messages, and leaves nothing behind', async () => {
    const client = await ordinaryClient(broker.url);
    await client.publishAsync('kept/b', 'x', { qos: 1, retain: true });
    // All the time, because it does not look for long.
    const sending = setInterval(() => client.publish('live/a', 'x', { qos: 1 }), 20);
    expect(await topicsOf(broker.url).finally(() => clearInterval(sending))).toEqual(['kept/b', 'live/a']);
    await until('its end', () => /Client penstock_check_\w+ (closed|disconnected)/.test(broker.log));
    const seen: string[] = [];
    client.on('message', (topic) => seen.push(topic));
    await client.subscribeAsync('gone');
    await client.publishAsync('gone', 'mine', { qos: 1 });
    await until('a message', () => seen.length > 0);
    expect(seen).toEqual(['gone']);
  });

  test('stops at a thousand topics, or at the payload limit', async () => {
    const flooding = (topic: (index: number) => string, bytes: number) =>
      scripted({
        on: (packet, connection) => {
          if (packet.cmd !== 'subscribe') return false;
          connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted: [0] });
          for (let index = 0; index < 1_100; index += 1) {
            const payload = Buffer.alloc(bytes);
            connection.send({
              cmd: 'publish',
              topic: topic(index),
              payload,
              qos: 0,
              dup: false,
              retain: true,
            });
          }
          return true;
        },
      });
    /** It looks for two seconds, in which a busy machine may not even connect. */
    const found = async (url: string) => (await topicsOf(url).catch(() => undefined))?.length;
    const many = await flooding((index) => `t/${index}`, 1);
    await expect.poll(() => found(many.url), { timeout: 60_000 }).toBe(1_000);
    const long = await flooding((index) => `${index}/${'x'.repeat(1_000)}`, 1);
    expect(await until('some', () => found(long.url))).toBeLessThan(70);
    const heavy = await flooding((index) => `t/${index}`, 100_000);
    expect(await until('some', () => found(heavy.url))).toBeLessThan(60);
  });

  test('tries +/# if # is refused, and reports the refusal of both', async () => {
    const asked: string[] = [];
    let allowed = '+/#';
    const { url } = await scripted({
      on: (packet, connection) => {
        if (packet.cmd !== 'subscribe') return false;
        const filter = packet.subscriptions[0]?.topic ?? '';
        asked.push(filter);
        const granted = [filter === allowed ? 0 : 0x87] as never;
        connection.send({ cmd: 'suback', messageId: packet.messageId ?? 0, granted });
        return true;
      },
    });
    expect(await topicsOf(url)).toEqual([]);
    expect(asked).toEqual(['#', '+/#']);
    allowed = '';
    expect((await errorOf(topicsOf(url))).code).toBe('mqtt_subscribe_refused');
  });

  test('gives up on a silent server, and stops at once when its signal aborts', async () => {
    const silent = await faulty((socket) => socket.resume());
    expect((await errorOf(topicsOf(silent.url))).code).toBe('connection_timeout');
    const caller = new AbortController();
    const reason = new Error('gone');
    const looking = topicsOf(silent.url, caller.signal);
    setImmediate(() => caller.abort(reason));
    await expect(looking).rejects.toBe(reason);
    await until('the end of the connections', () => silent.open === 0);
  });
});
