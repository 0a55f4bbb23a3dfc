import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checked, outline } from '../support/mqtt.ts';
import { type Kind, kinds } from '../support/other-brokers.ts';
import type { Broker } from '../support/rig.ts';

/** What brokers that speak 3.1.1 only cannot do and do not say: the connection test has to find it out. */

const soak = process.env.PENSTOCK_SOAK === '1';
const sink = { topic: 'check/out', qos: 'ExactlyOnce', type: { retain: false } } as const;

const suite = (name: string, tests: (url: () => string) => void): void => {
  const kind = kinds.find((one) => one.name === name) as Kind;
  const left = !kind.installed || (!kind.quick && !soak);
  describe.skipIf(left)(`${name}${left ? ' (skipped: not installed, or slow to start)' : ''}`, () => {
    let broker: Broker;
    beforeAll(async () => {
      broker = await kind.start();
    }, 150_000);
    afterAll(() => broker?.stop());
    tests(() => broker.url);
  });
};

const sharedSubscription = (url: () => string): void => {
  test('a shared subscription that is taken for an ordinary topic is not reported as granted', async () => {
    const table = { topic: '$share/group/check/in', qos: 'AtLeastOnce', type: {} } as const;
    const steps = await checked({ url: url() }, { table, stepTimeoutMs: 2_000 });
    expect(outline(steps)[3]).not.toBe('subscribe:ok');
  });
};

suite('aedes', sharedSubscription);

suite('nats-server', (url) => {
  test('a connection that is closed at a QoS 2 message is reported as lost, at once', async () => {
    const steps = await checked({ url: url() }, { table: sink, stepTimeoutMs: 2_000 });
    expect(outline(steps)[3]).toBe('publish:failed:connection_lost');
  });

  sharedSubscription(url);
});

suite('RabbitMQ', (url) => {
  test.fails('a QoS 2 message that is answered like one of QoS 1 is reported as downgraded', async () => {
    const steps = await checked({ url: url() }, { table: sink });
    expect(outline(steps)[3]).toBe('publish:warning:mqtt_qos_downgraded');
  });

  sharedSubscription(url);
});
