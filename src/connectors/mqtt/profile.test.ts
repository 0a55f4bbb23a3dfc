import { createPrivateKey } from 'node:crypto';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../test/support/certificates.ts';
import { explainViolations, type FieldError, PenstockError } from '../../errors.ts';
import type { Identity, Options } from '../connector.ts';
import { describe as describeProfile, parseUrl, parseUrls } from './address.ts';
import { clientId } from './identity.ts';
import { mqtt } from './index.ts';
import type { MqttProfile } from './profile.ts';
import { columnsOf, MqttTable, validateTable } from './table.ts';
import { takenOver } from './takeover.ts';
import { checkTopicFilter, checkTopicName } from './topic.ts';
import { validateProfile } from './validate-profile.ts';

const { cert, key } = await makeAuthority();
const encryptedKey = createPrivateKey(key).export({
  type: 'pkcs8',
  format: 'pem',
  cipher: 'aes-256-cbc',
  passphrase: 'p',
}) as string;
const problems = (profile: MqttProfile) => validateProfile(profile).map(({ path }) => path);

describe('a profile', () => {
  const schema = Compile(mqtt.profile);

  test("accepts what Arroyo's console sends, blank fields included", () => {
    const sent = {
      url: 'tcp://localhost:1883',
      username: '',
      password: '',
      tls: { ca: '', cert: '' },
      clientPrefix: 'x',
    };
    expect(schema.Check(sent)).toBe(true);
    expect(validateProfile(sent)).toEqual([]);
  });

  test('refuses unknown fields, at the top and in tls', () => {
    expect(schema.Check({ url: 'mqtt://h', speed: 1 })).toBe(false);
    expect(schema.Check({ url: 'mqtt://h', tls: { pfx: '' } })).toBe(false);
  });

  test('names its secrets', () => {
    expect((mqtt.profile as unknown as { sensitive: string[] }).sensitive).toEqual([
      'password',
      'tls/key',
      'tls/passphrase',
    ]);
  });

  test.each([
    ['mqtt://h', { host: 'h', port: 1883, tls: false }],
    ['tcp://h:1884', { host: 'h', port: 1884, tls: false }],
    ['mqtts://h/', { host: 'h', port: 8883, tls: true }],
    ['ssl://[::1]:1', { host: '::1', port: 1, tls: true }],
    ['ws://h/mqtt', { host: 'h', port: 80, tls: false, path: '/mqtt' }],
    ['wss://h:8084', { host: 'h', port: 8084, tls: true, path: '/' }],
  ])('reads %s', (url, endpoint) => {
    expect(parseUrl(url)).toEqual(endpoint);
  });

  test.each([
    'localhost',
    'http://h',
    'mqtt://',
    'mqtt://h:0',
    'mqtt://h:70000',
    'mqtt://h/path',
    'mqtt://h?x=1',
    'mqtt://h:port',
    'mqtt://h:-1',
    'wss://h/mqtt?token=x',
    'ws://h/#x',
    'mqtt://h,',
    'mqtt://h,mqtts://i',
    'mqtt://h,mqtt://h:1883/',
    Array.from({ length: 11 }, (_, index) => `mqtt://h${index}`).join(','),
  ])('refuses %s', (url) => {
    expect(problems({ url })).toEqual(['/url']);
  });

  test('reads a list of servers, and says which of them is wrong', () => {
    expect(parseUrls('mqtts://a, ssl://b:1')).toEqual([
      { host: 'a', port: 8883, tls: true },
      { host: 'b', port: 1, tls: true },
    ]);
    expect(parseUrls('mqtt://a,http://b')).toMatch(/^lists, in place 2, an address that must begin with/);
    expect(parseUrl('mqtt://h:0')).toMatch(/1 to 65535/);
    expect(parseUrl('mqtt://h:x')).toMatch(/number/);
  });

  test('refuses credentials in the URL and repeats them nowhere', () => {
    const profile = { url: 'mqtt://ada:S3cret@broker' };
    expect(JSON.stringify(validateProfile(profile))).toMatch(/fields username and password/);
    expect(JSON.stringify(validateProfile(profile)) + describeProfile(profile)).not.toContain('S3cret');
  });

  test('describes its address', () => {
    expect(describeProfile({ url: 'ssl://broker' })).toBe('mqtts://broker:8883');
    expect(describeProfile({ url: 'tcp://[::1]' })).toBe('mqtt://[::1]:1883');
    expect(describeProfile({ url: 'wss://a/mqtt,wss://b:1' })).toBe('wss://a:443/mqtt, wss://b:1/');
  });

  test.each([
    [{ url: 'mqtt://h', tls: { ca: cert } }, ['/tls']],
    [{ url: 'ws://h', tls: { ca: cert } }, ['/tls']],
    [{ url: 'mqtt://h', serverName: 'x' }, ['/serverName']],
    [{ url: 'mqtt://h', alpn: ['mqtt'] }, ['/alpn']],
    [{ url: 'mqtt://h', rejectUnauthorized: false }, ['/rejectUnauthorized']],
    [{ url: 'mqtt://h', rejectUnauthorized: true, alpn: [], serverName: '' }, []],
    [{ url: 'mqtts://h', tls: { cert } }, ['/tls/key']],
    [{ url: 'mqtts://h', tls: { key } }, ['/tls/cert']],
    [{ url: 'mqtts://h', tls: { cert, key } }, []],
    [{ url: 'mqtts://h', tls: { cert, key, passphrase: 'p' } }, ['/tls/passphrase']],
    [{ url: 'mqtts://h', tls: { ca: cert, passphrase: 'p' } }, ['/tls/passphrase']],
    [{ url: 'mqtts://h', tls: { cert, key: encryptedKey } }, ['/tls/passphrase']],
    [{ url: 'mqtts://h', tls: { cert, key: encryptedKey, passphrase: 'p' } }, []],
    [{ url: 'mqtts://h', tls: { ca: '/etc/ca.pem' } }, []],
    [{ url: 'mqtts://h', tls: { ca: '../ca.pem' } }, ['/tls/ca']],
    [{ url: 'mqtts://h', tls: { ca: 'MIIB\nMIIB' } }, ['/tls/ca']],
    [{ url: 'mqtts://h', tls: { ca: '-----BEGIN CERTIFICATE-----' } }, ['/tls/ca']],
    [{ url: 'mqtts://h', tls: { ca: '{{ CA }}' } }, []],
    [{ url: 'mqtt://h', password: 'p' }, ['/username']],
    [{ url: 'mqtt://h', password: 'p', protocolVersion: '5' as const }, []],
    [{ url: 'mqtt://h', clientPrefix: 'a b' }, ['/clientPrefix']],
    [{ url: 'mqtt://h', will: { topic: 'gone', payload: 'x', delaySecs: 5 } }, []],
    [{ url: 'mqtt://h', will: { topic: 'gone/+' } }, ['/will/topic']],
    [{ url: 'mqtt://h', will: { topic: '$SYS/x' } }, ['/will/topic']],
    [{ url: 'mqtt://h', will: { topic: 'a', payload: 'ä'.repeat(40_000) } }, ['/will/payload']],
    [
      { url: 'mqtt://h', protocolVersion: '3.1.1' as const, will: { topic: 'a', delaySecs: 1 } },
      ['/will/delaySecs'],
    ],
    [{ url: 'mqtt://h', sessionExpirySecs: 10, will: { topic: 'a', delaySecs: 11 } }, ['/will/delaySecs']],
  ])('of %j has what is wrong at its place', (profile, paths) => {
    expect(problems(profile)).toEqual(paths);
  });

  test('does not repeat what could be a key', () => {
    const sent = { url: 'mqtts://h', tls: { cert, key: 'MIIBVgIBADANBg\nkqhkiG9w0' } };
    expect(JSON.stringify(validateProfile(sent))).not.toContain('MIIB');
  });
});

describe('a table', () => {
  test("accepts Arroyo's shapes and no others", () => {
    const schema = Compile(MqttTable);
    expect(schema.Check({ topic: 'a', type: {} })).toBe(true);
    expect(schema.Check({ topic: 'a', qos: 'ExactlyOnce', type: { retain: false } })).toBe(true);
    expect(schema.Check({ topic: 'a', qos: '1', type: {} })).toBe(false);
    expect(schema.Check({ topic: 'a', type: { retain: 'yes' } })).toBe(false);
    expect(schema.Check({ topic: 'a' })).toBe(false);
  });

  test.each([
    [{ retained: 'x' }, '/type/retained must be one of always, when_new, never'],
    [{ retain: true, expirySecs: -1 }, '/type/expirySecs must be >= 0'],
    [{ retain: 'yes' }, '/type/retain must be boolean'],
    [{ retain: true, foo: 1 }, '/type/foo is not a known field; remove it or correct its name'],
    [3, '/type must be object'],
  ])('says of the type %j what is wrong with what was probably meant', (type, message) => {
    const violations = Compile(MqttTable).Errors({ topic: 'a', type });
    expect(explainViolations(violations).map((error) => `${error.path} ${error.message}`)).toEqual([message]);
  });

  test('reads a filter and writes a name', () => {
    expect(validateTable({ topic: 'a/#', type: {} })).toEqual([]);
    expect(validateTable({ topic: 'a/#', type: { retain: false } })).toMatchObject([{ path: '/topic' }]);
    expect(mqtt.direction({ topic: 'a', type: {} })).toBe('source');
    expect(mqtt.direction({ topic: 'a', type: { retain: false } })).toBe('sink');
  });

  test.each(['a', '/', 'a//b', '+', '#', '+/b/#', 'a/+', '$SYS/#', '$share/g/a/+', '$share/g//', 'ä/ 😀'])(
    'takes the filter %s',
    (filter) => {
      expect(checkTopicFilter(filter)).toBeNull();
    },
  );

  test.each([
    '',
    'a#',
    'a/#/b',
    'a+/b',
    '#/a',
    'a\0b',
    '$share/',
    '$share/g',
    '$share/g/',
    '$share//a',
    '$share/g+/a',
    '\ud800',
    'x'.repeat(65_536),
  ])('refuses the filter %s', (filter) => {
    expect(checkTopicFilter(filter)).toMatch(/\(MQTT \d/);
  });

  test('measures topics in bytes, and takes no wildcard in a name', () => {
    expect(checkTopicName('ä'.repeat(32_767))).toBeNull();
    expect(checkTopicName('ä'.repeat(32_768))).toMatch(/65,535/);
    expect(checkTopicName('a/+')).toMatch(/3\.3\.2\.1/);
  });
});

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

describe('a sink table with columns', () => {
  const table = (topic: string, more: object = {}) => ({ topic, type: { retain: false, ...more } });
  const wrong = (config: object, profile?: MqttProfile): FieldError[] =>
    validateTable(config as MqttTable, profile);

  test('takes them in the topic and in what is sent along', () => {
    const config = table('a/{{ device }}/b{{ n }}', {
      expirySecs: 60,
      contentType: '',
      correlationData: '{{ token }}',
      userProperties: { site: '{{ site }}' },
    });
    expect(wrong(config)).toEqual([]);
    const uses = columnsOf(config as MqttTable);
    expect(uses.map(({ path, column }) => `${path} ${column}`)).toEqual([
      '/topic device',
      '/topic n',
      '/type/correlationData token',
      '/type/userProperties site',
    ]);
    expect(columnsOf({ topic: 'a/{{ b }}', type: {} })).toEqual([]);
  });

  test.each([
    ['a/{{ device', '/topic'],
    ['a/{{ }}', '/topic'],
    ['a/}}', '/topic'],
    ['a/#/{{ device }}', '/topic'],
  ])('refuses the topic %s', (topic, path) => {
    expect(wrong(table(topic)).map((error) => error.path)).toEqual([path]);
  });

  test('refuses properties that are none, and any with 3.1.1', () => {
    expect(wrong(table('a', { expirySecs: 'soon' })).map(({ path }) => path)).toEqual(['/type/expirySecs']);
    expect(wrong(table('a', { responseTopic: 'a/+' })).map(({ path }) => path)).toEqual([
      '/type/responseTopic',
    ]);
    const older: MqttProfile = { url: 'mqtt://a', protocolVersion: '3.1.1' };
    expect(wrong(table('a', { contentType: 'x' }), older).map(({ path }) => path)).toEqual([
      '/type/contentType',
    ]);
    expect(wrong(table('a'), older)).toEqual([]);
  });
});

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

  test('say how a table is read and what is sent along', () => {
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

  test('leave those of the profile alone when there is one', () => {
    const options = new Given({ url: 'mqtt://h', topic: 'a', type: 'source' });
    expect(mqtt.fromOptions(options, false)).toEqual({ profile: undefined, table: { topic: 'a', type: {} } });
    expect([...options.left.keys()]).toEqual(['url']);
  });

  test('refuse a type that is none', () => {
    expect(() => mqtt.fromOptions(new Given({ topic: 'a', type: 'both' }), true)).toThrow(PenstockError);
  });
});

describe('a client id', () => {
  const identity: Identity = { jobId: 'job_0aZ', operatorId: 'source_1', taskIndex: 3 };

  test('names the task and stays the same', () => {
    expect(clientId({ url: '' }, identity)).toBe('penstock_job_0aZ_source_1_3');
    expect(clientId({ url: '', clientPrefix: 'acme' }, identity)).toBe('acme_job_0aZ_source_1_3');
  });

  test('has only characters that every broker takes, a bounded length, and is never shared', () => {
    const odd = ['a b', 'a.b', 'a/b', 'x'.repeat(70_000), `${'x'.repeat(70_000)}y`];
    const ids = odd.map((operatorId) => clientId({ url: '' }, { ...identity, operatorId }));
    for (const id of ids) expect(id).toMatch(/^[0-9A-Za-z_-]{1,256}$/);
    expect(new Set(ids).size).toBe(odd.length);
  });
});

describe('the memory of takeovers', () => {
  test('lasts a minute and is bounded', () => {
    expect(takenOver('a', 0).code).toBe('connection_lost');
    expect(takenOver('a', 59_000).code).toBe('mqtt_client_id_in_use');
    expect(takenOver('a', 200_000).code).toBe('connection_lost');
    for (let index = 0; index < 1_000; index += 1) takenOver(`other ${index}`, 200_001);
    expect(takenOver('a', 200_002).code).toBe('connection_lost');
  });
});
