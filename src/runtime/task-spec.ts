import { isDeepStrictEqual } from 'node:util';
import type { Identity, Targets, Usable } from '../connectors/connector.ts';
import { connectorFor } from '../connectors/registry.ts';
import { parseExactly } from '../formats/json/text.ts';
import type { InsertPlan } from '../sql/plan.ts';

/** Maximum number of unacknowledged messages per task, unless its sink holds more. */
export const window = 1000;
/** Receive Maximum of MQTT 5 has 16 bits. */
const maxWindow = 65_535;

/** The source or sink of a task: a connector with its configuration, secrets opened and variables replaced. */
export interface TaskEnd extends Usable {
  operatorId: string;
}

/** The work of one task. Plain data except the connectors, so two specs can be compared. */
export interface TaskSpec {
  jobId: string;
  taskIndex: number;
  insert: InsertPlan;
  source: TaskEnd;
  /** Further sources of a stateful select, in the order of `InsertPlan.others`. */
  others: TaskEnd[];
  sink: TaskEnd;
}

/** The task as one of its sources sees it, by the number of the source: with this source only. */
export function ofSource(spec: TaskSpec, number: number): TaskSpec {
  const { others: plans = [], ...insert } = spec.insert;
  const [plan, source] = [plans[number - 1], spec.others[number - 1]];
  if (!plan || !source) return { ...spec, insert, others: [] };
  const operatorIds = { ...insert.operatorIds, source: plan.operatorId };
  return { ...spec, insert: { ...insert, source: plan.source, operatorIds }, source, others: [] };
}

/** The same for each source. */
export const ofSources = (spec: TaskSpec): TaskSpec[] =>
  [spec.source, ...spec.others].map((_, number) => ofSource(spec, number));

export const sourceIdentity = ({ jobId, taskIndex, source }: TaskSpec): Identity => ({
  jobId,
  operatorId: source.operatorId,
  taskIndex,
});

/** The same for a stateful select, whose commits are the better the larger they are. */
const statefulWindow = 10_000;

/** Maximum number of unacknowledged messages of a task. */
export const windowOf = ({ insert: { select }, sink: { connector, config } }: TaskSpec): number =>
  Math.min(
    maxWindow,
    Math.max(select.kind === 'stateful' ? statefulWindow : window, connector.holds?.(config) ?? 0),
  );

/** Key of a task within its job. A different spec with the same key replaces the task. */
export const placeOf = ({ insert: { operatorIds }, taskIndex }: TaskSpec): string =>
  `${operatorIds.source} ${operatorIds.sink} ${taskIndex}`;

/** Whether two tasks do the same work, so one need not replace the other. */
export const sameWork = (one: TaskSpec, other: TaskSpec): boolean =>
  isDeepStrictEqual(workOf(one), workOf(other));

const workOf = ({ insert, source, others, sink }: TaskSpec) => [
  insert,
  ...[source, ...others, sink].map(({ connector, profile, config }) => ({
    connector: connector.id,
    profile,
    config,
  })),
];

/**
 * A task as JSON text. Plans may hold numbers beyond JavaScript's precision (`RawNumber`), which structured cloning refuses
 * and JSON carries. Contains secrets: keep it in memory.
 */
export const writeSpec = (spec: TaskSpec): string => JSON.stringify(toText(spec));

/** Reads the text of `writeSpec`. `targets` are the addresses that all ends may reach. Throws `unknown_connector`. */
export function readSpec(text: string, targets: Targets): TaskSpec {
  const { source, others, sink, ...rest } = parseExactly(text) as ReturnType<typeof toText>;
  const usable = (end: ReturnType<typeof endToText>): TaskEnd => ({
    ...end,
    connector: connectorFor(end.connector),
    targets,
  });
  return { ...rest, source: usable(source), others: others.map(usable), sink: usable(sink) };
}

const endToText = ({ connector, profile, config, operatorId }: TaskEnd) => ({
  connector: connector.id,
  profile,
  config,
  operatorId,
});

const toText = ({ source, others, sink, ...rest }: TaskSpec) => ({
  ...rest,
  source: endToText(source),
  others: others.map(endToText),
  sink: endToText(sink),
});
