import type { ConsumeMessage } from 'amqplib';
import { expect, test } from 'vitest';
import type { OpenChannel } from './client.ts';
import { Consumer } from './consumer.ts';

/** A channel without a server: what is called on it, and requests that are resolved by hand. */
class FakeChannel {
  readonly open = true;
  readonly calls: string[] = [];
  failing: Error | undefined;
  /** Set while responses are held back. */
  held: (() => void)[] | undefined;
  #deliver: (message: ConsumeMessage) => void = () => {};
  #tag = 0;

  readonly raw = {
    prefetch: (count: number) => this.#request(`prefetch ${count}`),
    consume: (_: string, deliver: (message: ConsumeMessage) => void) => {
      this.#deliver = deliver;
      return this.#request('consume');
    },
    cancel: () => this.#request('cancel'),
    ack: ({ fields }: ConsumeMessage, upTo: boolean) =>
      this.#sends(`ack ${upTo ? '<=' : ''}${fields.deliveryTag}`),
    nack: ({ fields }: ConsumeMessage) => this.#sends(`nack ${fields.deliveryTag}`),
  };

  until<T>(work: Promise<T>): Promise<T> {
    return work;
  }

  whenClosed(): void {}

  arrive(bytes = 1): void {
    this.#tag += 1;
    const fields = { deliveryTag: this.#tag };
    this.#deliver({ content: Buffer.alloc(bytes), fields, properties: {} } as ConsumeMessage);
  }

  release(): void {
    const held = this.held ?? [];
    this.held = undefined;
    for (const each of held) each();
  }

  #sends(what: string): void {
    if (this.failing) throw this.failing;
    this.calls.push(what);
  }

  #request(what: string): Promise<void> {
    this.calls.push(what);
    return new Promise((resolve) => {
      if (this.held) this.held.push(resolve);
      else resolve();
    });
  }
}

async function started(prefetch = 100) {
  const channel = new FakeChannel();
  const options = { queue: 'q', prefetch };
  const consumer = new Consumer(channel as unknown as OpenChannel, options, new AbortController().signal);
  await consumer.start();
  const messages = consumer[Symbol.asyncIterator]();
  const next = async () => (await messages.next()).value as ConsumeMessage;
  return { channel, consumer, messages, next };
}

/** Lets promises and immediates run. */
const turn = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
const mebibyte = 1024 * 1024;

test('acknowledges with few frames, also behind a message that is open', async () => {
  const { channel, consumer, next } = await started();
  const taken: ConsumeMessage[] = [];
  for (let n = 0; n < 6; n++) channel.arrive();
  for (let n = 0; n < 6; n++) taken.push(await next());
  channel.calls.length = 0;
  const settle = async (...tags: number[]) => {
    for (const tag of tags) consumer.acknowledge(taken[tag - 1] as ConsumeMessage);
    await turn();
  };
  await settle(2, 1);
  await settle(4, 6);
  await settle(3);
  await settle(5);
  expect(channel.calls).toEqual(['ack <=2', 'ack 4', 'ack 6', 'ack <=3', 'ack <=5']);
});

test('ends with the error of an acknowledgement that cannot be sent', async () => {
  const { channel, consumer, messages, next } = await started();
  channel.arrive();
  const message = await next();
  channel.failing = Object.assign(new Error('Channel closing'), { name: 'IllegalOperationError' });
  consumer.acknowledge(message);
  await expect(messages.next()).rejects.toMatchObject({ code: 'connection_lost', passing: true });
  consumer.flush();
});

test('gives back what has no room, and takes more again when messages are smaller', async () => {
  const { channel, consumer, next } = await started();
  channel.arrive(16 * mebibyte);
  channel.arrive();
  const large = await next();
  const following = next();
  await turn();
  expect(channel.calls).toEqual(['prefetch 100', 'consume', 'cancel', 'nack 2', 'prefetch 2', 'consume']);
  consumer.acknowledge(large);
  channel.arrive();
  consumer.acknowledge(await following);
  for (let n = 0; n < 60; n++) {
    channel.arrive();
    consumer.acknowledge(await next());
  }
  const last = next();
  await turn();
  expect(channel.calls.filter((call) => !call.startsWith('ack')).slice(6)).toEqual([
    'cancel',
    'prefetch 100',
    'consume',
  ]);
  channel.arrive();
  expect((await last).content).toHaveLength(1);
});

test('begins no more when it is over meanwhile', async () => {
  const { channel, consumer, messages, next } = await started();
  channel.arrive(16 * mebibyte);
  consumer.acknowledge(await next());
  channel.held = [];
  const ending = messages.next();
  await turn();
  consumer.finish();
  void consumer.cancel();
  channel.release();
  expect(await ending).toMatchObject({ done: true });
  const begun = channel.calls.filter((call) => call === 'consume').length;
  expect(channel.calls.filter((call) => call === 'cancel')).toHaveLength(begun);
});

test('ends when the server does not respond to the end of a consumer', async () => {
  const { channel, messages, next } = await started();
  channel.raw.cancel = () => Promise.reject(new Error('no response'));
  channel.arrive(16 * mebibyte);
  await next();
  await expect(messages.next()).rejects.toThrow('no response');
});
