import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Mosquitto } from '../../../../test/support/mosquitto.ts';
import { errorOf, plainClient, targets, unique } from '../../../../test/support/mqtt.ts';
import { until } from '../../../../test/support/until.ts';
import type { Watched } from '../../connector.ts';
import type { MqttProfile } from '../config/profile.ts';
import type { MqttTable } from '../config/table.ts';
import { watch } from './watch.ts';

let broker: Mosquitto;
beforeAll(async () => {
  broker = await Mosquitto.start({
    users: { ada: 'right', eve: 'right' },
    acl: 'user ada\ntopic readwrite #\nuser eve\ntopic read eve\n',
  });
});
afterAll(() => broker?.stop());

const profileOf = (more: object = {}): MqttProfile =>
  ({ url: broker.url, username: 'ada', password: 'right', ...more }) as MqttProfile;

describe('watch', () => {
  let topic: string;
  let over: AbortController;
  const seen: string[] = [];
  beforeEach(() => {
    topic = `watch/${unique()}`;
    over = new AbortController();
    seen.length = 0;
  });
  afterEach(() => over.abort());

  const start = (profile: MqttProfile, table: object, deliver?: (message: Watched) => void) => {
    const listening = Promise.withResolvers<void>();
    const ended = watch({
      profile,
      targets,
      table: { topic, type: {}, ...table } as MqttTable,
      listening: listening.resolve,
      deliver: deliver ?? ((message) => seen.push(String(message.payload))),
      signal: over.signal,
    });
    ended.catch(listening.reject);
    listening.promise.catch(() => {});
    return { ended, listening: listening.promise };
  };
  const publish = async (payload: string, retain = false) => {
    const client = await plainClient(broker.url, { username: 'ada', password: 'right' });
    await client.publishAsync(topic, payload, { qos: 1, retain });
    await client.endAsync();
  };

  test.each(['5', '3.1.1'])(
    'shows what the broker keeps unless the table wants none of it (%s)',
    async (version) => {
      await publish('kept', true);
      const profile = profileOf({ protocolVersion: version });
      const never = start(profile, { type: { retained: 'never' } });
      await never.listening;
      await publish('live');
      await until('the live one', () => seen.length > 0);
      expect(seen).toEqual(['live']);
      const all = start(profile, {});
      await all.listening;
      await until('the kept one', () => seen.includes('kept'));
      over.abort(new Error('over'));
      await expect(never.ended).rejects.toThrow('over');
      await expect(all.ended).rejects.toThrow('over');
    },
  );

  test('sends no last will, and requests no session', async () => {
    const profile = profileOf({ will: { topic: `${topic}/will`, payload: 'gone' } });
    const { listening, ended } = start(profile, { topic: `${topic}/#` });
    await listening;
    const [line = ''] =
      /New client connected from .* as penstock_check_\w+ \(p5, c1, [^)]*\)/.exec(broker.log) ?? [];
    expect(line).toContain('c1');
    expect(broker.log).not.toContain('Will message specified');
    over.abort(new Error('over'));
    await expect(ended).rejects.toThrow('over');
  });

  test('reports why it failed', async () => {
    const wrong = start(profileOf({ password: 'wrong' }), {});
    expect(await errorOf(wrong.ended)).toMatchObject({ code: 'mqtt_not_authorized' });
    const v5 = start(profileOf({ username: 'eve' }), { topic: 'eve' });
    await v5.listening;
    await broker.kill();
    expect(await errorOf(v5.ended)).toMatchObject({ code: 'connection_lost' });
    expect(await errorOf(start(profileOf(), {}).ended)).toMatchObject({ code: 'connection_refused' });
    await broker.resume();
  });

  test('ends with the error that its caller throws', async () => {
    await publish('kept', true);
    const { ended } = start(profileOf(), {}, () => {
      throw new Error('a defect');
    });
    await expect(ended).rejects.toThrow('a defect');
  });
});
