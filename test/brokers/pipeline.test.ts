import { describe, expect, test } from 'vitest';
import { FaultyPipeline } from '../support/faulty-pipeline.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { skipping } from '../support/skipping.ts';
import { until } from '../support/until.ts';
import { cellsOf } from './cells.ts';
import { type BrokerRow, brokerRows } from './kinds.ts';

/**
 * A pipeline with three tasks from every broker of docs/brokers.md, which is restarted, and then Penstock is killed. Nothing is
 * lost but what the table says that the broker forgets.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const stretch = soak ? 400 : 60;
/** Slow enough that no queue of a broker is full before Penstock is back. */
const perSecond = 60;
const patienceMs = 120_000;

/** Whether the broker may lose what it had confirmed when it is restarted. */
const isForgetful = (name: string): boolean => {
  const cells = cellsOf(name);
  return (
    ['session', 'subscription', 'queued message'].some((kept) =>
      cells.get(`${kept} after a restart`)?.startsWith('forgotten'),
    ) || cells.get('messages confirmed while it stops') !== 'kept'
  );
};

/** Whether a broker that was restarted queues nothing for its former sessions, even when they have subscribed again. */
const forgetsLater = (name: string): boolean =>
  cellsOf(name).get('message queued later, after a restart') === 'forgotten';

const qosOf = (name: string): readonly (1 | 2)[] => {
  const granted = cellsOf(name).get('QoS granted to a subscription at QoS 2') === '2' ? [1, 2] : [1];
  return (soak ? granted : granted.slice(-1)) as (1 | 2)[];
};

async function course({ name, start }: BrokerRow, qos: 1 | 2): Promise<void> {
  const [broker, sink] = [
    await start(),
    await Mosquitto.start({ config: ['max_queued_messages 0'], quiet: true }),
  ];
  const { username, port } = broker;
  const login = username === undefined ? '' : `${username}:x@`;
  const rig = await FaultyPipeline.start({
    source: { url: `mqtt://${login}127.0.0.1:${port}`, port },
    sink,
    qos,
    sinkQos: 1,
    watchQos: 1,
    parallelism: 3,
    sourceProfile: username === undefined ? {} : { username, password: 'x' },
  });
  const { traffic, ledger, penstock } = rig;
  const stop = traffic.keepPublishing(perSecond);
  await rig.passed(stretch, patienceMs);

  rig.source.refuse();
  await broker.kill('SIGTERM');
  await broker.resume();
  await rig.source.heal();
  await rig.passed(ledger.highestGiven, patienceMs);
  await rig.runsWith(3);
  const exposed = traffic.sent;
  await rig.passed(traffic.sent + stretch, patienceMs);

  await penstock.kill('SIGKILL');
  await penstock.resume();
  await rig.passed(traffic.sent + stretch, patienceMs);
  await stop();

  const forgetful = isForgetful(name);
  await until('every message', () => traffic.arrived === traffic.sent, forgetful ? 15_000 : patienceMs).catch(
    () => {},
  );
  const { sent, missing, duplicated } = traffic;
  const forgotten = missing.filter((seq) => seq < exposed);
  if (missing.length > 0)
    console.log(
      `missing from ${missing[0]} to ${missing.at(-1)}, back at ${exposed}: ${missing.slice(0, 40)}`,
    );
  console.log(
    `${name}, QoS ${qos}: ${sent} sent, ${missing.length} lost, ${forgotten.length} of them before it was back, ${duplicated} twice`,
  );
  const allowed = forgetsLater(name) ? sent : exposed;
  expect(missing.filter((seq) => !forgetful || seq >= allowed)).toEqual([]);
  await rig.runsWith(3);
}

describe.each(brokerRows)('$name', (row) => {
  describe.skipIf(row.skipped !== undefined)(
    skipping('loses nothing but what it forgets in a restart, with three tasks', row.skipped),
    () => {
      test.each(qosOf(row.name))('QoS %i', (qos) => course(row, qos), patienceMs * 6);
    },
  );
});
