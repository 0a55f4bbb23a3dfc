import { createPrivateKey } from 'node:crypto';
import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import { makeAuthority } from '../../../../test/support/certificates.ts';
import { mqtt } from '../index.ts';
import { describe as describeProfile, parseUrl, parseUrls } from './broker-url.ts';
import { type MqttProfile, validateProfile } from './profile.ts';

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
      ...['apiSecret', 'tls/key', 'tls/passphrase'].map((path) => `schemaRegistryEnum/${path}`),
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

  test('parses a list of servers, and reports the invalid one', () => {
    expect(parseUrls('mqtts://a, ssl://b:1')).toEqual([
      { host: 'a', port: 8883, tls: true },
      { host: 'b', port: 1, tls: true },
    ]);
    expect(parseUrls('mqtt://a,http://b')).toMatch(/^is invalid: address 2 of the list must begin with/);
    expect(parseUrl('mqtt://h:0')).toMatch(/1 to 65535/);
    expect(parseUrl('mqtt://h:x')).toMatch(/port from 1 to 65535/);
  });

  test('refuses credentials in the URL and never repeats them', () => {
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
    [{ url: 'mqtt://h', insecureSkipVerify: true }, ['/insecureSkipVerify']],
    [{ url: 'mqtt://h', insecureSkipVerify: false, alpn: [], serverName: '' }, []],
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
    [{ url: 'mqtt://h', will: {} }, []],
    [{ url: 'mqtt://h', will: { topic: '', payload: '', qos: 'AtMostOnce' as const, retain: false } }, []],
    [{ url: 'mqtt://h', will: { payload: 'bye' } }, ['/will/topic']],
    [{ url: 'mqtt://h', will: { retain: true } }, ['/will/topic']],
    [{ url: 'mqtt://h', will: { topic: '', qos: 'AtLeastOnce' as const } }, ['/will/topic']],
    [{ url: 'mqtt://h', will: { delaySecs: 5 } }, ['/will/topic']],
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

  test('does not repeat a possible key', () => {
    const sent = { url: 'mqtts://h', tls: { cert, key: 'MIIBVgIBADANBg\nkqhkiG9w0' } };
    expect(JSON.stringify(validateProfile(sent))).not.toContain('MIIB');
  });
});
