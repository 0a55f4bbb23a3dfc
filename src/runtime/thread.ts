import { flushCompileCache } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Logger } from '../connectors/connector.ts';
import type { PenstockError } from '../errors.ts';
import { TargetRules } from '../security/targets.ts';
import { Attempt } from './attempt.ts';
import { AttemptCounts } from './counts.ts';
import { Link, plainCause, toPlain } from './link.ts';
import type {
  AttemptHandlers,
  AttemptOperations,
  DeadLetterStore,
  MainOperations,
  TaskSession,
  ThreadData,
  ThreadOperations,
} from './operations.ts';
import { readSpec } from './task-spec.ts';

/**
 * Entry point of a worker thread. Everything in `runtime/` runs in such a thread and moves messages: connectors, formats,
 * transforms. It loads no database and no HTTP. Calls to and from the main thread (`worker/`) are listed in `operations.ts`:
 * task specs, counts, warnings, log lines and dead letters cross, messages do not.
 */

const reportEveryMs = 500;
/** Minimum interval of warnings with the same code. A job shows one a second, and every message may cause one. */
const warnEveryMs = 250;
/** Maximum time to wait for the attempts after an uncaught error. */
const attemptsEndMs = 5_000;

const port = parentPort;
if (!port) throw new Error('This file is the entry point of a worker thread, not of a process');
const { targets: entries, fileDir } = workerData as ThreadData;
const targets = new TargetRules(entries, fileDir);
const attempts = new Map<number, Attempt>();
const unreported = new Map<number, AttemptCounts>();
let reporting: NodeJS.Timeout | undefined;

const overAttempt: AttemptOperations = {
  drain: async () => {},
  finish: async () => {},
  stop: () => {},
  allConnected: () => {},
  replay: async () => undefined,
};

const operations: ThreadOperations = {
  async begin({ attempt: id, spec }) {
    const counts = new AttemptCounts(() => reportSoon(id, counts));
    let attempt: Attempt | undefined;
    try {
      attempt = new Attempt(readSpec(spec, targets), {
        running: () => main.notify('running', undefined, id),
        warn: warnFrom(id),
        session: (source) => sessionOf(id, source),
        positions: (source) => ({
          last: () => main.call('lastPosition', source, id),
          store: (position) => main.call('storePosition', { source, position }, id),
        }),
        states: {
          load: () => main.call('loadState', undefined, id),
          read: (segment) => main.call('readState', segment, id),
          stage: (segments) => main.call('stageState', segments, id),
          commit: (commit) => main.call('commitState', commit, id),
        },
        deadLetters: deadLettersOf(id),
        counts,
        logger,
      });
      attempts.set(id, attempt);
      await attempt.run();
      return undefined;
    } catch (error) {
      return { error: toPlain(error), fromSink: attempt?.isFromSink(error) ?? false };
    } finally {
      attempts.delete(id);
      // Its last counts must arrive before its end.
      report();
      if (dying) await dying();
    }
  },
  ping: () => undefined,
};

const main = new Link<MainOperations & AttemptHandlers>(
  port,
  (attempt) => (attempt === undefined ? operations : (attempts.get(attempt) ?? overAttempt)),
  (error) => {
    throw error;
  },
);

/**
 * DuckDB's binding ends the whole process if a thread ends during one of its calls. After an uncaught error the attempts therefore end
 * first. None of them reports its end: the main thread is to see that the thread is lost.
 */
let dying: (() => Promise<never>) | undefined;
process.once('uncaughtException', (error) => {
  const die = (): void => {
    throw error;
  };
  const timer = setTimeout(die, attemptsEndMs);
  dying = () => {
    if (attempts.size === 0) {
      clearTimeout(timer);
      setImmediate(die);
    }
    return new Promise(() => {});
  };
  for (const attempt of attempts.values()) attempt.stop();
  void dying();
});

const logger = Object.fromEntries(
  (['debug', 'info', 'warn', 'error'] as const).map((level) => [
    level,
    (details: object, message: string) =>
      main.notify('log', { level, details: plainDetails(details), message }),
  ]),
) as unknown as Logger;

const plainDetails = (details: object): object =>
  Object.fromEntries(
    Object.entries(details).map(([name, value]) => [
      name,
      value instanceof Error ? plainCause(value) : value,
    ]),
  );

const warnFrom = (attempt: number) => {
  const lastWarned = new Map<string, number>();
  return (error: PenstockError, operatorId?: string): void => {
    const now = performance.now();
    if (now - (lastWarned.get(error.code) ?? Number.NEGATIVE_INFINITY) < warnEveryMs) return;
    lastWarned.set(error.code, now);
    main.notify('warn', { error: toPlain(error), operatorId }, attempt);
  };
};

const sessionOf = (attempt: number, source: number): TaskSession => ({
  opening: () => main.call('sessionOpening', source, attempt),
  async opened({ settled, ...found }) {
    await main.call('sessionOpened', { ...found, source }, attempt);
    void settled.then(() => main.notify('sessionSettled', source, attempt));
  },
});

const deadLettersOf = (attempt: number): DeadLetterStore => ({
  add: (deadLetters, badData) => {
    // Copied: a payload may be a view of a large buffer, which would be cloned whole.
    const copied = deadLetters.map((one) => ({ ...one, payload: new Uint8Array(one.payload) }));
    return main.call('storeDeadLetters', { deadLetters: copied, badData }, attempt);
  },
});

function reportSoon(attempt: number, counts: AttemptCounts): void {
  unreported.set(attempt, counts);
  reporting ??= setTimeout(report, reportEveryMs);
}

function report(): void {
  clearTimeout(reporting);
  reporting = undefined;
  const all = [...unreported].flatMap(([attempt, counts]) => {
    const delta = counts.take();
    return delta ? [{ attempt, delta }] : [];
  });
  unreported.clear();
  if (all.length > 0) main.notify('countedAll', all);
}

// Speeds up the start of the next thread or process. A thread has no time for it at its end.
flushCompileCache();
