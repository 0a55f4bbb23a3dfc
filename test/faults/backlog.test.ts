import { expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { onlyInSoak, skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';

const messages = 80_000;

/**
 * mosquitto 2.0 sends a resumed session its whole queue, whatever the receive maximum, and so reuses packet identifiers
 * that are not released.
 */
test.skipIf(onlyInSoak !== undefined)(
  skipping(
    'a queue of more QoS 2 messages than there are packet identifiers is taken whole, in order',
    onlyInSoak,
  ),
  async () => {
    const broker = () => Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });
    const sink = await broker();
    const rig = await FaultyPipeline.start({ source: await broker(), sink, qos: 2 });
    const { traffic, ledger } = rig;
    await traffic.publish(2_000);
    rig.sink.refuse();
    await sink.kill('SIGTERM');
    await traffic.publish(messages - 2_000);
    await sink.resume();
    await rig.sink.heal();
    await until('every message arrives', () => traffic.arrived === messages, 300_000).catch(() => {});
    console.log(`${messages} sent, ${traffic.missing.length} lost, ${traffic.duplicated} twice`);
    expect(traffic.missing).toEqual([]);
    expect(ledger).toMatchObject({ early: 0, disordered: 0 });
  },
  400_000,
);
