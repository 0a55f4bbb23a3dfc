import type { Side } from './faults.ts';

/** The result of one case, in messages. */
export interface Outcome {
  fault: string;
  side: Side;
  qos: 1 | 2;
  sent: number;
  /** Neither arrived at the other end nor confirmed by the sink's broker. */
  lost: number;
  /** Confirmed by the sink's broker, but never delivered by it. */
  lostBehind: number;
  duplicated: number;
  /** Time from the end of each fault until new messages arrived. */
  recoveriesMs: number[];
}

const seconds = (ms: number[]): string =>
  ms.length === 0 ? '' : `${(ms.reduce((sum, one) => sum + one, 0) / ms.length / 1000).toFixed(1)} s`;

/** One line of progress. */
export const line = (of: Outcome): string =>
  [
    `${of.fault}, ${of.side}, QoS ${of.qos}:`,
    `${of.sent} sent, ${of.sent - of.lost - of.lostBehind} delivered, ${of.lost} lost,`,
    of.lostBehind > 0 ? `${of.lostBehind} lost by the sink's broker,` : '',
    `${of.duplicated} twice${of.recoveriesMs.length > 0 ? `, back after ${seconds(of.recoveriesMs)}` : ''}`,
  ]
    .filter((part) => part !== '')
    .join(' ');

/** The table of docs/delivery.md. */
export function markdown(outcomes: Outcome[]): string {
  const rows = outcomes.map((of) =>
    [
      of.fault,
      of.recoveriesMs.length > 1 ? `${of.side}, ${of.recoveriesMs.length} times` : of.side,
      of.qos,
      of.sent,
      of.sent - of.lost - of.lostBehind,
      of.lost,
      of.lostBehind,
      of.duplicated,
      seconds(of.recoveriesMs),
    ].join(' | '),
  );
  return [
    '| fault | hit | QoS | sent | delivered | lost | lost by the sink’s broker | repeated | back after |',
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
    ...rows.map((row) => `| ${row} |`),
  ].join('\n');
}
