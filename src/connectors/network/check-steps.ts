import { asPenstockError, PenstockError } from '../../errors.ts';
import { expandSchema, readyCodec, rowsOf } from '../../formats/codec.ts';
import type { CheckContext, CheckOutcome, CheckStep } from '../connector.ts';
import { forUpTo, untilReported, within } from './deadline.ts';
import type { Incoming } from './queue-source.ts';

/** The result of a step. It is a warning if it has a code. */
export interface Finding<T> {
  value: T;
  message: string;
  details?: Record<string, unknown>;
  code?: string;
  hint?: string;
}

interface StepOptions {
  /** Errors that make the step a warning instead of a failure; its value is then undefined. */
  tolerate?: readonly string[];
  details?: Record<string, unknown>;
  /** The error at the deadline; by default that the server did not respond. */
  late?: (ms: number) => PenstockError;
}

const unreachable = (ms: number): PenstockError =>
  new PenstockError('connection_timeout', `The server did not respond within ${ms} ms`, {
    hint: 'Check the address and port, and whether a firewall blocks the connection.',
  });

/** Runs and reports the steps of a connection test in order, each under its deadline. */
export class CheckSteps {
  readonly #context: Pick<CheckContext<unknown, unknown>, 'report' | 'signal' | 'stepTimeoutMs'>;
  #failed = false;
  #server: string | undefined;
  #lenient = false;

  constructor(context: Pick<CheckContext<unknown, unknown>, 'report' | 'signal' | 'stepTimeoutMs'>) {
    this.#context = context;
  }

  /**
   * Begins the steps of one of several servers. If `lenient`, a failure is a warning, and the steps after it are not
   * reported, because another server may work.
   */
  beginServer(server: string, lenient: boolean): void {
    this.#failed = false;
    this.#server = server;
    this.#lenient = lenient;
  }

  /** Continues with the steps after all servers; `failed` if none of them works. */
  endServers(failed: boolean): void {
    this.#failed = failed;
    this.#server = undefined;
    this.#lenient = false;
  }

  /**
   * Runs and reports one step. Returns undefined if it failed, or was skipped after an earlier failure. Throws only the
   * reason of the test's signal.
   */
  async run<T>(
    name: string,
    work: (signal: AbortSignal) => Promise<Finding<T>>,
    options: StepOptions = {},
  ): Promise<T | undefined> {
    const { signal, stepTimeoutMs } = this.#context;
    signal.throwIfAborted();
    if (this.#failed) {
      if (!this.#lenient) this.skip(name, 'Skipped because an earlier step failed');
      return undefined;
    }
    const start = performance.now();
    const late = () => (options.late ?? unreachable)(stepTimeoutMs);
    try {
      const finding = await within(stepTimeoutMs, signal, late, work);
      const outcome = finding.code === undefined ? 'ok' : 'warning';
      this.#report(name, outcome, start, finding);
      return finding.value;
    } catch (error) {
      signal.throwIfAborted();
      this.#reportError(name, start, asPenstockError(error), options);
      return undefined;
    }
  }

  skip(name: string, message: string): void {
    this.#report(name, 'skipped', performance.now(), { message });
  }

  #reportError(name: string, start: number, error: PenstockError, options: StepOptions): void {
    const tolerated = options.tolerate?.includes(error.code) ?? false;
    if (!tolerated) this.#failed = true;
    this.#report(name, tolerated || this.#lenient ? 'warning' : 'failed', start, {
      code: error.code,
      message: error.message,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      details: {
        ...options.details,
        ...error.facts,
        ...(error.errors.length > 0 ? { errors: error.errors } : {}),
      },
    });
  }

  #report(
    name: string,
    outcome: CheckOutcome,
    start: number,
    step: Partial<Pick<CheckStep, 'code' | 'hint' | 'details'>> & { message: string },
  ): void {
    this.#context.report({
      name,
      outcome,
      durationMs: Math.max(0, Math.round(performance.now() - start)),
      code: step.code ?? null,
      message: step.message,
      hint: step.hint ?? null,
      details: { ...(this.#server === undefined ? {} : { server: this.#server }), ...step.details },
    });
  }
}

/** How long a test waits for a message. */
const messageMs = 3_000;

/** Runs the step `first_message`, which is fine without a message too. `next` waits for one; it is called once. */
export function firstMessageStep(
  steps: CheckSteps,
  { stepTimeoutMs }: { stepTimeoutMs: number },
  next: () => Promise<IteratorResult<Incoming>>,
  describe: (message: Incoming) => { message: string; hint?: string },
): Promise<Incoming | undefined> {
  return steps.run('first_message', async (signal): Promise<Finding<Incoming | undefined>> => {
    const ms = Math.min(messageMs, stepTimeoutMs / 2);
    const result = await forUpTo(ms, signal, (soon) =>
      untilReported<IteratorResult<Incoming>>(soon, (resolve, reject) => void next().then(resolve, reject)),
    );
    if (!result || result.done)
      return { value: undefined, message: `No message came within ${ms / 1000} s, which need not be wrong` };
    return { value: result.value, ...describe(result.value) };
  });
}

/** Runs the step `decode`: whether sample messages match the schema, if there is one. */
export async function decodeStep(
  steps: CheckSteps,
  { schema, schemas }: Pick<CheckContext<unknown, unknown>, 'schema' | 'schemas'>,
  samples: () => readonly Buffer[],
): Promise<void> {
  if (schema === undefined) return;
  await steps.run('decode', async () => {
    const messages = samples();
    if (messages.length === 0)
      return { value: true, message: 'There is no message to compare with the schema' };
    const full = expandSchema(schema);
    const codec = await readyCodec(full, schemas, messages);
    const rows = messages.reduce((sum, message) => sum + rowsOf(codec, message).length, 0);
    const columns = (full.fields ?? []).map(({ name }) => name);
    const subject = messages.length === 1 ? 'The message matches' : `All ${messages.length} messages match`;
    return {
      value: true,
      message: `${subject} the schema${rows === messages.length ? '' : ` and contain ${rows} rows`}`,
      details: { columns, messages: messages.length, rows },
    };
  });
}
