import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { QoS } from 'mqtt-packet';
import type { Child } from './child.ts';
import { topic } from './message.ts';
import type { Rig } from './rig.ts';
import type { Route } from './route.ts';

/**
 * Telegraf with a persistent session at QoS 1 on the broker at `port`. `outputs` is the part of its configuration that says
 * where messages go; they arrive there as the measurement `rows` with the fields `seq` and `text`.
 */
export const startTelegraf = (program: string, port: number, outputs: string, rig: Rig): Promise<Child> =>
  run(program, `${agent(500)}${source(port, rowsColumns)}${outputs}`, rig);

/** Telegraf with count and mean by device over a second of its clock, MQTT at QoS 1 to MQTT at QoS 1. */
export const startTelegrafWindows = (
  program: string,
  fromPort: number,
  toPort: number,
  rig: Rig,
): Promise<Child> =>
  run(program, `${agent(1000)}${source(fromPort, readingsColumns)}${windows(toPort)}`, rig);

/** Telegraf with a filter by field: a message passes if its `seq` is above 0. */
export const startTelegrafFilter = (program: string, { fromPort, toPort, qos }: Route, rig: Rig) =>
  run(program, `${agent(500)}${source(fromPort, rowsColumns, qos)}${filtered(toPort, qos)}`, rig);

async function run(program: string, configuration: string, rig: Rig): Promise<Child> {
  const file = join(rig.folder, 'telegraf.conf');
  await writeFile(file, configuration);
  return rig.run({
    name: 'Telegraf',
    command: program,
    args: ['--config', file],
    // Fewer garbage collections, less CPU time per message than with Go's default of 100.
    options: { env: { ...process.env, GOGC: '400' } },
  });
}

/** A batch of 500 is half of what the broker leaves in flight, so one is written while the next one fills. */
const agent = (batch: number): string => `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = ${batch}
  metric_buffer_limit = 100000
  omit_hostname = true
  quiet = true
`;

/** json_v2 keeps integers exact; the older json parser makes each number a float. */
const source = (port: number, columns: string, qos: QoS = 1): string => `
[[inputs.mqtt_consumer]]
  servers = ["tcp://127.0.0.1:${port}"]
  topics = ["${topic}"]
  topic_tag = ""
  qos = ${qos}
  client_id = "bench_telegraf"
  persistent_session = true
  max_undelivered_messages = 50000
  data_format = "json_v2"
  [[inputs.mqtt_consumer.json_v2]]
${columns}`;

const rowsColumns = `    measurement_name = "rows"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "seq"
      type = "int"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "text"
      type = "string"
`;

const readingsColumns = `    measurement_name = "readings"
    [[inputs.mqtt_consumer.json_v2.tag]]
      path = "device"
    [[inputs.mqtt_consumer.json_v2.field]]
      path = "value"
      type = "float"
`;

/** Into the table named after the measurement. Telegraf adds a column `time` to it. */
export const postgresOutput = (url: string): string => `
[[outputs.postgresql]]
  connection = "${url}?sslmode=disable"
`;

/** Rows count in the window in which they arrive, so that none is dropped for being late. */
const windows = (port: number): string => `
[[aggregators.basicstats]]
  period = "1s"
  grace = "10s"
  drop_original = true
  stats = ["count", "mean"]

[[outputs.mqtt]]
  servers = ["tcp://127.0.0.1:${port}"]
  topic = "${topic}"
  qos = 1
  layout = "non-batch"
  data_format = "json"
`;

/** The template writes the message as it came, in its bytes. */
const filtered = (port: number, qos: QoS): string => `
[[outputs.mqtt]]
  servers = ["tcp://127.0.0.1:${port}"]
  topic = "${topic}"
  qos = ${qos}
  layout = "non-batch"
  metricpass = "fields.seq > 0"
  data_format = "template"
  template = '{"seq":{{.Field "seq"}},"text":{{.Field "text" | toJson}}}'
`;
