import { describe, expect, test } from 'vitest';
import { mosquitto, ordinaryClient, scripted } from '../../../../test/support/fixtures.ts';
import { checked, failed, outline, plainClient, unique } from '../../../../test/support/mqtt.ts';
import type { Script } from '../../../../test/support/scripted-broker.ts';
import { until } from '../../../../test/support/until.ts';
import type { MqttProfile } from '../config/profile.ts';

const plain = await mosquitto();
const closed = await mosquitto({
  users: { ada: 'right' },
  acl: 'user ada\ntopic readwrite mine/#\ntopic read seen/#\ntopic write told/#\n',
});

/** The profile of a scripted broker. */
const profileOf = async (script: Script): Promise<MqttProfile> => ({ url: (await scripted(script)).url });

const schema = {
  format: { type: 'json' as const },
  fields: [{ name: 'temperature', type: 'float64' as const, required: true }],
};

describe('the test of a source table', () => {
  const table = (topic: string) => ({ topic, qos: 'AtLeastOnce' as const, type: {} });

  async function retained(topic: string, payload: string): Promise<void> {
    const client = await plainClient(plain.url);
    await client.publishAsync(topic, payload, { qos: 1, retain: true });
    await client.endAsync();
  }

  test('subscribes, waits for a message and decodes it', async () => {
    const topic = `check/${unique()}`;
    await retained(`${topic}/one`, '{"temperature": 21.5}');
    const steps = await checked({ url: plain.url }, { table: table(`${topic}/+`), schema });
    expect(outline(steps).slice(3)).toEqual(['subscribe:ok', 'first_message:ok', 'decode:ok']);
    expect(steps.at(-1)?.details).toMatchObject({ topic: `${topic}/one`, columns: ['temperature'] });
  });

  test('reports where the message does not match the schema', async () => {
    const topic = `check/${unique()}`;
    await retained(topic, '{"temperature": "warm"}');
    const steps = await checked({ url: plain.url }, { table: table(topic), schema });
    expect(outline(steps).slice(-1)).toEqual(['decode:failed:bad_data']);
    expect(JSON.stringify(steps)).not.toContain('warm');
  });

  test('warns if no message arrives', async () => {
    const request = { table: table(`check/${unique()}`), schema, stepTimeoutMs: 500 };
    const steps = await checked(await profileOf({}), request);
    expect(outline(steps).slice(-2)).toEqual(['first_message:warning:mqtt_no_message', 'decode:skipped']);
  });

  test('reports that the subscription is refused or downgraded', async () => {
    const refused = await checked(await profileOf({ suback: 0x87 }), { table: table('a/b'), schema });
    expect(outline(refused).slice(-3)).toEqual([
      'subscribe:failed:mqtt_subscribe_refused',
      'first_message:skipped',
      'decode:skipped',
    ]);
    const request = { table: table('a/b'), last: 'subscribe' };
    const downgraded = await checked(await profileOf({ suback: 0 }), request);
    expect(outline(downgraded)).toContain('subscribe:warning:mqtt_qos_downgraded');
  });

  test('takes no message from the members of a shared subscription', async () => {
    const topic = `check/${unique()}`;
    const member = await ordinaryClient(plain.url);
    const seen: string[] = [];
    member.on('message', (_topic, payload) => seen.push(String(payload)));
    await member.subscribeAsync(`$share/team/${topic}`, { qos: 1 });
    const testing = checked({ url: plain.url }, { table: table(`$share/team/${topic}`) });
    await until(
      'the subscription of the test',
      () =>
        plain.log.includes(`penstock_check_`) &&
        /\$share\/penstock_check_\w+\//.test(plain.log.slice(plain.log.indexOf(topic))),
    );
    for (let index = 0; index < 4; index += 1) await member.publishAsync(topic, `${index}`, { qos: 1 });
    expect(outline(await testing)).toContain('first_message:ok');
    await until('all messages', () => seen.length === 4);
  });
});

describe('the test of a sink table', () => {
  const table = (topic: string, retain = true) => ({ topic, qos: 'AtLeastOnce' as const, type: { retain } });

  test('publishes one message that identifies itself as a test, not retained', async () => {
    const topic = `check/${unique()}`;
    const watcher = await ordinaryClient(plain.url);
    const seen: string[] = [];
    watcher.on('message', (_topic, payload) => seen.push(String(payload)));
    await watcher.subscribeAsync(topic);
    const steps = await checked({ url: plain.url }, { table: table(topic) });
    expect(outline(steps).slice(3)).toEqual(['publish:ok']);
    await until('the message', () => seen.length === 1);
    expect(seen[0]).toContain('connection test');
  });

  test('publishes nothing if the probe is none', async () => {
    const steps = await checked({ url: plain.url }, { table: table('check/none'), probe: 'none' });
    expect(outline(steps).slice(3)).toEqual(['publish:skipped']);
  });

  test('reports that the broker refuses the message', async () => {
    const profile = { url: closed.url, username: 'ada', password: 'right' };
    const steps = await checked(profile, { table: table('forbidden') });
    expect(failed(steps)).toMatchObject({ name: 'publish', code: 'mqtt_publish_refused' });
    expect(outline(await checked(profile, { table: table('mine/x') })).slice(-1)).toEqual(['publish:ok']);
  });

  describe.each([
    ['MQTT 3.1.1', { protocolVersion: '3.1.1' as const }, 'AtLeastOnce' as const],
    ['QoS 0', {}, 'AtMostOnce' as const],
  ])('at %s, where a broker need not say that it discards a message', (_what, version, qos) => {
    const profile = { url: closed.url, username: 'ada', password: 'right', ...version };
    const tested = async (topic: string) =>
      (await checked(profile, { table: { ...table(topic, false), qos } })).at(-1);

    test('proves by a second client that the message arrives, or does not', async () => {
      expect(await tested('mine/x')).toMatchObject({
        outcome: 'ok',
        message: expect.stringContaining('A second client received it'),
        details: { arrived: true },
      });
      expect(await tested('seen/x')).toMatchObject({
        outcome: 'warning',
        code: 'mqtt_no_message',
        hint: expect.stringContaining('Either the broker has discarded the message'),
        details: { arrived: false },
      });
      // mosquitto grants the subscription of a user who may not read, and delivers nothing.
      expect((await tested('told/x'))?.hint).toContain('write the topic, but not read it');
    });

    test('says that it is not proven if the broker refuses the second client', async () => {
      const refusing = await scripted({ suback: 0x80 });
      const [step] = (
        await checked({ ...version, url: refusing.url }, { table: { ...table('a', false), qos } })
      ).slice(-1);
      expect(step).toMatchObject({ outcome: 'ok', hint: expect.stringContaining('without saying so') });
      expect(step?.details).not.toHaveProperty('arrived');
    });
  });

  test('has no second client where the broker says that it refuses a message', async () => {
    const broker = await scripted();
    await checked({ url: broker.url, protocolVersion: '5' }, { table: table('a', false) });
    const asked = broker.connections.flatMap((one) =>
      one.of('subscribe').flatMap(({ subscriptions }) => subscriptions),
    );
    expect(asked.map(({ topic }) => topic)).not.toContain('a');
  });
});
