import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Delivery, Source } from '../../../src/connectors/connector.ts';
import { until } from '../until.ts';
import {
  type Context,
  failureOf,
  given,
  leavingNothing,
  quietMs,
  type Subject,
  testsOpening,
  texts,
} from './subject.ts';

export interface SourceSubject extends Subject {
  /** Makes `count` messages of `bytes` arrive; does nothing for a connector that generates its messages. */
  send(context: Context, count: number, bytes?: number): Promise<void>;
  /** Whether the other side keeps exactly the unacknowledged messages. */
  keeps: boolean;
  /** Whether acknowledgements leave in the order of the calls, so that a later message may overtake an earlier one. */
  anyOrder?: boolean;
  /** Maximum size of unsettled payloads. */
  maxBytes?: number;
}

/** Collects the messages of a source until it ends. */
class Collected {
  readonly deliveries: Delivery[] = [];
  /** Resolves with the error of the iteration, or undefined. */
  readonly end: Promise<unknown>;

  constructor(source: Source) {
    this.end = this.#read(source).then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  async take(count: number): Promise<Delivery[]> {
    await until(`${count} messages`, () => this.deliveries.length >= count);
    return this.deliveries.slice(0, count);
  }

  async #read(source: Source): Promise<void> {
    for await (const batch of source) {
      expect(batch.length).toBeGreaterThan(0);
      this.deliveries.push(...batch);
    }
  }
}

export function testSource(subject: SourceSubject): void {
  const { connector, context, send, keeps, breakable, anyOrder = false, maxBytes } = subject;
  const open = (own: Context): Promise<Source> => connector.openSource?.(own) as Promise<Source>;

  describe(`the source of ${connector.name}`, () => {
    testsOpening(subject, open, async (source: Source) => {
      for await (const _ of source);
      throw new Error('the iteration ended');
    });

    test.runIf(keeps)('gets again what it has not acknowledged, and nothing else', async () => {
      const own = context();
      const first = await open(own);
      await send(own, 5);
      const taken = await new Collected(first).take(5);
      for (const delivery of taken.slice(0, 2)) delivery.ack();
      await first.close();
      const second = await open(own);
      const again = await new Collected(second).take(3);
      expect(texts(again)).toEqual(texts(taken.slice(2)));
      await pause(quietMs);
      for (const delivery of [...taken, ...again]) delivery.ack();
      await second.close();
    });

    test.runIf(keeps && !anyOrder)(
      'acknowledges in order: a later message does not overtake an earlier one',
      async () => {
        const own = context();
        const first = await open(own);
        await send(own, 3);
        const taken = await new Collected(first).take(3);
        for (const delivery of taken.slice(1)) delivery.ack();
        await first.close();
        const second = await open(own);
        expect(texts(await new Collected(second).take(3))).toEqual(texts(taken));
        await second.close();
      },
    );

    test.runIf(keeps && anyOrder)('acknowledges in any order', async () => {
      const own = context();
      const first = await open(own);
      await send(own, 4);
      const taken = await new Collected(first).take(4);
      taken[3]?.ack();
      taken[1]?.ack();
      await first.close();
      const second = await open(own);
      const again = await new Collected(second).take(2);
      expect(texts(again)).toEqual(texts([taken[0], taken[2]] as Delivery[]));
      await pause(quietMs);
      for (const delivery of again) delivery.ack();
      await second.close();
    });

    test('hands out no more than the window, and goes on as messages are acknowledged', async () => {
      const own = { ...context(), window: 5 };
      const source = await open(own);
      const collected = new Collected(source);
      await send(own, 12);
      const held = await collected.take(5);
      await pause(quietMs);
      expect(collected.deliveries.length).toBe(5);
      for (const delivery of held.slice(0, 2)) delivery.ack();
      await collected.take(7);
      await pause(quietMs);
      expect(collected.deliveries.length).toBe(7);
      await source.close();
    });

    test('throws the reason when it is aborted while the window is full', async () => {
      const abort = new AbortController();
      const own = { ...context(), window: 1, signal: abort.signal };
      const source = await open(own);
      const collected = new Collected(source);
      await send(own, 2);
      await collected.take(1);
      await pause(quietMs);
      const reason = new Error('stop it');
      abort.abort(reason);
      expect(await Promise.race([collected.end, pause(30_000, 'it waits', { ref: false })])).toBe(reason);
      await source.close();
    });

    test.runIf(maxBytes !== undefined)('holds no more bytes than it may', async () => {
      const own = { ...context(), window: 1000 };
      const bytes = Math.ceil((maxBytes as number) / 8);
      const source = await open(own);
      const collected = new Collected(source);
      await send(own, 12, bytes);
      const held = await collected.take(8);
      await pause(5 * quietMs);
      expect(collected.deliveries.length).toBeLessThanOrEqual(9);
      for (const delivery of held) delivery.ack();
      await collected.take(12);
      await source.close();
    });

    test('ends after a drain with what has arrived, and takes acknowledgements until it is closed', async () => {
      const own = context();
      await leavingNothing(own, async () => {
        const source = await open(own);
        const collected = new Collected(source);
        await send(own, 3);
        const taken = await collected.take(3);
        await source.drain();
        expect(await collected.end).toBeUndefined();
        for (const delivery of taken) delivery.ack();
        await source.close();
        await source.drain();
      });
    });

    test.runIf(breakable)('throws when the connection is lost, and can be closed then', async () => {
      const { context: own, cut } = await given(breakable)();
      await leavingNothing(own, async () => {
        const source = await open(own);
        const collected = new Collected(source);
        await send(own, 1);
        const [held] = await collected.take(1);
        await cut();
        expect(await failureOf(collected.end.then((error) => Promise.reject(error)))).toMatchObject({
          passing: true,
        });
        held?.ack();
        await source.close();
      });
    });
  });
}
