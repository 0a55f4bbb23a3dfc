import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { skipping } from '../support/skipping.ts';
import { facts } from './facts.ts';
import { brokerRows, type RestartableBroker } from './kinds.ts';

/** Holds the table of docs/brokers.md to what the brokers do. PENSTOCK_BROKER_FACTS=1 prints it instead. */

const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'brokers.md'), 'utf8');
const soak = process.env.PENSTOCK_SOAK === '1';
/** Those that the check compares: the others wait until nothing more comes. */
const short: ReadonlySet<string> = new Set([
  ...[
    'session expiry granted of 7 days',
    'receive maximum',
    'maximum QoS',
    'QoS granted to a subscription at QoS 2',
  ],
  ...['session after a restart', 'subscription after a restart', 'shared subscription after a restart'],
]);
const printing = process.env.PENSTOCK_BROKER_FACTS === '1';

/** The cells of a broker, by fact. */
function cellsOf(name: string): Map<string, string> {
  const lines = page.split('\n').filter((line) => line.startsWith('|'));
  const split = (line: string) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
  const cells = new Map<string, string>();
  let column = -1;
  for (const line of lines) {
    const parts = split(line);
    if (parts[0] === 'fact') column = parts.indexOf(name);
    else if (column > 0) cells.set(parts[0] as string, parts[column] as string);
  }
  return cells;
}

describe.each(brokerRows)('$name', ({ name, skipped, start }) => {
  describe.skipIf(skipped !== undefined)(skipping('behaves as docs/brokers.md says', skipped), () => {
    let broker: RestartableBroker;
    beforeAll(async () => {
      broker = await start();
    }, 150_000);

    test.each(Object.keys(facts).filter((fact) => soak || short.has(fact)))(
      '%s',
      { timeout: 120_000 },
      async (fact) => {
        const found = await (facts[fact] as (typeof facts)[string])(broker).catch(
          (error: Error) => error.message,
        );
        if (printing) console.log(`FACT|${name}|${fact}|${found}`);
        else expect(found).toBe(cellsOf(name).get(fact));
      },
    );
  });
});
