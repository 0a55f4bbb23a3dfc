import type { Packet } from 'mqtt-packet';
import { describe, expect, test } from 'vitest';
import { mosquitto, openedSink, openedSource, scripted } from '../../../../test/support/fixtures.ts';
import {
  ackAll,
  checked,
  outline,
  recordingWarnings,
  sinkContext,
  sourceContext,
  texts,
  unique,
} from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import { isInternal } from '../config/topic.ts';
import { suspectsIn } from './rewrites.ts';

const source = (topic: string) => ({ topic, qos: 'AtLeastOnce' as const, type: {} });
const sink = (topic: string) => ({ topic, qos: 'AtLeastOnce' as const, type: { retain: false } });

/** A broker that delivers each message to its publisher under a topic of its own making. */
const rewriting = async (change: (topic: string) => string) => {
  const on = (
    packet: Packet,
    connection: { send(...packets: Packet[]): void; of(cmd: 'subscribe'): unknown[] },
  ) => {
    if (packet.cmd !== 'publish' || connection.of('subscribe').length === 0) return false;
    const topic = change(packet.topic);
    connection.send({ cmd: 'publish', topic, payload: packet.payload, qos: 0, dup: false, retain: false });
    return false;
  };
  return (await scripted({ on })).url;
};
const dots = (topic: string) => topic.replaceAll('.', '/');

describe('a broker that rewrites topics', () => {
  test.each([
    ['plant/10.0.0.5/celsius', dots, '"." in a topic', 'a.b/end arrives as a/b/end'],
    ['plant/room 1', (topic: string) => topic.replaceAll(' ', '_'), '" " in a topic', 'a_b'],
    ['plant/*', (topic: string) => topic.replaceAll('*', '+'), '"*" in a topic', 'a+b'],
  ])('warns in the test and at the job of a sink to %s', async (topic, change, what, how) => {
    const url = await rewriting(change);
    const steps = await checked({ url }, { table: sink(topic) });
    const step = steps.find(({ name }) => name === 'topic');
    expect(step).toMatchObject({ outcome: 'warning', code: 'mqtt_topic_rewritten' });
    expect(step?.message).toContain(what);
    expect(step?.message).toContain(how);
    const { warnings, warn } = recordingWarnings();
    await openedSink({ ...sinkContext({ url }, topic), warn });
    await until('the warning', () => warnings.length > 0);
    expect(warnings[0]).toMatchObject({
      code: 'mqtt_topic_rewritten',
      message: step?.message,
      hint: step?.hint,
    });
  });

  test('warns of a filter in which a * is taken for a wildcard, and at the job', async () => {
    const url = await rewriting((topic) => topic);
    const steps = await checked({ url }, { table: source('plant/*/celsius'), last: 'topic' });
    expect(outline(steps)).toContain('topic:warning:mqtt_topic_rewritten');
    const { warnings, warn } = recordingWarnings();
    await openedSource(sourceContext({ url }, 'plant/*/celsius', 'AtLeastOnce', { warn }));
    await until('the warning', () => warnings.some(({ code }) => code === 'mqtt_topic_rewritten'));
  });

  test('is not seen in one that does not, nor tried for other topics or without publishing', async () => {
    const { url } = await mosquitto();
    const steps = await checked({ url }, { table: sink('plant/10.0.0.5 *') });
    expect(outline(steps)).toContain('topic:ok');
    expect(outline(await checked({ url }, { table: source('plant/*/x'), last: 'topic' }))).toContain(
      'topic:ok',
    );
    for (const request of [{ table: sink('plant/a') }, { table: sink('a.b'), probe: 'none' as const }])
      expect(outline(await checked({ url }, request)).join()).not.toContain('topic:');
    expect(suspectsIn(sink('plant/{{ a.b }}'))).toEqual([]);
    expect(suspectsIn(source('$share/x.y/plant/+'))).toEqual([]);
  });
});

describe('topics of the broker itself', () => {
  test.each([
    ['$MQTT/sess/x', '#', true],
    ['$JS/API/INFO', '+/#', true],
    ['ActiveMQ/Advisory/Connection', '#', true],
    ['$SYS/broker/version', '$SYS/#', false],
    ['ActiveMQ/Advisory/Connection', 'ActiveMQ/#', false],
    ['plant/$x', '#', false],
  ])('%s under %s: %s', (topic, filter, internal) => {
    expect(isInternal(topic, filter)).toBe(internal);
  });

  test('are not read through a wildcard, but acknowledged', async () => {
    const broker = await scripted();
    const { reader } = await openedSource(sourceContext({ url: broker.url }, '#'));
    const message = { cmd: 'publish' as const, payload: 'x', qos: 1 as const, dup: false, retain: false };
    broker.connection.send(
      { ...message, topic: '$JS/API/INFO', messageId: 1 },
      { ...message, topic: 'ActiveMQ/Advisory/Queue', messageId: 2 },
      { ...message, topic: unique(), messageId: 3, payload: 'mine' },
    );
    const taken = await reader.take(1);
    expect(texts(taken)).toEqual(['mine']);
    ackAll(taken);
    await broker.connection.expect('puback', 3);
  });
});
