// Separate process: the same rows by one COPY with pg-copy-streams, without MQTT. Prints the CPU time that it took.
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import { from } from 'pg-copy-streams';
import { encodePayload } from './message.ts';

const [url, count] = process.argv.slice(2);

function* lines(): Generator<string> {
  for (let seq = 1; seq <= Number(count); seq += 1) {
    const row = JSON.parse(encodePayload(seq).toString());
    yield `${row.seq}\t${row.text}\n`;
  }
}

const client = new pg.Client({ connectionString: url as string });
await client.connect();
const start = performance.now();
const before = process.cpuUsage();
await pipeline(Readable.from(lines()), client.query(from('COPY rows (seq, text) FROM STDIN')));
const { user, system } = process.cpuUsage(before);
process.stderr.write(`${JSON.stringify({ ms: performance.now() - start, cpuMicros: user + system })}\n`);
await client.end();
process.once('SIGTERM', () => process.exit(0));
setInterval(() => {}, 1_000);
