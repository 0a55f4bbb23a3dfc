import { availableParallelism, cpus, loadavg, release } from 'node:os';
import type { QoS } from 'mqtt-packet';
import { findMosquitto } from './brokers.ts';
import { type ContestantName, contestantNames } from './contestants.ts';
import type { Figures } from './stretch.ts';

/** What came of one stretch. */
export interface Result {
  name: ContestantName;
  qos: QoS;
  round: number;
  outcome: Figures | Error;
}

/** The facts about this machine that the figures depend on, as Markdown. */
export function machineFacts(): string {
  const [load = 0] = loadavg();
  return [
    `- ${availableParallelism()} cores, ${cpus()[0]?.model ?? 'unknown CPU'}, Linux ${release()}`,
    `- Node.js ${process.versions.node}, mosquitto ${findMosquitto().version}`,
    `- load average before the run: ${load.toFixed(2)}`,
  ].join('\n');
}

const head = [
  'QoS',
  'forwarder',
  'messages/s',
  'CPU µs/message',
  'of the bridge',
  'of the bare loop',
  'peak RSS MB',
  'lost',
  'duplicated',
];

/** The medians over the rounds as a Markdown table, and below it what failed. */
export function table(results: Result[]): string {
  const groups = Map.groupBy(results, ({ name, qos }) => `${qos} ${name}`);
  const lines = [head, head.map((_, index) => (index === 1 ? '---' : '--:'))];
  for (const group of [...groups.values()].sort(inOrder)) lines.push(row(group, results));
  const failures = results.flatMap(({ name, qos, round, outcome }) =>
    outcome instanceof Error ? [`- ${name}, QoS ${qos}, round ${round}: ${outcome.message}`] : [],
  );
  const rows = lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
  return failures.length === 0 ? rows : `${rows}\n\nFailed:\n\n${failures.join('\n')}`;
}

const inOrder = ([a]: Result[], [b]: Result[]): number => place(a) - place(b);
const place = (result: Result | undefined): number =>
  result ? result.qos * contestantNames.length + contestantNames.indexOf(result.name) : 0;

function row(group: Result[], all: Result[]): string[] {
  const [first] = group;
  const measured = group.flatMap(({ outcome }) => (outcome instanceof Error ? [] : [outcome]));
  const of = (read: (figures: Figures) => number, decimals: number): string =>
    text(median(measured.map(read)), decimals);
  const sum = (read: (figures: Figures) => number): string =>
    text(measured.length === 0 ? undefined : measured.reduce((total, each) => total + read(each), 0), 0);
  return [
    String(first?.qos),
    String(first?.name),
    of(({ perSecond }) => perSecond, 0),
    of(({ cpuMicrosPerMessage }) => cpuMicrosPerMessage, 1),
    text(median(ratios(group, all, 'bridge')), 2),
    text(median(ratios(group, all, 'bare')), 2),
    of(({ peakBytes }) => peakBytes / 1e6, 0),
    sum(({ lost }) => lost),
    sum(({ duplicates }) => duplicates),
  ];
}

/** CPU per message against another forwarder in the same round, so that what slows a round down slows both. */
function ratios(group: Result[], all: Result[], against: ContestantName): number[] {
  return group.flatMap(({ qos, round, outcome }) => {
    const other = all.find(
      (each) => each.name === against && each.qos === qos && each.round === round,
    )?.outcome;
    if (outcome instanceof Error || other === undefined || other instanceof Error) return [];
    return [outcome.cpuMicrosPerMessage / other.cpuMicrosPerMessage];
  });
}

function median(values: number[]): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  return upper === undefined || lower === undefined ? undefined : (upper + lower) / 2;
}

const text = (value: number | undefined, decimals: number): string =>
  value === undefined ? '–' : value.toFixed(decimals);
