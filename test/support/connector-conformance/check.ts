import { describe, expect, test } from 'vitest';
import { errorCatalog } from '../../../src/connectors/catalog.ts';
import type { CheckStep } from '../../../src/connectors/connector.ts';
import { abortedEverywhere, type Context, leavingNothing, noTargets, type Subject } from './subject.ts';

export interface CheckSubject extends Subject {
  /** Everything that a test could leave behind on the other side. */
  traces(): Promise<unknown>;
}

const outcomes = ['ok', 'warning', 'failed', 'skipped'];

export function testCheck(subject: CheckSubject): void {
  const { connector, context, traces, dials } = subject;
  const check = async ({ profile, targets, table, signal }: Context): Promise<CheckStep[]> => {
    const steps: CheckStep[] = [];
    const report = (step: CheckStep) => void steps.push(step);
    const options = { schema: undefined, probe: 'publish', stepTimeoutMs: 30_000 } as const;
    await connector.check?.({ profile, targets, table, signal, report, ...options });
    return steps;
  };
  /** Everything works, so that all steps are reported. */
  const sound = (steps: readonly CheckStep[]): void => {
    expect(steps.length).toBeGreaterThan(0);
    for (const { outcome, code, message, durationMs } of steps) {
      expect(outcomes).toContain(outcome);
      expect(code === null).toBe(outcome === 'ok' || outcome === 'skipped');
      if (code !== null) expect(Object.keys(errorCatalog)).toContain(code);
      expect(message).not.toBe('');
      expect(durationMs).toBeGreaterThanOrEqual(0);
    }
  };

  describe(`the test of ${connector.name}`, () => {
    test('reports its steps with known codes, and leaves nothing behind', async () => {
      const own = context();
      const before = await traces();
      await leavingNothing(own, async () => {
        const steps = await check(own);
        sound(steps);
        expect(steps.filter(({ outcome }) => outcome === 'failed')).toEqual([]);
      });
      // The other side may notice the end of a connection later.
      await expect.poll(traces, { timeout: 60_000 }).toEqual(before);
    });

    test('rejects with the reason when it is aborted, at any time', async () => {
      const own = context();
      const before = await traces();
      await leavingNothing(own, () =>
        abortedEverywhere(
          (signal) => check({ ...own, signal }),
          async (steps) => sound(steps),
        ),
      );
      // The other side may notice the end of a connection later.
      await expect.poll(traces, { timeout: 60_000 }).toEqual(before);
    });

    test.runIf(dials)('respects the targets', async () => {
      const { asked, context: fenced } = noTargets(context());
      const steps = await check(fenced);
      sound(steps);
      expect(steps.find(({ outcome }) => outcome === 'failed')).toMatchObject({ code: 'target_not_allowed' });
      expect(asked).not.toEqual([]);
    });
  });
}
