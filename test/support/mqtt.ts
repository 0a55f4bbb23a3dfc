import { randomBytes } from 'node:crypto';
import { connect, connectAsync, type MqttClient } from 'mqtt';
import type {
  CheckStep,
  Delivery,
  Logger,
  Outgoing,
  Refusal,
  RunContext,
  Source,
  Targets,
} from '../../src/connectors/connector.ts';
import { check } from '../../src/connectors/mqtt/check/check.ts';
import type { MqttProfile } from '../../src/connectors/mqtt/config/profile.ts';
import type { MqttTable } from '../../src/connectors/mqtt/config/table.ts';
import { asPenstockError, type PenstockError } from '../../src/errors.ts';
import type { ConnectionSchema } from '../../src/formats/schema/schema.ts';
import { TargetRules } from '../../src/security/targets.ts';
import { atEnd } from './at-end.ts';

/** Helpers for tests of the MQTT connector: contexts, a plain client, and ways to read a source. */

export type MqttContext = RunContext<MqttProfile, MqttTable>;

/** A logger that keeps its entries. */
export function recordingLogger(): Logger & { lines: { level: string; details: object; message: string }[] } {
  const lines: { level: string; details: object; message: string }[] = [];
  const at = (level: string) => (details: object, message: string) => {
    lines.push({ level, details, message });
  };
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

/** Keeps the warnings of a connector. */
export function recordingWarnings(): { warnings: PenstockError[]; warn(error: PenstockError): void } {
  const warnings: PenstockError[] = [];
  return { warnings, warn: (error) => void warnings.push(error) };
}

/** The default allowed targets. */
export const targets = new TargetRules([]);

export const unique = (): string => randomBytes(6).toString('hex');

const base = (profile: MqttProfile): Omit<MqttContext, 'table'> => ({
  profile,
  targets,
  schema: {},
  identity: { jobId: `job_${unique()}`, operatorId: 'op', taskIndex: 0 },
  window: 100,
  signal: new AbortController().signal,
  logger: recordingLogger(),
  warn: () => undefined,
});

/** A context to read `topic` with. */
export const sourceContext = (
  profile: MqttProfile,
  topic: string,
  qos: MqttTable['qos'] = 'AtLeastOnce',
  rest: Partial<MqttContext> = {},
): MqttContext => ({ ...base(profile), table: { topic, qos, type: {} } as MqttTable, ...rest });

/** A context to write `topic` with. */
export const sinkContext = (
  profile: MqttProfile,
  topic: string,
  qos: MqttTable['qos'] = 'AtLeastOnce',
  rest: Partial<MqttContext> & { retain?: boolean } = {},
): MqttContext => {
  const { retain = false, ...others } = rest;
  return { ...base(profile), table: { topic, qos, type: { retain } } as MqttTable, ...others };
};

/** An ordinary client, to publish and to look with. It ends by itself: see `atEnd`. */
export async function plainClient(url: string, options: object = {}): Promise<MqttClient> {
  const defaults = { protocolVersion: 5, reconnectPeriod: 0, clientId: `plain_${unique()}` } as const;
  const client = await connectAsync(url, { ...defaults, ...options });
  atEnd(() => client.endAsync(true));
  return client;
}

/** Whether the broker has a session under this client id. Removes the session. */
export async function takeSession(url: string, clientId: string, options: object = {}): Promise<boolean> {
  const client = connect(url, { protocolVersion: 5, reconnectPeriod: 0, clean: false, clientId, ...options });
  const found = await new Promise<boolean>((resolve, reject) => {
    client.once('connect', ({ sessionPresent }) => resolve(sessionPresent)).once('error', reject);
  });
  await client.endAsync();
  return found;
}

/** mosquitto disconnects a client with more than 20 unfinished QoS 2 messages. */
const atOnce = 10;

/** Publishes `prefix0`, `prefix1` … and waits for their confirmation. */
export async function publishMany(
  client: MqttClient,
  topic: string,
  count: number,
  qos: 0 | 1 | 2 = 1,
  prefix = 'm',
): Promise<void> {
  for (let first = 0; first < count; first += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - first) }, (_, index) =>
      client.publishAsync(topic, `${prefix}${first + index}`, { qos }),
    );
    await Promise.all(some);
  }
}

/** Messages to write: `m0`, `m1` … */
export const messages = (count: number, first = 0): Outgoing[] =>
  Array.from({ length: count }, (_, index) => ({ payload: Buffer.from(`m${first + index}`), row: {} }));

/** The index and the code of each. */
export const codesOf = (refusals: Refusal[]) => refusals.map(({ index, error }) => [index, error.code]);

/** Reads a source delivery by delivery. */
export class Reader {
  readonly #iterator: AsyncIterator<Delivery[]>;
  #rest: Delivery[] = [];

  constructor(source: Source) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** The next `count` deliveries; fewer when the source ends. */
  async take(count: number): Promise<Delivery[]> {
    while (this.#rest.length < count) {
      const next = await this.#iterator.next();
      if (next.done) break;
      this.#rest.push(...next.value);
    }
    return this.#rest.splice(0, count);
  }

  /** Reads to the end, and returns what it threw. */
  async failure(): Promise<unknown> {
    try {
      while (!(await this.#iterator.next()).done);
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

export const texts = (deliveries: Delivery[]): string[] => deliveries.map(({ payload }) => String(payload));

export const ackAll = (deliveries: Delivery[]): void => {
  for (const delivery of deliveries) delivery.ack();
};

/** The error that a promise rejects with. */
export async function errorOf(promise: Promise<unknown>): Promise<PenstockError> {
  try {
    await promise;
  } catch (error) {
    return asPenstockError(error);
  }
  throw new Error('It did not fail');
}

export interface CheckRequest {
  table?: MqttTable;
  schema?: ConnectionSchema;
  probe?: 'publish' | 'none';
  stepTimeoutMs?: number;
  signal?: AbortSignal;
  targets?: Targets;
  /** The name of the last step that is of interest: the test ends there. */
  last?: string;
}

/** Runs a connection test and returns its steps. */
export async function checked(profile: MqttProfile, request: CheckRequest = {}): Promise<CheckStep[]> {
  const steps: CheckStep[] = [];
  const enough = new AbortController();
  const { signal = enough.signal } = request;
  const checking = check({
    profile,
    targets: request.targets ?? targets,
    table: request.table,
    schema: request.schema,
    probe: request.probe ?? 'publish',
    stepTimeoutMs: request.stepTimeoutMs ?? 60_000,
    signal: AbortSignal.any([signal, enough.signal]),
    report: (step) => {
      steps.push(step);
      if (step.name === request.last) enough.abort(enough);
    },
  });
  await checking.catch((error: unknown) => {
    if (error !== enough) throw error;
  });
  return steps;
}

/** `name:outcome` or `name:outcome:code` of each step. */
export const outline = (steps: CheckStep[]): string[] =>
  steps.map(({ name, outcome, code }) => [name, outcome, code].filter((part) => part !== null).join(':'));

/** The step that failed. */
export const failed = (steps: CheckStep[]): CheckStep => {
  const step = steps.find(({ outcome }) => outcome === 'failed');
  if (!step) throw new Error(`nothing failed: ${outline(steps)}`);
  return step;
};
