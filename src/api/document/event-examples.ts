/** The events of each stream in the order in which they come, by the component that describes one. */

const at = 1_790_000_000_000_000;

const step = (name: string, message: string, durationMs: number, details: object = {}) => ({
  error: false,
  done: false,
  message,
  name,
  outcome: 'ok',
  durationMs,
  code: null,
  hint: null,
  details,
});

const testMessages = [
  step('resolve', 'localhost has the address 127.0.0.1', 1, { addresses: ['127.0.0.1'] }),
  step('tcp', 'Connected to 127.0.0.1:1883', 2),
  {
    ...step('mqtt_connect', 'The broker refuses the user name or password', 6),
    error: true,
    outcome: 'failed',
    code: 'mqtt_bad_credentials',
    hint: 'Check the user name and the password of the profile.',
  },
  {
    ...step('summary', 'The broker refuses the user name or password', 9, { step: 'mqtt_connect' }),
    error: true,
    done: true,
    outcome: 'failed',
    code: 'mqtt_bad_credentials',
    hint: 'Check the user name and the password of the profile.',
  },
];

const topic = { topic: 'plant/oven-1/readings', qos: 1, retain: false };
const tailEvents = [
  { error: false, done: false, name: 'listening', message: 'Listening at plant/+/readings' },
  {
    error: false,
    done: false,
    name: 'row',
    message: 'The message fits the schema',
    row: { device: 'oven-1', celsius: 218.5 },
    metadata: topic,
    received_at: at,
    bytes: 36,
  },
  {
    error: true,
    done: false,
    name: 'bad_message',
    message: '/celsius must be a number',
    metadata: topic,
    received_at: at + 120_000,
    bytes: 37,
    code: 'bad_data',
    hint: null,
    errors: [{ path: '/celsius', message: 'must be a number' }],
    payload: { text: '{"device": "oven-1", "celsius": "hot"}', base64: null, truncated: false },
  },
  { error: false, done: false, name: 'left_out', message: 'Messages left out: 12', left_out: 12 },
  {
    error: false,
    done: true,
    name: 'summary',
    message: 'The tail is over (rows: 1, bad messages: 1, left out: 12)',
    code: null,
    hint: null,
    counts: { messages: 14, rows: 1, bad_messages: 1, left_out: 12 },
  },
];

const output = { operator_id: 'transform_preview_0_3b1f2c', subtask_idx: 0 };
const outputData = [
  { ...output, timestamps: [at], start_id: 0, batch: '[{"device":"oven-1","celsius":218.5}]' },
  {
    ...output,
    timestamps: [],
    start_id: 1,
    batch: '[]',
    bad: [
      {
        code: 'bad_data',
        message: '/celsius must be a number',
        errors: [{ path: '/celsius', message: 'must be a number' }],
      },
    ],
  },
  { ...output, timestamps: [], start_id: 1, batch: '[]', done: true, error: null },
];

const job = {
  id: 'job_Y2kD6fWq0S',
  pipeline_id: 'pl_5TgR7bN1wC',
  running_desired: true,
  state: 'Running',
  run_id: 1,
  start_time: at,
  finish_time: null,
  tasks: 1,
  failure_reason: null,
  created_at: at,
  scheduler_config: {},
  env_vars: {},
  state_since: at,
  recoveries: 0,
  recovering_since: null,
  crash_looping: false,
};
const operator = (kind: string, node_id: number, bytes: object) => ({
  operator_id: `${kind}_${node_id}`,
  node_id,
  kind,
  messages_in: 1200,
  messages_out: 1200,
  ...bytes,
});
const task = {
  index: 0,
  connected: true,
  operators: [operator('source', 0, { bytes_in: 43_200, bytes_out: null })],
  bad: 0,
  in_flight: 3,
  batches: 400,
  batch_size: 3,
  latency_ms: { p50: 1.2, p95: 3.1, p99: 5 },
  reconnects: 0,
  last_error: null,
  sampled_at: at,
};
const rates = {
  at,
  messages_in: 1200,
  bytes_in: 43_200,
  rows_in: 1200,
  rows_out: 80,
  messages_out: 80,
  bytes_out: 2880,
  bad: 0,
};
const pipelineEvents = [
  { name: 'state', job },
  { name: 'tasks', tasks: [task] },
  { name: 'rates', rates },
  { name: 'deleted' },
];

export const eventExamples: Record<string, object[]> = {
  TestMessage: testMessages,
  TailEvent: tailEvents,
  OutputData: outputData,
  PipelineEvent: pipelineEvents,
};
