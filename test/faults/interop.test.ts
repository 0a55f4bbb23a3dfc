import { beforeAll, describe, expect, test } from 'vitest';
import { type Broker, FaultyPipeline } from '../support/faulty-pipeline.ts';
import { checked, outline, plainClient } from '../support/mqtt.ts';
import { kinds } from '../support/other-brokers.ts';
import { skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

/** Brokers other than mosquitto: their features work, and the connection test reports missing ones. */

const soak = process.env.PENSTOCK_SOAK === '1';
const stretch = soak ? 5_000 : 200;
const qosNames = { 1: 'AtLeastOnce', 2: 'ExactlyOnce' } as const;

for (const kind of kinds) {
  describe.skipIf(kind.skipped !== undefined)(skipping(kind.name, kind.skipped), () => {
    let broker: Broker;
    beforeAll(async () => {
      broker = await kind.start();
    }, 300_000);

    // A check does this at the highest QoS of the broker, which is the most that can go wrong.
    test.each(([1, 2] as const).filter((qos) => soak || qos === kind.maximumQos))(
      'loses nothing at QoS %d when Penstock is killed',
      async (qos) => {
        const possible = Math.min(qos, kind.maximumQos) as 1 | 2;
        const rig = await FaultyPipeline.start({
          source: broker,
          sink: broker,
          qos,
          publishQos: possible,
          // With aedes, MQTT.js alone loses messages at QoS 2 in a persistent session.
          watchQos: 1,
          topics: `qos${qos}`,
        });
        const { traffic, ledger, penstock } = rig;
        const stop = traffic.keepPublishing(1000);
        await rig.passed(stretch);
        await penstock.kill('SIGKILL');
        await penstock.resume();
        await rig.passed(ledger.highestGiven + stretch);
        await stop();
        await until('every message arrives', () => traffic.arrived === traffic.sent, 60_000).catch(() => {});
        const { sent, missing, duplicated } = traffic;
        console.log(`${kind.name}, QoS ${qos}: ${sent} sent, ${missing.length} lost, ${duplicated} twice`);
        expect(missing).toEqual([]);
        expect(ledger).toMatchObject({ early: 0, disordered: 0 });
      },
      300_000,
    );

    test('the connection test of a profile makes a round trip', async () => {
      const steps = await checked({ url: broker.url });
      expect(outline(steps)).toEqual([
        'resolve:ok',
        'tcp:ok',
        'mqtt_connect:ok',
        'subscribe:ok',
        'publish:ok',
        'first_message:ok',
      ]);
      expect(steps[2]).toMatchObject({ details: { protocolVersion: '3.1.1' } });
    });

    test.each([1, 2] as const)(
      'the connection test of a source table at QoS %d says what is granted',
      async (qos) => {
        const client = await plainClient(broker.url, { protocolVersion: 4 });
        const publishing = setInterval(() => client.publish('check/in', '{}', { qos: 1 }), 50);
        const table = { topic: 'check/in', qos: qosNames[qos], type: {} };
        const steps = await checked({ url: broker.url }, { table });
        clearInterval(publishing);
        await client.endAsync(true);
        const subscribe = qos <= kind.maximumQos ? 'subscribe:ok' : 'subscribe:warning:mqtt_qos_downgraded';
        expect(outline(steps).slice(3)).toEqual([subscribe, 'first_message:ok', 'decode:skipped']);
      },
    );

    test('the connection test of a sink table publishes', async () => {
      const table = { topic: 'check/out', qos: qosNames[1], type: { retain: false } };
      const steps = await checked({ url: broker.url }, { table });
      expect(outline(steps).slice(3)).toEqual(['publish:ok']);
    });
  });
}
