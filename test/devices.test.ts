import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IClientPublishOptions } from 'mqtt';
import { expect, test } from 'vitest';
import { useRig } from './support/rig.ts';
import { until } from './support/until.ts';

/** Applies every bundle of examples/devices and feeds it what such a device sends. */

const folder = join(import.meta.dirname, '../examples/devices');
const rig = useRig({ service: { worker: true } });

interface Example {
  topic: string;
  payload: string | Buffer;
  properties?: IClientPublishOptions['properties'];
  /** Undefined if the query leaves the message out. */
  row: { device: string; at?: string; value: number } | Record<string, string> | undefined;
}

const time = '2026-01-31T07:15:00Z';

/** The start of an envelope of Meshtastic, with the rest of it: id 17, an SNR of 6.25, the channel and the gateway. */
const mesh = (start: string) =>
  Buffer.from(`${start}35110000003df5ab7d69450000c840480312084c6f6e67466173741a09213030303030303031`, 'hex');

const examples: Readonly<Record<string, readonly Example[]>> = {
  tasmota: [
    {
      topic: 'tele/boiler/SENSOR',
      payload:
        '{"Time":"2026-01-31T08:15:00","DS18B20":{"Id":"0123456789AB","Temperature":21.4},"TempUnit":"C"}',
      row: { device: 'boiler', at: time, value: 21.4 },
    },
    {
      topic: 'tele/plug/SENSOR',
      payload: '{"Time":"2026-01-31T08:15:00","ENERGY":{"Power":7}}',
      row: undefined,
    },
  ],
  zigbee2mqtt: [
    {
      topic: 'zigbee2mqtt/kitchen',
      payload:
        '{"battery":100,"humidity":45.2,"last_seen":"2026-01-31T08:15:00+01:00","linkquality":120,"temperature":21.4}',
      row: { device: 'kitchen', at: time, value: 21.4 },
    },
    { topic: 'zigbee2mqtt/lamp', payload: '{"state":"ON","brightness":254}', row: undefined },
  ],
  shelly: [
    {
      topic: 'shellyplus1pm-0123/status/switch:0',
      payload:
        '{"id":0,"source":"init","output":true,"apower":12.3,"voltage":231.1,"aenergy":{"total":1234.5,"by_minute":[205.1],"minute_ts":1769843700},"temperature":{"tC":41.2,"tF":106.2}}',
      row: { device: 'shellyplus1pm-0123', at: time, value: 12.3 },
    },
    {
      topic: 'shellyplus1pm-0123/status/switch:0',
      payload:
        '{"id":0,"source":"button","output":false,"apower":0.0,"aenergy":{"total":1234.6,"minute_ts":1769843700}}',
      row: { device: 'shellyplus1pm-0123', at: time, value: 0 },
    },
  ],
  shelly_gen1: [
    {
      topic: 'shellies/shelly1pm-0123/relay/0/power',
      payload: '12.30',
      row: { device: 'shelly1pm-0123/0', value: 12.3 },
    },
    { topic: 'shellies/shelly1pm-0123/relay/0', payload: 'on', row: undefined },
    { topic: 'shellies/shelly1pm-0123/relay/0/energy', payload: '74070', row: undefined },
  ],
  owntracks: [
    {
      topic: 'owntracks/fleet/van',
      payload: '{"_type":"location","lat":1.5,"lon":2.5,"tst":1769843700,"batt":80,"tid":"va"}',
      row: { device: 'van', at: time, value: 80 },
    },
    { topic: 'owntracks/fleet/van', payload: '{"_type":"lwt","tst":1769843700}', row: undefined },
  ],
  chirpstack: [
    {
      topic: 'application/1/device/0102030405060708/event/up',
      payload:
        '{"time":"2026-01-31T07:15:00.123456789+00:00","deviceInfo":{"deviceName":"d","devEui":"0102030405060708"},"fPort":2,"data":"AQI=","object":{"temperature":21.4},"rxInfo":[{"rssi":-50}]}',
      row: { device: '0102030405060708', at: '2026-01-31T07:15:00.123456Z', value: 21.4 },
    },
  ],
  the_things_stack: [
    {
      topic: 'v3/app@ttn/devices/probe/up',
      payload:
        '{"end_device_ids":{"device_id":"probe","dev_eui":"0102030405060708"},"received_at":"2026-01-31T07:15:00.000000001Z","uplink_message":{"f_cnt":5,"frm_payload":"AQI=","decoded_payload":{"temperature":21.4}}}',
      row: { device: 'probe', at: time, value: 21.4 },
    },
  ],
  victron: [
    {
      topic: 'N/0123456789ab/battery/1/Soc',
      payload: '{"value":87.5}',
      row: { device: '0123456789ab', value: 87.5 },
    },
    { topic: 'N/0123456789ab/battery/1/Soc', payload: '{"value":null}', row: undefined },
    // The device has gone away.
    { topic: 'N/0123456789ab/battery/1/Soc', payload: '', row: undefined },
  ],
  senml: [
    {
      topic: 'senml/gateway',
      payload: '[{"bn":"urn:dev:ow:10e2:","bt":1769843700,"bu":"Cel"},{"n":"t","v":21.4}]',
      row: { device: 'urn:dev:ow:10e2:t', at: time, value: 21.4 },
    },
  ],
  home_assistant: [
    { topic: 'homeassistant/sensor/attic/state', payload: 'unavailable', row: undefined },
    { topic: 'homeassistant/sensor/attic/state', payload: '21.4', row: { device: 'attic', value: 21.4 } },
  ],
  home_assistant_discovery: [
    {
      topic: 'homeassistant/sensor/attic/temperature/config',
      payload:
        '{"~":"attic","name":"Temperature","stat_t":"~/state","val_tpl":"{{ value_json.t }}","unit_of_meas":"°C","uniq_id":"attic_t","dev":{"ids":["attic"]}}',
      row: { entity: 'attic/temperature', name: 'Temperature', unit: '°C', state_topic: 'attic/state' },
    },
    {
      topic: 'homeassistant/sensor/attic/humidity/config',
      payload: '{"name":"Humidity","state_topic":"attic/h","unit_of_measurement":"%"}',
      row: { entity: 'attic/humidity', name: 'Humidity', unit: '%', state_topic: 'attic/h' },
    },
    // The entity is removed.
    { topic: 'homeassistant/sensor/attic/light/config', payload: '', row: undefined },
  ],
  homie: [
    { topic: 'homie/attic/sensor/$name', payload: '7', row: undefined },
    { topic: 'homie/attic/sensor/temperature', payload: '21.4', row: { device: 'attic', value: 21.4 } },
  ],
  cloudevents: [
    {
      topic: 'cloudevents/plant',
      payload:
        '{"specversion":"1.0","id":"1","source":"/plant/7","type":"com.example.reading","time":"2026-01-31T07:15:00Z","datacontenttype":"application/json","data":{"celsius":21.4}}',
      row: { device: '/plant/7', at: time, value: 21.4 },
    },
  ],
  cloudevents_binary: [
    {
      topic: 'events/plant',
      payload: '{"celsius":21.4}',
      properties: {
        contentType: 'application/json; charset=utf-8',
        userProperties: {
          specversion: '1.0',
          id: '1',
          source: '/plant/7',
          type: 'com.example.reading',
          time: '2026-01-31T08:15:00+01:00',
        },
      },
      row: { device: '/plant/7', at: time, value: 21.4 },
    },
    { topic: 'events/plant', payload: '{"celsius":20}', row: undefined },
  ],
  debezium: [
    {
      topic: 'debezium/readings',
      payload:
        '{"before":null,"after":{"device":"d7","at":1769843700000000,"value":21.4},"op":"c","ts_ms":1769843700001,"source":{"table":"readings"}}',
      row: { device: 'd7', at: time, value: 21.4 },
    },
  ],
  meshtastic: [
    {
      topic: 'msh/EU_868/2/json/LongFast/!a1b2c3d4',
      payload:
        '{"channel":0,"from":2712847316,"id":17,"payload":{"air_util_tx":1.5,"battery_level":90,"channel_utilization":2.5,"uptime_seconds":3600,"voltage":4.1},"sender":"!a1b2c3d4","timestamp":1769843700,"to":4294967295,"type":"telemetry"}',
      row: { device: '!a1b2c3d4', at: time, value: 4.1 },
    },
    {
      topic: 'msh/EU_868/2/json/LongFast/!a1b2c3d4',
      payload: '{"from":1,"id":18,"payload":{"text":"hi"},"timestamp":1769843700,"type":"text"}',
      row: undefined,
    },
    {
      // A sensor with a voltage of its own.
      topic: 'msh/EU_868/2/json/LongFast/!a1b2c3d4',
      payload:
        '{"from":1,"id":19,"payload":{"temperature":21.4,"voltage":3.3},"timestamp":1769843700,"type":"telemetry"}',
      row: undefined,
    },
    {
      // A text that is a number.
      topic: 'msh/EU_868/2/json/LongFast/!a1b2c3d4',
      payload: '{"from":1,"id":20,"payload":5,"timestamp":1769843700,"type":"text"}',
      row: undefined,
    },
  ],
  meshtastic_protobuf: [
    {
      // From a1b2c3d4, port 67: device metrics with 4.1 V.
      topic: 'msh/EU_868/2/e/LongFast/!00000001',
      payload: mesh('0a370dd4c3b2a115ffffffff221a084312160df4ab7d69120f085a1533338340250000c03f28901c'),
      row: { device: '!a1b2c3d4', at: time, value: 4.1 },
    },
    {
      // Port 67: metrics of a sensor with 3.3 V.
      topic: 'msh/EU_868/2/e/LongFast/!00000001',
      payload: mesh('0a320dd4c3b2a115ffffffff2215084312110df4ab7d691a0a0d3333ab412d33335340'),
      row: undefined,
    },
    {
      // Port 1: the text "hello", which is no Telemetry.
      topic: 'msh/EU_868/2/e/LongFast/!00000001',
      payload: mesh('0a280dd4c3b2a115ffffffff220b0801120568656c6c6f4801'),
      row: undefined,
    },
    {
      // Encrypted.
      topic: 'msh/EU_868/2/e/LongFast/!00000001',
      payload: mesh('0a250dd4c3b2a115ffffffff2a080102030405060708'),
      row: undefined,
    },
  ],
  sparkplug: [
    {
      // A payload of 1769843700000 with the metric "a", UInt32, 5 in long_value.
      topic: 'spBv1.0/plant/DDATA/node/pump',
      payload: Buffer.from('08a0e29e97c13312070a016120075805', 'hex'),
      row: { device: 'pump/a', at: time, value: 5 },
    },
  ],
};

test('every family of devices has an example', () => {
  expect(readdirSync(folder).sort()).toEqual(
    Object.keys(examples)
      .map((name) => `${name}.yaml`)
      .sort(),
  );
});

test('the bundles read what the devices send', { timeout: 240_000 }, async () => {
  const names = Object.keys(examples);
  for (const name of names) {
    const text = readFileSync(join(folder, `${name}.yaml`), 'utf8');
    const applied = await rig.request
      .post('/api/v1/apply')
      .set('content-type', 'application/yaml')
      .send(text.replace('mqtt://localhost:1883', rig.broker.url));
    expect([name, applied.status, applied.body.errors ?? applied.body.detail]).toEqual([
      name,
      200,
      undefined,
    ]);
  }
  const { body } = await rig.request.get('/api/v1/pipelines?limit=100');
  expect(body.data).toHaveLength(names.length);
  for (const { id } of body.data) await rig.inState(id, 'Running', 60_000);
  const rows: Record<string, object[]> = {};
  rig.client.on('message', (topic, payload) => {
    const name = topic.split('/')[1] as string;
    rows[name] = [...(rows[name] ?? []), JSON.parse(payload.toString())];
  });
  await rig.client.subscribeAsync('rows/#', { qos: 1 });
  // Those without a row first: a row of theirs would come before the last one that is waited for.
  const all = Object.values(examples).flat();
  for (const { topic, payload, properties } of [
    ...all.filter(({ row }) => !row),
    ...all.filter(({ row }) => row),
  ])
    await rig.client.publishAsync(topic, payload, { qos: 1, properties });
  const wanted = (name: string) => (examples[name] as Example[]).flatMap(({ row }) => (row ? [row] : []));
  await until('all rows have come', () =>
    names.every((name) => (rows[name]?.length ?? 0) >= wanted(name).length),
  ).catch(() => undefined);
  for (const name of names) expect([name, rows[name]]).toMatchObject([name, wanted(name)]);
  for (const { id, name } of body.data) {
    const letters = await rig.request.get(`/api/v1/pipelines/${id}/dead_letters`);
    expect([name, letters.body.data]).toEqual([name, []]);
  }
});
