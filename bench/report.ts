import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { relative } from 'node:path';
import type { QoS } from 'mqtt-packet';
import { findMosquitto } from './brokers.ts';
import { type ContestantName, contestantNames } from './contestants.ts';
import { programOf, thisCheckout } from './penstock.ts';
import type { Figures } from './stretch.ts';

/** The result of one stretch. */
export interface Result {
  name: ContestantName;
  qos: QoS;
  round: number;
  outcome: Figures | Error;
}

/** Facts about this machine that affect the figures, as Markdown. */
export function machineFacts(): string {
  const [load = 0] = loadavg();
  return [
    `- ${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}`,
    `- Node.js ${process.versions.node}, mosquitto ${findMosquitto().version}`,
    `- load average before the run: ${load.toFixed(2)}`,
    ...programs(),
  ].join('\n');
}

/** Says which form of each version runs. */
function programs(): string[] {
  const { BENCH_BEFORE: before } = process.env;
  const line = (name: string, checkout: string) => `- ${name}: ${relative(checkout, programOf(checkout))}`;
  return [line('Penstock', thisCheckout), ...(before ? [line('the version before', before)] : [])];
}

/** Forwarders to compare with, and the titles of their columns. */
const baselines = [
  ['bridge', 'of the bridge'],
  ['bare', 'of the bare loop'],
  ['node-red', 'of Node-RED'],
  ['bento', 'of Bento'],
  ['telegraf', 'of Telegraf'],
  ['penstock-before', 'of penstock-before'],
  ['penstock-where-before', 'of penstock-where-before'],
] as const satisfies [ContestantName, string][];

interface Column {
  title: string;
  cell(group: Result[], all: Result[]): string;
}

const measured = (group: Result[]): Figures[] =>
  group.flatMap(({ outcome }) => (outcome instanceof Error ? [] : [outcome]));

const middle = (title: string, decimals: number, read: (figures: Figures) => number): Column => ({
  title,
  cell: (group) => text(median(measured(group).map(read)), decimals),
});

const sum = (title: string, read: (figures: Figures) => number): Column => ({
  title,
  cell: (group) => {
    const values = measured(group).map(read);
    return values.length === 0
      ? text(undefined, 0)
      : text(
          values.reduce((a, b) => a + b),
          0,
        );
  },
});

/** Under full load the delay is only the number of messages in transit divided by their rate. */
function columns(results: Result[], rate: number | undefined): Column[] {
  const present = baselines.filter(([against]) => results.some(({ name }) => name === against));
  return [
    { title: 'QoS', cell: ([first]) => String(first?.qos) },
    { title: 'forwarder', cell: ([first]) => String(first?.name) },
    middle('messages/s', 0, ({ perSecond }) => perSecond),
    middle('CPU µs/message', 1, ({ cpuMicrosPerMessage }) => cpuMicrosPerMessage),
    ...present.map(([against, title]) => ({
      title,
      cell: (group: Result[], all: Result[]) => text(median(ratios(group, all, against)), 2),
    })),
    ...(rate === undefined
      ? []
      : [
          middle('delay p50 ms', 2, ({ delayMs }) => delayMs.p50),
          middle('delay p99 ms', 2, ({ delayMs }) => delayMs.p99),
        ]),
    middle('peak RSS MB', 0, ({ peakBytes }) => peakBytes / 1e6),
    sum('lost', ({ lost }) => lost),
    sum('duplicated', ({ duplicates }) => duplicates),
    sum('overtaken', ({ overtaken }) => overtaken),
  ];
}

/** A Markdown table of medians over the rounds, followed by the failures. `rate` is set for a load of fixed rate. */
export function table(results: Result[], rate: number | undefined): string {
  const groups = Map.groupBy(results, ({ name, qos }) => `${qos} ${name}`);
  const shown = columns(results, rate);
  const lines = [shown.map(({ title }) => title), shown.map((_, index) => (index === 1 ? '---' : '--:'))];
  for (const group of [...groups.values()].sort(inOrder))
    lines.push(shown.map(({ cell }) => cell(group, results)));
  const failures = results.flatMap(({ name, qos, round, outcome }) =>
    outcome instanceof Error ? [`- ${name}, QoS ${qos}, round ${round}: ${outcome.message}`] : [],
  );
  const rows = lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return failures.length === 0 ? rows : `${rows}\n\nFailed:\n\n${failures.join('\n')}`;
}

const inOrder = ([a]: Result[], [b]: Result[]): number => place(a) - place(b);
const place = (result: Result | undefined): number =>
  result ? result.qos * contestantNames.length + contestantNames.indexOf(result.name) : 0;

/** CPU time per message relative to another forwarder in the same round, so that a slow round affects both. */
function ratios(group: Result[], all: Result[], against: ContestantName): number[] {
  return group.flatMap(({ qos, round, outcome }) => {
    const other = all.find(
      (each) => each.name === against && each.qos === qos && each.round === round,
    )?.outcome;
    if (outcome instanceof Error || other === undefined || other instanceof Error) return [];
    return [outcome.cpuMicrosPerMessage / other.cpuMicrosPerMessage];
  });
}

/** The middle value, or the mean of the two in the middle. Undefined when there are none. */
export function median(values: number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

const text = (value: number | undefined, decimals: number): string =>
  value === undefined ? '–' : value.toFixed(decimals);
