import { Compile } from 'typebox/compile';
import { describe, expect, test } from 'vitest';
import type { FieldError } from '../../../errors.ts';
import { explainViolations } from '../../../violations.ts';
import { mqtt } from '../index.ts';
import type { MqttProfile } from './profile.ts';
import { columnsOf, MqttTable, validateTable } from './table.ts';
import { checkTopicFilter, checkTopicName } from './topic.ts';

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

  test('measures topics in bytes, and refuses wildcards in names', () => {
    expect(checkTopicName('ä'.repeat(32_767))).toBeNull();
    expect(checkTopicName('ä'.repeat(32_768))).toMatch(/65,535/);
    expect(checkTopicName('a/+')).toMatch(/3\.3\.2\.1/);
  });
});

describe('a sink table with columns', () => {
  const table = (topic: string, more: object = {}) => ({ topic, type: { retain: false, ...more } });
  const wrong = (config: object, profile?: MqttProfile): FieldError[] =>
    validateTable(config as MqttTable, profile);

  test('accepts columns in the topic and in the properties', () => {
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

  test('refuses invalid properties, and all properties with 3.1.1', () => {
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
