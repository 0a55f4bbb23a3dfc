import type { FastifyReply, FastifyRequest } from 'fastify';
import type { CheckContext, CheckStep, ConnectorDefinition } from '../connectors/connector.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { streamEvents } from './sse.ts';

/** A whole test takes no longer, nor do its steps. */
const limits = { stepTimeoutMs: 10_000, totalMs: 30_000 };
/** At most so many tests run at a time in one process. */
const maxConcurrent = 8;
let running = 0;

type Asked = Pick<CheckContext<unknown, unknown>, 'profile' | 'table' | 'schema' | 'probe'>;

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
  asked: Asked,
  preferred: 'json' | 'events',
): Promise<FastifyReply> {
  if (running >= maxConcurrent)
    throw new PenstockError(
      'too_many_requests',
      `${maxConcurrent} tests are running already; try again in a moment`,
    );
  const accept = request.headers.accept ?? '';
  const wanted = /\btext\/event-stream\b/.test(accept)
    ? 'events'
    : /\bjson\b/.test(accept)
      ? 'json'
      : preferred;
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort(new Error('the client went away')));
  const events = runCheck(connector, asked, gone.signal);
  if (wanted === 'events') return streamEvents(reply, events);
  const steps: TestEvent[] = [];
  for await (const event of events) steps.push(event);
  const summary = steps.pop();
  return reply.send({ ...summary, steps });
}

/** Yields each step as it ends, then the summary. Ending the iteration early cancels the test. */
async function* runCheck(
  connector: ConnectorDefinition,
  asked: Asked,
  gone: AbortSignal,
): AsyncGenerator<TestEvent> {
  const cancel = new AbortController();
  const deadline = AbortSignal.timeout(limits.totalMs);
  const signal = AbortSignal.any([gone, cancel.signal, deadline]);
  const startedAt = performance.now();
  const queue: CheckStep[] = [];
  let wake = (): void => {};
  let over = false;
  running++;
  const report = (step: CheckStep): void => {
    queue.push(step);
    wake();
  };
  const check = { ...asked, stepTimeoutMs: limits.stepTimeoutMs, signal, report };
  const run = (connector.check?.(check) ?? Promise.resolve())
    .catch((error: unknown) => {
      if (!gone.aborted && !cancel.signal.aborted) report(failedStep(error, deadline.aborted));
    })
    .finally(() => {
      over = true;
      wake();
    });
  const seen: CheckStep[] = [];
  try {
    while (!over || queue.length > 0) {
      const step = queue.shift();
      if (step) {
        seen.push(step);
        yield { error: step.outcome === 'failed', done: false, ...step };
      } else {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    }
    yield summarise(connector.describe(asked.profile), seen, performance.now() - startedAt);
  } finally {
    cancel.abort(new Error('the test was cancelled'));
    await run;
    running--;
  }
}

function failedStep(error: unknown, timedOut: boolean): CheckStep {
  const raised = timedOut
    ? new PenstockError(
        'connection_timeout',
        `The test did not finish within ${limits.totalMs / 1000} seconds`,
      )
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
