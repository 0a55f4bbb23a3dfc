import { flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Logger } from '../connectors/connector.ts';
import { PenstockError } from '../errors.ts';
import { TargetRules } from '../security/targets.ts';
import { Attempt } from './attempt.ts';
import { AttemptCounts, type Counted } from './counts.ts';
import { Link } from './link.ts';
import type {
  DeadLetterStore,
  MainOperations,
  TaskSession,
  ThreadData,
  ThreadOperations,
} from './operations.ts';
import { plainCause, toPlain } from './plain-error.ts';
import { readSpec } from './spec-text.ts';
import { Warnings } from './warnings.ts';

/**
 * Where a thread of tasks begins. It has what moves messages and nothing else: what it must have of the database, or
 * shows to somebody, it asks of the main thread.
 */

/** How old counts are at most when the main thread learns of them. */
const tellEveryMs = 250;

const port = parentPort;
if (!port) throw new Error('this is where a thread begins, not a process');
const targets = new TargetRules((workerData as ThreadData).targets);
const attempts = new Map<number, Attempt>();
const due = new Map<number, AttemptCounts>();
let telling: NodeJS.Timeout | undefined;

const attemptOf = (id: number): Attempt => {
  const attempt = attempts.get(id);
  if (attempt) return attempt;
  throw new PenstockError('connection_lost', 'The task is not connected any more');
};

const operations: ThreadOperations = {
  async begin({ attempt: id, spec }) {
    const counts = new AttemptCounts(() => tellSoon(id, counts));
    const warnings = new Warnings((error, operatorId) =>
      main.tell('warn', { attempt: id, error: toPlain(error), operatorId }),
    );
    let attempt: Attempt | undefined;
    try {
      attempt = new Attempt(readSpec(spec, targets), {
        running() {
          main.tell('running', { attempt: id });
          // By now the connectors are loaded too.
          flushCompileCache();
        },
        warn: warnings.warn,
        session: sessionOf(id),
        letters: lettersOf(id),
        counts,
        logger,
      });
      attempts.set(id, attempt);
      await attempt.run();
      return undefined;
    } catch (error) {
      return { error: toPlain(error), ofSink: attempt?.isOfSink(error) ?? false };
    } finally {
      attempts.delete(id);
      // What it has counted arrives before its end.
      tell();
    }
  },
  drain: async ({ attempt }) => attempts.get(attempt)?.drain(),
  stop: ({ attempt }) => attempts.get(attempt)?.stop(),
  replay: ({ attempt, letters }) => attemptOf(attempt).replay(letters),
  ping: () => undefined,
};

const main = new Link<MainOperations>(port, operations, (error) => {
  throw error;
});

const logger = Object.fromEntries(
  (['debug', 'info', 'warn', 'error'] as const).map((level) => [
    level,
    (details: object, message: string) =>
      main.tell('log', { level, details: plainDetails(details), message }),
  ]),
) as unknown as Logger;

const plainDetails = (details: object): object =>
  Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      value instanceof Error ? plainCause(value) : value,
    ]),
  );

const sessionOf = (attempt: number): TaskSession => ({
  opening: () => main.call('opening', { attempt }),
  async opened({ resumed, settled }) {
    await main.call('opened', { attempt, resumed });
    void settled.then(() => main.tell('settled', { attempt }));
  },
});

const lettersOf = (attempt: number): DeadLetterStore => ({
  // A payload may be a view of much more, all of which would be cloned.
  add: (letters, badData) =>
    main.call('store', {
      attempt,
      letters: letters.map((letter) => ({ ...letter, payload: new Uint8Array(letter.payload) })),
      badData,
    }),
});

function tellSoon(attempt: number, counts: AttemptCounts): void {
  due.set(attempt, counts);
  telling ??= setTimeout(tell, tellEveryMs);
}

function tell(): void {
  clearTimeout(telling);
  telling = undefined;
  const all = [...due].flatMap(([attempt, counts]) => {
    const counted: Counted | undefined = counts.take();
    return counted ? [{ attempt, counted }] : [];
  });
  due.clear();
  if (all.length > 0) main.tell('counted', all);
}

// The next thread, maybe in another process, starts sooner; at its end a thread has no time to see to that.
flushCompileCache();
