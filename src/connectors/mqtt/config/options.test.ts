import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../../test/support/certificates.ts';
import { PenstockError } from '../../../errors.ts';
import type { Options } from '../../connector.ts';
import { mqtt } from '../index.ts';
import { MqttTable } from './table.ts';

const { cert } = await makeAuthority();

class Given implements Options {
  readonly left: Map<string, string>;

  constructor(options: Record<string, string>) {
    this.left = new Map(Object.entries(options));
  }

  take(name: string): string | undefined {
    const value = this.left.get(name);
    this.left.delete(name);
    return value;
  }

  takeBoolean(name: string): boolean | undefined {
    const value = this.take(name);
    return value === undefined ? undefined : value === 'true';
  }

  takeInteger(name: string): number | undefined {
    const value = this.take(name);
    return value === undefined ? undefined : Number(value);
  }
}

describe('SQL options', () => {
  test('become a profile and a table', () => {
    const options = new Given({
      url: 'mqtts://h',
      username: 'ada',
      password: 'p',
      'tls.ca': cert,
      'tls.passphrase': 'open',
      client_prefix: 'x',
      max_packet_size: '2048',
      protocol_version: '5',
      keep_alive_secs: '9',
      session_expiry_secs: '60',
      connect_timeout_ms: '500',
      reject_unauthorized: 'false',
      server_name: 'broker',
      alpn: 'mqtt, x',
      'will.topic': 'gone',
      'will.payload': 'bye',
      'will.qos': 'AtLeastOnce',
      'will.retain': 'true',
      'will.delay_secs': '7',
      topic: 'a/b',
      type: 'sink',
      qos: 'ExactlyOnce',
      'sink.retain': 'true',
    });
    const { profile, table } = mqtt.fromOptions(options, true);
    expect(options.left.size).toBe(0);
    expect(profile).toEqual({
      url: 'mqtts://h',
      username: 'ada',
      password: 'p',
      tls: { ca: cert, passphrase: 'open' },
      clientPrefix: 'x',
      maxPacketSize: 2048,
      protocolVersion: '5',
      keepAliveSecs: 9,
      sessionExpirySecs: 60,
      connectTimeoutMs: 500,
      rejectUnauthorized: false,
      serverName: 'broker',
      alpn: ['mqtt', 'x'],
      will: { topic: 'gone', payload: 'bye', qos: 'AtLeastOnce', retain: true, delaySecs: 7 },
    });
    expect(table).toEqual({ topic: 'a/b', qos: 'ExactlyOnce', type: { retain: true } });
  });

  test('set how a source reads and which properties a sink sends', () => {
    const of = (given: Record<string, string>) => {
      const options = new Given({ topic: 'a', ...given });
      const { table } = mqtt.fromOptions(options, false) as { table: MqttTable };
      expect(options.left.size).toBe(0);
      expect(Compile(MqttTable).Check(table)).toBe(true);
      return table.type;
    };
    const source = {
      'source.retained': 'never',
      'source.messages_per_second': '5',
      'source.max_silence_secs': '60',
    };
    expect(of({ type: 'source', ...source })).toEqual({
      retained: 'never',
      messagesPerSecond: 5,
      maxSilenceSecs: 60,
    });
    const sink = {
      'sink.expiry_secs': '60',
      'sink.content_type': 'text/plain',
      'sink.response_topic': 'back/{{ device }}',
      'sink.correlation_data': '{{ token }}',
      'sink.user_properties': '{"site": "{{ site }}"}',
    };
    expect(of({ type: 'sink', ...sink })).toEqual({
      retain: false,
      expirySecs: '60',
      contentType: 'text/plain',
      responseTopic: 'back/{{ device }}',
      correlationData: '{{ token }}',
      userProperties: { site: '{{ site }}' },
    });
    expect(() => of({ type: 'sink', 'sink.user_properties': 'site' })).toThrow(PenstockError);
  });

  test('leave profile options alone if a profile is named', () => {
    const options = new Given({ url: 'mqtt://h', topic: 'a', type: 'source' });
    expect(mqtt.fromOptions(options, false)).toEqual({ profile: undefined, table: { topic: 'a', type: {} } });
    expect([...options.left.keys()]).toEqual(['url']);
  });

  test('refuse an unknown type', () => {
    expect(() => mqtt.fromOptions(new Given({ topic: 'a', type: 'both' }), true)).toThrow(PenstockError);
  });
});
