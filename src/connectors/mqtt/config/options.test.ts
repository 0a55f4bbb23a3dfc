import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../../test/support/certificates.ts';
import { PenstockError } from '../../../errors.ts';
import { readCreateTable } from '../../../sql/create-table.ts';
import { Findings } from '../../../sql/diagnostic.ts';
import type { TableOptions } from '../../../sql/table-options.ts';
import { TokenReader } from '../../../sql/token-reader.ts';
import { tokenise } from '../../../sql/tokens.ts';
import { MqttProfile } from './profile.ts';
import { MqttTable } from './table.ts';

const { cert } = await makeAuthority();

/** The options of `WITH (…)`. */
function given(options: Record<string, string>): TableOptions {
  const text = Object.entries(options).map(([name, value]) => `'${name}' = '${value.replaceAll("'", "''")}'`);
  const sql = `CREATE TABLE t WITH (${text.join(', ')})`;
  const findings = new Findings(sql);
  const end = { from: sql.length, to: sql.length };
  return readCreateTable(new TokenReader(tokenise(sql, findings), end, findings)).options;
}

/** Options that were not taken. */
const left = (options: TableOptions, names: string[]): string[] =>
  names.filter((name) => options.take(name) !== undefined);

describe('SQL options', () => {
  test('become a profile and a table', () => {
    const all = {
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
      insecure_skip_verify: 'true',
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
    };
    const options = given(all);
    const [profile, table] = [options.takeObject(MqttProfile), options.takeObject(MqttTable)];
    expect(left(options, Object.keys(all))).toEqual([]);
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
      insecureSkipVerify: true,
      serverName: 'broker',
      alpn: ['mqtt', 'x'],
      will: { topic: 'gone', payload: 'bye', qos: 'AtLeastOnce', retain: true, delaySecs: 7 },
    });
    expect(table).toEqual({ topic: 'a/b', qos: 'ExactlyOnce', type: { retain: true } });
  });

  test('set how a table is read and the properties of its messages', () => {
    const of = (some: Record<string, string>) => {
      const options = given({ topic: 'a', ...some });
      const table = options.takeObject(MqttTable) as MqttTable;
      expect(left(options, Object.keys(some))).toEqual([]);
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
    for (const wrong of ['site', ''])
      expect(() => of({ type: 'sink', 'sink.user_properties': wrong })).toThrow(PenstockError);
    expect(() => of({ type: 'source', 'source.messages_per_second': 'many' })).toThrow(PenstockError);
    expect(of({ type: 'source', 'source.messages_per_second': '0.5' })).toEqual({ messagesPerSecond: 0.5 });
  });

  test('exclude those of the profile if there is one', () => {
    const options = given({ url: 'mqtt://h', topic: 'a', type: 'source' });
    expect(options.takeObject(MqttTable)).toEqual({ topic: 'a', type: {} });
    expect(left(options, ['url', 'topic', 'type'])).toEqual(['url']);
  });

  test('refuse an unknown type', () => {
    for (const type of [{ type: 'both' }, undefined])
      expect(() => given({ topic: 'a', ...type }).takeObject(MqttTable)).toThrow(PenstockError);
  });
});
