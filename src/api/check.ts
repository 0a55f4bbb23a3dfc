import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { CheckContext, CheckStep, ConnectorDefinition } from '../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { auditedAs } from './audit.ts';
import { EventQueue } from './event-queue.ts';
import { Places } from './places.ts';
import { streamEvents } from './sse.ts';

/** At most so many run at a time in one process: tests, looks for topics and inferences of schemas together. */
const places = new Places(8, 'tests');

/** A whole test takes no longer, nor do its steps; at most a minute, if the caller says so. */
const defaults = { stepTimeoutMs: 10_000, timeoutMs: 30_000 };
const timeout = { minimum: 100, maximum: 60_000 } as const;

/** How to test, beside what: further fields of the body of a test. */
export const testOptions = {
  probe: Type.Optional(
    Type.Enum(['publish', 'none'], {
      default: 'publish',
      description: 'none: publish nothing, so that a sink table or a profile is tested up to the login only',
    }),
  ),
  timeout_ms: Type.Optional(
    Type.Integer({
      ...timeout,
      default: defaults.timeoutMs,
      description: 'Milliseconds for the test in all',
    }),
  ),
  step_timeout_ms: Type.Optional(
    Type.Integer({ ...timeout, default: defaults.stepTimeoutMs, description: 'Milliseconds for each step' }),
  ),
};

interface TestOptions {
  probe?: 'publish' | 'none';
  timeout_ms?: number;
  step_timeout_ms?: number;
}

type Tested = Pick<CheckContext<unknown, unknown>, 'profile' | 'targets' | 'table' | 'schema'>;

interface TestEvent extends CheckStep {
  error: boolean;
  done: boolean;
  steps?: TestEvent[];
}

/**
 * Runs a connector's test and answers it: one event a step and a summary as server-sent events, or the summary with
 * all steps as JSON. Which of the two is the client's choice by `Accept`; `preferred` decides when it has none. The
 * test stops at once when the client goes away.
 */
export async function answerCheck(
  request: FastifyRequest,
  reply: FastifyReply,
  connector: ConnectorDefinition,
  tested: Tested,
  preferred: 'json' | 'events',
): Promise<FastifyReply> {
  const options = (request.body ?? {}) as TestOptions;
  const start = () => startCheck(connector, tested, options, whileListening(reply));
  const accept = request.headers.accept ?? '';
  const wanted = /\btext\/event-stream\b/.test(accept)
    ? 'events'
    : /\bjson\b/.test(accept)
      ? 'json'
      : preferred;
  if (wanted === 'events') return streamEvents(request, reply, () => noting(request, start()));
  const steps: TestEvent[] = [];
  for await (const event of start()) steps.push(event);
  const summary = steps.pop();
  return reply.send({ ...summary, steps });
}

/** Hands the events on, and puts the summary into the audit log. */
async function* noting(
  request: FastifyRequest,
  events: AsyncGenerator<TestEvent>,
): AsyncGenerator<TestEvent> {
  for await (const event of events) {
    if (event.done) auditedAs(request, { after: event });
    yield event;
  }
}

/** Aborts when the client goes away. */
export function whileListening(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new Error('the client went away')));
  return gone.signal;
}

/** A place among those that run at a time, until the function it answers is called. Throws `too_many_requests`. */
export const takePlace = (): (() => void) => places.take();

/** Starts a test at once, so that it counts from now on. Throws `too_many_requests`. */
function startCheck(
  connector: ConnectorDefinition,
  tested: Tested,
  options: TestOptions,
  gone: AbortSignal,
): AsyncGenerator<TestEvent> {
  const leave = takePlace();
  const { timeout_ms: timeoutMs = defaults.timeoutMs, probe = 'publish' } = options;
  const { step_timeout_ms: stepTimeoutMs = defaults.stepTimeoutMs } = options;
  const cancel = new AbortController();
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([gone, cancel.signal, deadline]);
  const reported = new EventQueue<CheckStep>();
  const report = (step: CheckStep): void => reported.add(step);
  const over = (connector.check?.({ ...tested, probe, stepTimeoutMs, signal, report }) ?? Promise.resolve())
    .catch((error: unknown) => {
      if (!gone.aborted && !cancel.signal.aborted) report(failedStep(error, deadline.aborted, timeoutMs));
    })
    .finally(() => {
      leave();
      reported.end();
    });
  return follow(reported, connector.describe(tested.profile), async () => {
    cancel.abort(new Error('the test was cancelled'));
    await over;
  });
}

/** Yields each step as it ends, then the summary. Ending the iteration early cancels the test. */
async function* follow(
  reported: EventQueue<CheckStep>,
  address: string,
  cancel: () => Promise<void>,
): AsyncGenerator<TestEvent> {
  const startedAt = performance.now();
  const seen: CheckStep[] = [];
  try {
    for await (const step of reported) {
      seen.push(step);
      yield { error: step.outcome === 'failed', done: false, ...step };
    }
    yield summarise(address, seen, performance.now() - startedAt);
  } finally {
    await cancel();
  }
}

function failedStep(error: unknown, timedOut: boolean, timeoutMs: number): CheckStep {
  const raised = timedOut
    ? new PenstockError('connection_timeout', `The test did not finish within ${timeoutMs} ms`, {
        hint: 'Allow it more time with timeout_ms, up to 60000.',
      })
    : asPenstockError(error);
  return {
    name: 'test',
    outcome: 'failed',
    durationMs: 0,
    code: raised.code,
    message: raised.message,
    hint: raised.hint ?? null,
    details: {},
  };
}

/** The last event: the first failure if there is one, else the first warning, else success. */
function summarise(address: string, steps: CheckStep[], durationMs: number): TestEvent {
  const telling =
    steps.find((step) => step.outcome === 'failed') ?? steps.find((step) => step.outcome === 'warning');
  return {
    error: telling?.outcome === 'failed',
    done: true,
    message: telling ? telling.message : `Successfully connected to ${address}`,
    name: 'summary',
    outcome: telling?.outcome ?? 'ok',
    durationMs,
    code: telling?.code ?? null,
    hint: telling?.hint ?? null,
    details: telling ? { step: telling.name } : {},
  };
}

/** Both forms a test can be answered in. */
export const checkResponse = Type.Unsafe<never>({
  description: 'How each step went',
  content: {
    'application/json': { schema: { $ref: 'TestResult#' } },
    'text/event-stream': { schema: { $ref: 'TestMessage#' } },
  },
});
