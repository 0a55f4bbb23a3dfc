import { execFile } from 'node:child_process';
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs, promisify } from 'node:util';
import { codecFor, expandSchema, rowsOf } from '../src/formats/codec.ts';
import { type FormatCase, formatCases } from './format-cases.ts';

/** Measures the cost of reading and writing a row in each format. README.md explains the method and its limits. */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    processes: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    /** The case that this child process measures. */
    measure: { type: 'string' },
  },
});
const rounds = Number(values.rounds);
const stretchMs = 200;

/** Rows per second of CPU time, in pairs: Penstock, then the library. */
interface Rates {
  decode: [ours: number, bare: number][];
  encode: [ours: number, bare: number][];
}

/** Runs `work`, which handles `rows` rows, for one stretch. Returns rows per second of CPU time. */
function rate(work: () => void, rows: number): number {
  const until = performance.now() + stretchMs;
  const before = process.cpuUsage();
  let times = 0;
  do {
    work();
    times += 1;
  } while (performance.now() < until);
  const { user, system } = process.cpuUsage(before);
  return (times * rows * 1_000_000) / (user + system);
}

function measured({ schema, rows, read, write, plain }: FormatCase): Rates {
  const codec = codecFor(expandSchema(schema));
  const single = rows.map((row) => codec.encode(row));
  const payloads = codec.decodeAll ? [Buffer.concat(single)] : single;
  const prepared = rows.map(plain);
  const decodes: [() => void, () => void] = [
    () => payloads.forEach((payload) => void rowsOf(codec, payload)),
    () => payloads.forEach((payload) => void read(payload)),
  ];
  const encodes: [() => void, () => void] = [
    () => rows.forEach((row) => void codec.encode(row)),
    () => prepared.forEach((row) => void write(row)),
  ];
  const pair = ([ours, bare]: [() => void, () => void]): [number, number] => [
    rate(ours, rows.length),
    rate(bare, rows.length),
  ];
  const rates: Rates = { decode: [], encode: [] };
  // The first round is the warm-up.
  for (let round = 0; round <= rounds; round += 1) {
    const decode = pair(decodes);
    const encode = pair(encodes);
    if (round > 0) {
      rates.decode.push(decode);
      rates.encode.push(encode);
    }
  }
  return rates;
}

const median = (numbers: number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;

/** Medians of our rate in thousands and of its share of the library's rate in the same round. */
function cells(pairs: [ours: number, bare: number][]): string[] {
  const ours = median(pairs.map(([rate]) => rate));
  const share = median(pairs.map(([rate, bare]) => rate / bare));
  return [Math.round(ours / 1000).toLocaleString('en'), share.toFixed(2)];
}

/**
 * Each case runs in separate processes: V8's type feedback from one format would slow the next, and compiled code
 * varies between processes.
 */
async function inProcesses({ name }: FormatCase): Promise<Rates> {
  const all: Rates = { decode: [], encode: [] };
  const args = [import.meta.filename, '--measure', name, '--rounds', String(rounds)];
  for (let left = Number(values.processes); left > 0; left -= 1) {
    const { stdout } = await promisify(execFile)(process.execPath, args);
    const { decode, encode } = JSON.parse(stdout) as Rates;
    all.decode.push(...decode);
    all.encode.push(...encode);
  }
  return all;
}

async function report(): Promise<void> {
  const [load = 0] = loadavg();
  console.info(`- ${availableParallelism()} cores, ${cpus()[0]?.model}, Node.js ${process.versions.node}`);
  console.info(`- load average before the run: ${load.toFixed(2)}\n`);
  console.info('| format | decode, 1,000 rows/s | of the library | encode, 1,000 rows/s | of the library |');
  console.info('| --- | --: | --: | --: | --: |');
  for (const formatCase of formatCases.filter(({ name }) => name.includes(values.only))) {
    const { decode, encode } = await inProcesses(formatCase);
    console.info(`| ${[formatCase.name, ...cells(decode), ...cells(encode)].join(' | ')} |`);
  }
}

const alone = formatCases.find(({ name }) => name === values.measure);
if (alone) console.info(JSON.stringify(measured(alone)));
else await report();
