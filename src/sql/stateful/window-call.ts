import type { DuckDBConnection } from '@duckdb/node-api';
import type { Findings } from '../diagnostic.ts';
import { children, type Places, type TreeNode } from '../parse-tree.ts';
import type { WindowSpec } from '../plan.ts';
import { expressionText } from './tree.ts';

/** Arroyo's functions for windows in time: `tumble(width)`, `hop(slide, width)`, `session(gap)`. */

const parameters: Readonly<Record<string, readonly string[]>> = {
  tumble: ['width'],
  hop: ['slide', 'width'],
  session: ['gap'],
};

export const isWindowCall = (node: TreeNode): boolean =>
  node.class === 'FUNCTION' && Object.hasOwn(parameters, nameOf(node));

const nameOf = (node: TreeNode): string => String(node.function_name).toLowerCase();

const minMicros = 1000;
const maxMicros = 366 * 86_400 * 1_000_000;
/** Maximum number of windows that a row of `hop` is in. */
const maxWindows = 10_000;

/** Reads a call. Its arguments are intervals, written as such or as a text. */
export async function readWindow(
  connection: DuckDBConnection,
  call: TreeNode,
  places: Places,
  findings: Findings,
): Promise<WindowSpec> {
  const name = nameOf(call);
  const wanted = parameters[name] as readonly string[];
  const given = children(call.children);
  if (given.length !== wanted.length)
    findings.stop(`${name} takes ${wanted.join(' and ')}: ${examples[name]}`, places.of(call));
  const values: number[] = [];
  for (const [index, argument] of given.entries())
    values.push(
      await microsOf(connection, argument, { name, parameter: String(wanted[index]) }, places, findings),
    );
  const [first = 0, second = 0] = values;
  if (name === 'tumble') return { kind: 'tumble', width: first };
  if (name === 'session') return { kind: 'session', gap: first };
  if (second % first !== 0)
    findings.stop(
      `The width of hop must be a multiple of its slide: ${examples.hop} has windows of a minute every 10 seconds`,
      places.of(call),
    );
  if (second / first > maxWindows)
    findings.stop(
      `The width of hop may be at most ${maxWindows} slides: choose a longer slide`,
      places.of(call),
    );
  return first === second ? { kind: 'tumble', width: first } : { kind: 'hop', slide: first, width: second };
}

const examples: Readonly<Record<string, string>> = {
  tumble: "tumble(INTERVAL '1 minute')",
  hop: "hop(INTERVAL '10 seconds', INTERVAL '1 minute')",
  session: "session(INTERVAL '30 seconds')",
};

async function microsOf(
  connection: DuckDBConnection,
  argument: TreeNode,
  { name, parameter }: { name: string; parameter: string },
  places: Places,
  findings: Findings,
): Promise<number> {
  const text = await expressionText(connection, argument);
  const invalid = `The ${parameter} of ${name} must be a fixed interval, such as INTERVAL '1 minute'`;
  let months: number;
  let micros: number;
  try {
    const interval = `CAST(${text} AS INTERVAL)`;
    const sql = `SELECT datepart('year', i) * 12 + datepart('month', i), CAST(epoch(i) * 1000000 AS BIGINT) FROM (SELECT ${interval} AS i)`;
    const [row = []] = (await connection.runAndReadAll(sql)).getRows();
    [months, micros] = [Number(row[0]), Number(row[1])];
  } catch {
    return findings.stop(invalid, places.of(argument));
  }
  if (months !== 0)
    findings.stop(`${invalid}; months and years have no fixed length, write days`, places.of(argument));
  if (!(micros >= minMicros && micros <= maxMicros))
    findings.stop(
      `The ${parameter} of ${name} must be between 1 millisecond and 366 days`,
      places.of(argument),
    );
  return micros;
}

export const sameWindow = (one: WindowSpec, other: WindowSpec): boolean =>
  JSON.stringify(one) === JSON.stringify(other);
