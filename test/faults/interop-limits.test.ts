import { beforeAll, describe, expect, test } from 'vitest';
import { openSink } from '../../src/connectors/mqtt/sink/sink.ts';
import type { Broker } from '../support/faulty-pipeline.ts';
import { checked, errorOf, messages, outline, recordingWarnings, sinkContext } from '../support/mqtt.ts';
import { type BrokerKind, kinds } from '../support/other-brokers.ts';
import { skipping } from '../support/skipping.ts';

/** The connection test has to detect the undeclared limits of 3.1.1 brokers. */

const sink = { topic: 'check/out', qos: 'ExactlyOnce', type: { retain: false } } as const;

const suite = (name: string, tests: (url: () => string) => void): void => {
  const kind = kinds.find((one) => one.name === name) as BrokerKind;
  describe.skipIf(kind.skipped !== undefined)(skipping(name, kind.skipped), () => {
    let broker: Broker;
    beforeAll(async () => {
      broker = await kind.start();
    }, 300_000);
    tests(() => broker.url);
  });
};

const sharedSubscription = (url: () => string): void => {
  test('a shared subscription that the broker treats as an ordinary topic is not reported as granted', async () => {
    const table = { topic: '$share/group/check/in', qos: 'AtLeastOnce', type: {} } as const;
    const steps = await checked({ url: url() }, { table, stepTimeoutMs: 2_000 });
    expect(outline(steps)[3]).not.toBe('subscribe:ok');
  });
};

suite('aedes', sharedSubscription);

suite('nats-server', (url) => {
  test('a connection that is closed at a QoS 2 message, and not at one of QoS 1, is reported as downgraded', async () => {
    const steps = await checked({ url: url() }, { table: sink });
    expect(outline(steps)[3]).toBe('publish:warning:mqtt_qos_downgraded');
    expect(steps[3]).toMatchObject({ message: expect.stringContaining('closes the connection') });
  });

  test('a sink with QoS 2 writes at QoS 1 after two connections, and warns', async () => {
    const { warn, warnings } = recordingWarnings();
    const context = sinkContext({ url: url() }, 'sink/out', 'ExactlyOnce', { warn });
    const write = async () => {
      const opened = await openSink(context);
      try {
        return await opened.write(messages(1));
      } finally {
        await opened.close();
      }
    };
    for (let time = 0; time < 2; time += 1) {
      expect(await errorOf(write())).toMatchObject({ code: 'connection_lost' });
      expect(warnings).toEqual([]);
    }
    expect(await write()).toEqual([]);
    expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded', facts: { asked: 2, granted: 1 } }]);
  });

  sharedSubscription(url);
});

suite('RabbitMQ', (url) => {
  test('a QoS 2 message that is confirmed like one of QoS 1 is reported as downgraded', async () => {
    const steps = await checked({ url: url() }, { table: sink });
    expect(outline(steps)[3]).toBe('publish:warning:mqtt_qos_downgraded');
  });

  test('a sink with QoS 2 accepts the confirmation of QoS 1, and warns once', async () => {
    const { warn, warnings } = recordingWarnings();
    const opened = await openSink(sinkContext({ url: url() }, 'sink/out', 'ExactlyOnce', { warn }));
    expect(await opened.write(messages(50))).toEqual([]);
    await opened.close();
    expect(warnings).toMatchObject([{ code: 'mqtt_qos_downgraded', facts: { asked: 2, granted: 1 } }]);
  });

  sharedSubscription(url);
});
