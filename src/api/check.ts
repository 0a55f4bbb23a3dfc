import type { FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import type { CheckContext, CheckStep, ConnectorDefinition } from '../connectors/connector.ts';
import { registryStep } from '../connectors/schema-registry/check.ts';
import { openSchemas } from '../connectors/schema-registry/schemas.ts';
import { asPenstockError, PenstockError } from '../errors.ts';
import { auditedAs } from './audit.ts';
import { Slots } from './live.ts';
import { clientGone, EventQueue, streamEvents } from './sse.ts';

/** Shared by connection tests, topic discovery and schema inference. */
const places = new Slots(8, 'tests');

const defaults = { stepTimeoutMs: 10_000, timeoutMs: 30_000 };
const timeout = { minimum: 100, maximum: 60_000 } as const;

/** Options in the body of a test, besides the definition to test. */
export const testOptions = {
  probe: Type.Optional(
    Type.Enum(['publish', 'none'], {
      default: 'publish',
      description: 'none: publish nothing. A sink table or a profile is then only tested up to the login',
    }),
  ),
  timeout_ms: Type.Optional(
    Type.Integer({
      ...timeout,
      default: defaults.timeoutMs,
      description: 'Time limit of the test in milliseconds',
    }),
  ),
  step_timeout_ms: Type.Optional(
    Type.Integer({
      ...timeout,
      default: defaults.stepTimeoutMs,
      description: 'Time limit of each step in milliseconds',
    }),
  ),
};

interface TestOptions {
  probe?: 'publish' | 'none';
  timeout_ms?: number;
  step_timeout_ms?: number;
}

type Tested = Pick<CheckContext<unknown, unknown>, 'profile' | 'targets' | 'table' | 'schema'> & {
  /** Findings about the secrets, each a step of its own. */
  oddities: readonly string[];
};

interface CheckEvent extends CheckStep {
  error: boolean;
  done: boolean;
  steps?: CheckEvent[];
}

/**
 * Runs the test of a connector and responds with server-sent events, one per step and a summary, or with the summary
 * and all steps as JSON. `Accept` decides, or else `preferred`. The test stops when the client disconnects.
 */
export async function runCheck(
  request: FastifyRequest,
  reply: FastifyReply,
  connector: ConnectorDefinition,
  tested: Tested,
  preferred: 'json' | 'events',
): Promise<FastifyReply> {
  const options = (request.body ?? {}) as TestOptions;
  const start = () => startCheck(connector, tested, options, clientGone(reply));
  const accept = request.headers.accept ?? '';
  const wanted = /\btext\/event-stream\b/.test(accept)
    ? 'events'
    : /\bjson\b/.test(accept)
      ? 'json'
      : preferred;
  if (wanted === 'events') return streamEvents(request, reply, () => auditing(request, start()));
  const steps: CheckEvent[] = [];
  for await (const event of start()) steps.push(event);
  const summary = steps.pop();
  return reply.send({ ...summary, steps });
}

/** Passes the events on, and adds the summary to the audit log. */
async function* auditing(
  request: FastifyRequest,
  events: AsyncGenerator<CheckEvent>,
): AsyncGenerator<CheckEvent> {
  for await (const event of events) {
    if (event.done) auditedAs(request, { after: event });
    yield event;
  }
}

/** Counts as a running test until the returned function is called. Throws `too_many_requests`. */
export const takePlace = (): (() => void) => places.take();

function startCheck(
  connector: ConnectorDefinition,
  { oddities, ...tested }: Tested,
  options: TestOptions,
  gone: AbortSignal,
): AsyncGenerator<CheckEvent> {
  const leave = takePlace();
  const { timeout_ms: timeoutMs = defaults.timeoutMs, probe = 'publish' } = options;
  const { step_timeout_ms: stepTimeoutMs = defaults.stepTimeoutMs } = options;
  const cancel = new AbortController();
  const deadline = AbortSignal.timeout(timeoutMs);
  const signal = AbortSignal.any([gone, cancel.signal, deadline]);
  const reported = new EventQueue<CheckStep>();
  const report = (step: CheckStep): void => reported.add(step);
  for (const message of oddities) report(secretStep(message));
  const check = async (): Promise<void> => {
    const { profile, targets, table: config } = tested;
    const connected = { connector, profile, config, targets };
    const step = { report, signal, stepTimeoutMs };
    await registryStep(step, { ...connected, schema: tested.schema });
    const schemas = openSchemas(connected, tested.schema, signal);
    try {
      await connector.check?.({ ...tested, schemas, probe, stepTimeoutMs, signal, report });
    } finally {
      await schemas?.close();
    }
  };
  const over = check()
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

/** Yields each step when it ends, then the summary. Ending the iteration early cancels the test. */
async function* follow(
  reported: EventQueue<CheckStep>,
  address: string,
  cancel: () => Promise<void>,
): AsyncGenerator<CheckEvent> {
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

const secretStep = (message: string): CheckStep => ({
  name: 'secrets',
  outcome: 'warning',
  durationMs: 0,
  code: null,
  message,
  hint: 'Set it without: printf %s instead of echo, echo -n, or an editor that adds no line break.',
  details: {},
});

function failedStep(error: unknown, timedOut: boolean, timeoutMs: number): CheckStep {
  const raised = timedOut
    ? new PenstockError('connection_timeout', `The test did not finish within ${timeoutMs} ms`, {
        hint: 'Set a longer timeout_ms, up to 60000.',
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

/** The last event: the first failure, else the first warning, else success. */
function summarise(address: string, steps: CheckStep[], durationMs: number): CheckEvent {
  const decisive =
    steps.find((step) => step.outcome === 'failed') ?? steps.find((step) => step.outcome === 'warning');
  return {
    error: decisive?.outcome === 'failed',
    done: true,
    message: decisive ? decisive.message : `Successfully connected to ${address}`,
    name: 'summary',
    outcome: decisive?.outcome ?? 'ok',
    durationMs,
    code: decisive?.code ?? null,
    hint: decisive?.hint ?? null,
    details: decisive ? { step: decisive.name } : {},
  };
}

export const checkResponse = Type.Unsafe<never>({
  description: 'The result of each step',
  content: {
    'application/json': { schema: { $ref: 'TestResult#' } },
    'text/event-stream': { schema: { $ref: 'TestMessage#' } },
  },
});
