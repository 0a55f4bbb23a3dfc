import { describe, expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';
import { until } from '../support/until.ts';

/** One message that cannot be processed: the job ends, and no message is lost. */

const refusedNumber = 150;
const payloadFormatInvalid = 0x99;

const sourceBroker = () => Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true });

describe.each([1, 2] as const)('at QoS %d', (qos) => {
  test('a sink that always refuses one message fails the job, and refused messages stay with the source', async () => {
    let refusing = true;
    const sink = await ScriptedBroker.start({
      on(packet, connection) {
        if (packet.cmd !== 'publish' || !refusing) return false;
        if ((JSON.parse(packet.payload.toString()) as { seq: number }).seq !== refusedNumber) return false;
        const { messageId = 0 } = packet;
        connection.send({
          cmd: qos === 1 ? 'puback' : 'pubrec',
          messageId,
          reasonCode: payloadFormatInvalid,
        });
        return true;
      },
    });
    const schema = { bad_data: { behavior: 'fail' } };
    const rig = await FaultyPipeline.start({ source: await sourceBroker(), sink, qos, schema });
    const { ledger, traffic } = rig;
    await traffic.publish(300);
    await until('the job fails', async () => (await rig.job()).state === 'Failed');
    expect(await rig.job()).toMatchObject({ failure_reason: { code: 'mqtt_publish_refused' } });
    expect(ledger.taken.has(refusedNumber)).toBe(false);
    expect(ledger.acknowledged).toBeLessThanOrEqual(refusedNumber);
    refusing = false;
    await rig.restart();
    await until('every message is taken', () => ledger.taken.size === traffic.sent);
    expect(ledger).toMatchObject({ early: 0, disordered: 0 });
  });

  test('a bad message fails the job with fail, and stays with the source', async () => {
    const sink = await Mosquitto.start({ quiet: true });
    const schema = { bad_data: { behavior: 'fail' } };
    const rig = await FaultyPipeline.start({ source: await sourceBroker(), sink, qos, schema });
    const { ledger, traffic } = rig;
    await traffic.publish(100);
    await until('they are acknowledged', () => ledger.acknowledged === 100);
    await traffic.publishRaw('{"device":"d"}');
    await traffic.publish(100);
    await until('the job fails', async () => (await rig.job()).state === 'Failed');
    expect(await rig.job()).toMatchObject({ failure_reason: { code: 'bad_data' } });
    expect(ledger.acknowledged).toBe(100);
    await rig.restart();
    await until('it fails again', async () => (await rig.job()).run_id === 2);
    await until('the job fails', async () => (await rig.job()).state === 'Failed');
    expect(ledger).toMatchObject({ acknowledged: 100, early: 0, disordered: 0 });
  });
});
