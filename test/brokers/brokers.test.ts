import { beforeAll, describe, expect, test } from 'vitest';
import { skipping } from '../support/skipping.ts';
import { cellsOf } from './cells.ts';
import { facts } from './facts.ts';
import { brokerRows, type RestartableBroker } from './kinds.ts';

/** Holds the table of docs/brokers.md to what the brokers do. PENSTOCK_BROKER_FACTS=1 prints it instead. */

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

describe.each(brokerRows)('$name', ({ name, skipped, start }) => {
  describe.skipIf(skipped !== undefined)(skipping('behaves as docs/brokers.md says', skipped), () => {
    let broker: RestartableBroker;
    beforeAll(async () => {
      broker = await start();
    }, 300_000);

    test.each(Object.keys(facts).filter((fact) => soak || short.has(fact)))(
      '%s',
      { timeout: 300_000 },
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
