import { parseArgs } from 'node:util';
import type { QoS } from 'mqtt-packet';
import { type ContestantName, contestantNames, type Programs, ready, usualNames } from './contestants.ts';
import { assertProc } from './proc.ts';
import { machineFacts, type Result, table } from './report.ts';
import { type Figures, measure } from './stretch.ts';

/** Measures the cost of forwarding a message. README.md explains the method and its limits. */

const usage = `Usage: npm run bench -- [--rounds 3] [--seconds 5] [--qos 0,1,2] [--rate <messages a second>]
                        [--only ${contestantNames.join(',')}]
                        [--bento <path>] [--telegraf <path>]
`;

interface Plan {
  rounds: number;
  seconds: number;
  levels: QoS[];
  rate: number | undefined;
  names: ContestantName[];
  programs: Programs;
}

class UsageError extends Error {}

function readArguments(args: string[]): Plan {
  const options = {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    qos: { type: 'string', default: '0,1,2' },
    only: { type: 'string', default: usualNames.join(',') },
    rate: { type: 'string' },
    bento: { type: 'string' },
    telegraf: { type: 'string' },
  } as const;
  let values: Record<'rounds' | 'seconds' | 'qos' | 'only', string> &
    Partial<Record<'rate' | 'bento' | 'telegraf', string>>;
  try {
    ({ values } = parseArgs({ args, options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return {
    rounds: positive('rounds', values.rounds, 1000),
    seconds: positive('seconds', values.seconds, 1000),
    rate: values.rate === undefined ? undefined : positive('rate', values.rate, 100_000),
    levels: chosen('qos', values.qos, ['0', '1', '2']).map((level) => Number(level) as QoS),
    names: chosen('only', values.only, contestantNames),
    programs: { bento: values.bento, telegraf: values.telegraf },
  };
}

function positive(name: string, text: string, most: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= most) return value;
  throw new UsageError(`--${name} must be a number from 1 to ${most}`);
}

function chosen<T extends string>(name: string, text: string, possible: readonly T[]): T[] {
  const asked = text.split(',').map((part) => part.trim());
  const unknown = asked.find((part) => !(possible as readonly string[]).includes(part));
  if (unknown === undefined) return possible.filter((each) => asked.includes(each));
  throw new UsageError(`--${name}: "${unknown}" is none of ${possible.join(', ')}`);
}

/** Aborts at SIGINT or SIGTERM. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  // Ctrl-C may arrive twice, from the terminal and from npm. The second one must not interrupt the cleanup.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => controller.abort(new Error(`interrupted by ${signal}`)));
  return controller.signal;
}

async function measureAll(plan: Plan, signal: AbortSignal): Promise<Result[]> {
  const { rounds, seconds, levels, rate, names, programs } = plan;
  const results: Result[] = [];
  for (let round = 1; round <= rounds; round++)
    for (const qos of levels)
      for (const name of rotated(names, round)) {
        const outcome = await measure({ name, qos, seconds, rate, programs }, signal).catch(
          (error: unknown) => error as Error,
        );
        signal.throwIfAborted();
        results.push({ name, qos, round, outcome });
        process.stderr.write(`round ${round}/${rounds}, QoS ${qos}, ${name}: ${progress(outcome)}\n`);
      }
  return results;
}

/** Rotates the order, so that each round starts with another forwarder. */
const rotated = <T>(items: T[], by: number): T[] => {
  const first = by % items.length;
  return [...items.slice(first), ...items.slice(0, first)];
};

function progress(outcome: Figures | Error): string {
  if (outcome instanceof Error) return `failed: ${outcome.message}`;
  const { perSecond, cpuMicrosPerMessage, delayMs, lost, duplicates, overtaken } = outcome;
  const flaws =
    lost + duplicates + overtaken > 0
      ? `, ${lost} lost, ${duplicates} duplicated, ${overtaken} overtaken`
      : '';
  return `${perSecond.toFixed(0)} messages/s, ${cpuMicrosPerMessage.toFixed(1)} µs, delay ${delayMs.p50.toFixed(2)} ms${flaws}`;
}

async function main(): Promise<number> {
  try {
    const plan = readArguments(process.argv.slice(2));
    assertProc();
    const skip = (name: string, why: string) => process.stderr.write(`without ${name}: ${why}\n`);
    const names = ready(plan.names, plan.programs, skip);
    process.stdout.write(`${machineFacts()}\n\n`);
    const results = await measureAll({ ...plan, names }, interruption());
    process.stdout.write(`${table(results, plan.rate)}\n`);
    return results.some(({ outcome }) => outcome instanceof Error) ? 1 : 0;
  } catch (error) {
    process.stderr.write(`bench: ${(error as Error).message}\n`);
    if (error instanceof UsageError) process.stderr.write(usage);
    return error instanceof UsageError ? 2 : 1;
  }
}

process.exitCode = await main();
