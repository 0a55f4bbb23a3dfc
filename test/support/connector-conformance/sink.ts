import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Outgoing, Refusal, Sink } from '../../../src/connectors/connector.ts';
import type { PenstockError } from '../../../src/errors.ts';
import { until } from '../until.ts';
import {
  type AnyContext,
  type Context,
  failureOf,
  given,
  isPending,
  leavingNothing,
  quietMs,
  type Subject,
  testsOpening,
  texts,
} from './subject.ts';

export interface SinkSubject extends Subject {
  /** The payloads that have arrived from a sink of this context. */
  written?(context: Context): string[];
  /** A refused message, and its code. */
  refused?: { message: Outgoing; code: string };
  /** A context whose other side confirms nothing. */
  stalled?(): Promise<Stalled>;
}

interface Stalled {
  context: AnyContext;
  /** Number of messages sent. */
  sent(): number;
  /** The size of a message, if the other side accepts small ones at once. */
  bytes?: number;
}

const outgoing = (count: number, first = 0, bytes = 0): Outgoing[] =>
  Array.from({ length: count }, (_, index) => ({
    payload: Buffer.from(`m${first + index}`.padEnd(bytes, '.')),
    row: {},
  }));

export function testSink(subject: SinkSubject): void {
  const { connector, context, written, refused, stalled, breakable } = subject;
  const open = (own: Context): Promise<Sink> => connector.openSink?.(own) as Promise<Sink>;
  /** A sink with more to write than its window, and no confirmations. */
  const stuck = async () => {
    const { context: own, sent, bytes = 0 } = await given(stalled)();
    const abort = new AbortController();
    const sink = await open({ ...own, window: 8, signal: abort.signal });
    const pending = sink.write(outgoing(24, 0, bytes));
    pending.catch(() => {});
    await until('the first message to be sent', () => sent() > 0);
    return { sink, pending, sent, abort, bytes };
  };

  describe(`the sink of ${connector.name}`, () => {
    testsOpening(subject, open, async (sink: Sink) => {
      for (;;) {
        await sink.write(outgoing(1));
        await pause(1);
      }
    });

    test('writes in the order of the calls, which may overlap', async () => {
      const own = context();
      await leavingNothing(own, async () => {
        const sink = await open(own);
        const calls = Array.from({ length: 5 }, (_, call) => sink.write(outgoing(10, call * 10)));
        expect(await Promise.all(calls)).toEqual(calls.map((): Refusal[] => []));
        if (written) {
          await until('all messages', () => written(own).length >= 50);
          expect(written(own)).toEqual(texts(outgoing(50)));
        }
        expect(await sink.write([])).toEqual([]);
        await sink.close();
        await failureOf(sink.write(outgoing(1)));
      });
    });

    test.runIf(refused)('returns a refusal by its index, and writes all others', async () => {
      const { message, code } = given(refused);
      const own = context();
      const sink = await open(own);
      const [first, second] = outgoing(2) as [Outgoing, Outgoing];
      const refusals = await sink.write([first, message, second, message]);
      expect(refusals.map(({ index, error }) => [index, error.code])).toEqual([
        [1, code],
        [3, code],
      ]);
      for (const { error } of refusals) await failureOf(Promise.reject(error));
      await until('the others', () => written?.(own).length === 2);
      expect(written?.(own)).toEqual(texts([first, second]));
      await sink.close();
    });

    test.runIf(stalled)(
      'confirms nothing before the other side does, and sends no more than the window',
      async () => {
        const { sink, pending, sent } = await stuck();
        expect(await isPending(pending)).toBe(true);
        expect(sent()).toBeLessThanOrEqual(8);
        await sink.close();
        await failureOf(pending);
      },
    );

    test.runIf(stalled)('rejects what is pending with the reason when it is aborted', async () => {
      const { sink, pending, abort } = await stuck();
      const reason = new Error('stop it');
      abort.abort(reason);
      expect(await failureOf(pending)).toBe(reason);
      expect(await failureOf(sink.write(outgoing(1)))).toBe(reason);
      await sink.close();
    });

    test.runIf(breakable)('rejects when the connection is lost, and says so once', async () => {
      const { context: own, cut } = await given(breakable)();
      await leavingNothing(own, async () => {
        const lost: PenstockError[] = [];
        const sink = await open({ ...own, lost: (error) => void lost.push(error) });
        expect(await sink.write(outgoing(1))).toEqual([]);
        await cut();
        expect(await failureOf(sink.write(outgoing(1)))).toMatchObject({ passing: true });
        await until('it to say so', () => lost.length > 0);
        await failureOf(sink.write(outgoing(1)));
        await pause(quietMs);
        expect(lost.map(({ passing }) => passing)).toEqual([true]);
        await sink.close();
      });
    });
  });
}
