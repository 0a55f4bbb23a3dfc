import { getEventListeners } from 'node:events';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { errorCatalog } from '../../../src/connectors/catalog.ts';
import type { ConnectorDefinition, RunContext } from '../../../src/connectors/connector.ts';
import { PenstockError } from '../../../src/errors.ts';
import { until } from '../until.ts';

/**
 * Tests of the connector contract (src/connectors/connector.ts). The test of a connector provides ways to make messages, to
 * read them and to cut the connection. It omits what its kind of system does not have.
 */

export type Context = RunContext<unknown, unknown>;
// biome-ignore lint/suspicious/noExplicitAny: each connector has a configuration of its own
export type AnyContext = RunContext<any, any>;
type Connector = Pick<ConnectorDefinition, 'name' | 'openSource' | 'openSink' | 'check'>;

/** A context of a connector that has no profile. */
export const runContext = (table: object): Context => ({
  profile: {},
  table,
  schema: {},
  targets: { allowed: (_host, addresses) => [...addresses] },
  identity: { jobId: 'job_1', operatorId: 'op', taskIndex: 0 },
  window: 100,
  signal: new AbortController().signal,
  logger: { debug() {}, info() {}, warn() {}, error() {} },
  warn() {},
});

export interface Subject {
  connector: Connector;
  /** A separate context: a unique identity and topic. */
  context(): AnyContext;
  /** Whether it opens connections, which needs permission. */
  dials: boolean;
  /** A context whose connection `cut` breaks. */
  breakable?(): Promise<{ context: AnyContext; cut(): Promise<void> | void }>;
}

export const texts = (some: readonly { payload: Buffer }[]): string[] =>
  some.map(({ payload }) => String(payload));

/** A part of the subject that the test needs. */
export function given<T>(part: T | undefined): T {
  if (part === undefined) throw new Error('the subject has no such part');
  return part;
}

/** Long enough to show that something does not happen. */
export const quietMs = 200;

/** The error that a promise rejects with; every `PenstockError` must have a known code. */
export async function failureOf(promise: Promise<unknown>): Promise<unknown> {
  const error = await promise.then(
    () => {
      throw new Error('It did not fail');
    },
    (reason: unknown) => reason,
  );
  if (error instanceof PenstockError)
    expect(errorCatalog[error.code]).toMatchObject({ passing: error.passing });
  return error;
}

export const isPending = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => false).catch(() => false), pause(quietMs, true)]);

const openHandles = (): number =>
  process.getActiveResourcesInfo().filter((name) => /Wrap$/.test(name)).length;

/** Runs `work`, and checks that it leaves no socket and no listener behind. */
export async function leavingNothing(context: Context, work: () => Promise<void>): Promise<void> {
  const before = openHandles();
  await work();
  await until('the sockets to be closed', () => openHandles() <= before);
  expect(getEventListeners(context.signal, 'abort')).toEqual([]);
}

/**
 * Runs `work` repeatedly, aborted one turn of the event loop later each time, until it ends before the abort. It must
 * reject with the reason; its result is passed to `ended`.
 */
export async function abortedEverywhere<T>(
  work: (signal: AbortSignal) => Promise<T>,
  ended: (value: T, abort: () => unknown) => Promise<void>,
): Promise<void> {
  for (let turns = 0; ; turns += 1 + Math.floor(turns / 4)) {
    const abort = new AbortController();
    const reason = new Error(`aborted after ${turns} turns`);
    let over = false;
    const outcome = work(abort.signal).then(
      (value) => {
        over = true;
        return { value };
      },
      (error: unknown) => ({ error }),
    );
    for (let passed = 0; passed < turns && !over; passed += 1) await turn();
    const early = !over;
    if (early) abort.abort(reason);
    const result = await outcome;
    if ('error' in result) expect(result.error).toBe(reason);
    else {
      await ended(result.value, () => {
        abort.abort(reason);
        return reason;
      });
    }
    if (!early) return;
  }
}

export const noTargets = (context: Context) => {
  const asked: string[] = [];
  const targets: Context['targets'] = {
    ...context.targets,
    allowed(host) {
      asked.push(host);
      throw new PenstockError('target_not_allowed', `${host} is not allowed`);
    },
  };
  return { asked, context: { ...context, targets } };
};

/** Tests of everything that is opened and closed. */
export function testsOpening(
  { context, dials }: Subject,
  open: (context: Context) => Promise<{ close(): Promise<void> }>,
  use: (opened: never) => Promise<unknown>,
): void {
  test('is closed twice, leaves nothing behind, and takes a late close', async () => {
    const own = context();
    await leavingNothing(own, async () => {
      const opened = await open(own);
      await opened.close();
      await opened.close();
    });
  });

  test('rejects with the reason when it is aborted, at any time', async () => {
    const own = context();
    await leavingNothing(own, () =>
      abortedEverywhere(
        (signal) => open({ ...own, signal }),
        async (opened, abort) => {
          const used = failureOf(use(opened as never));
          const reason = abort();
          expect(await used).toBe(reason);
          await opened.close();
        },
      ),
    );
  });

  test('respects the targets', async () => {
    const { asked, context: fenced } = noTargets(context());
    if (dials) expect(await failureOf(open(fenced))).toMatchObject({ code: 'target_not_allowed' });
    else await (await open(fenced)).close();
    expect(asked.length > 0).toBe(dials);
  });
}
