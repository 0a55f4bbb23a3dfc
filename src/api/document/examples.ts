import { coreErrors, type ErrorCode, type FieldError } from '../../errors.ts';
import { problemOf } from '../problem.ts';

type ProblemText = [detail: string, hint?: string | null, errors?: FieldError[]];

const problemTexts = {
  invalid_request: [
    'The body is not valid: /name is required',
    null,
    [{ path: '/name', message: 'is required' }],
  ],
  invalid_config: [
    'The configuration is not valid: /config/qos must be one of AtMostOnce, AtLeastOnce, ExactlyOnce',
    null,
    [{ path: '/config/qos', message: 'must be one of AtMostOnce, AtLeastOnce, ExactlyOnce' }],
  ],
  invalid_schema: [
    'The table has no schema',
    null,
    [{ path: '/schema', message: 'is required: it defines how a message becomes a row' }],
  ],
  invalid_query: [
    'There is no table called reading; did you mean readings?',
    null,
    [
      {
        path: '/query',
        message: 'Line 1, column 40: There is no table called reading; did you mean readings?',
      },
    ],
  ],
  unknown_connector: [
    'There is no connector called "mtqq"',
    'Use one of: mqtt, blackhole, impulse, stdout.',
    [{ path: '/connector', message: 'must be one of mqtt' }],
  ],
  target_not_allowed: [
    'The address 169.254.169.254 is not allowed for tests and jobs',
    'Ask the operator of Penstock to add it to the setting PENSTOCK_TARGETS.',
  ],
  connection_refused: ['Cannot connect to localhost port 1883: nothing listens on this port'],
  unauthorized: ['This call needs a valid API key', 'Send the key as authorization: Bearer <key>.'],
  forbidden: [
    'The key dashboard has the role viewer, and this needs operator',
    'Use a key with the role operator.',
  ],
  host_not_allowed: [
    'Without an API key, only loopback names are served',
    'Use http://127.0.0.1 or http://localhost, or set PENSTOCK_ADMIN_KEY.',
  ],
  cross_site_request: [
    'Without an API key, requests from other web sites are refused',
    'Open Penstock itself, or create a key and send it as authorization: Bearer <key>.',
  ],
  method_not_allowed: ['/api/v1/ping has no method DELETE', 'Use one of: GET, HEAD.'],
  request_timeout: [
    'The request was not complete in time',
    'Send the headers within 10 seconds and the whole request within 30.',
  ],
  expectation_failed: [
    'The only supported expectation is 100-continue',
    'Send the request without the header expect.',
  ],
  headers_too_large: ['The path and the headers together are larger than 16 KiB', 'Shorten them.'],
  not_found: ['There is no pipeline pl_5TgR7bN1wC'],
  name_taken: [
    'Another connection profile has this name',
    'Choose another name.',
    [{ path: '/name', message: 'is already used' }],
  ],
  connection_profile_in_use: [
    'The profile is used by the tables plant_alerts, plant_readings',
    'Delete its users first, or change them to use another one.',
  ],
  connection_table_in_use: [
    'The table is used by the pipeline overheating',
    'Delete its users first, or change them to use another one.',
  ],
  dependents_broken: [
    'The change would make its users invalid: pipeline overheating: line 1: There is no column celsius',
    'Change the users first, or create a new object and move its users over one by one.',
    [{ path: '', message: 'pipeline overheating: line 1: There is no column celsius' }],
  ],
  state_would_be_lost: [
    'The change would lose pipeline averages: the state of transform_minutes_5b1e0c (40960 bytes): the query collects other rows',
    'Send it with state=discard to lose it, or stop the pipeline with graceful first, which closes the windows.',
    [
      {
        path: '',
        message:
          'pipeline averages: the state of transform_minutes_5b1e0c (40960 bytes): the query collects other rows',
      },
    ],
  ],
  changed_meanwhile: ['Other writers kept changing the same objects', 'Try again.'],
  pipeline_running: [
    'The pipeline is Running',
    'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
  ],
  precondition_failed: [
    'Its ETag is "ct_8Qm2Vh4TzX.4", not "ct_8Qm2Vh4TzX.3"',
    'Get it again, review what has changed, and send the change with the new ETag.',
  ],
  plan_stale: ['The plan is out of date', 'Make a new plan (dry_run=true), review it, and apply that one.'],
  payload_too_large: ['The body is larger than 1 MiB'],
  unsupported_media_type: ['The body must be JSON: send content-type: application/json'],
  too_many_requests: ['More than 6000 requests in a minute', 'Wait for the time in Retry-After.'],
  secret_unreadable: [
    'A secret of the profile plant was sealed with the key 4f1c',
    'Add the key it was sealed with to PENSTOCK_SECRET_KEY, or enter the secret again.',
  ],
  internal: ['Something went wrong inside Penstock; the log has the details'],
  database_unavailable: ['The database does not respond', 'Try again shortly.'],
  database_read_only: [
    'The database refuses writes',
    'PENSTOCK_DATABASE_URL must lead to the primary, not to a standby.',
  ],
  overloaded: [
    'Penstock is overloaded',
    'Try again shortly. If it lasts, run the API and the worker in separate processes.',
  ],
} as const satisfies Partial<Record<ErrorCode, ProblemText>>;

type ShownCode = keyof typeof problemTexts;

export const problemExamples = (): Record<string, { summary: string; value: object }> =>
  Object.fromEntries(
    (Object.entries(problemTexts) as [ErrorCode, ProblemText][]).map(
      ([code, [detail, hint = null, errors = []]]) => [
        code,
        {
          summary: coreErrors[code].title,
          value: problemOf({ code, message: detail, hint, errors }, 'req-1'),
        },
      ],
    ),
  );

/** The errors that any operation may return, by status. */
const always: Record<string, ShownCode[]> = {
  400: ['invalid_request'],
  401: ['unauthorized'],
  403: ['forbidden', 'host_not_allowed', 'cross_site_request'],
  404: ['not_found'],
  405: ['method_not_allowed'],
  408: ['request_timeout'],
  409: ['changed_meanwhile'],
  412: ['precondition_failed'],
  413: ['payload_too_large'],
  415: ['unsupported_media_type'],
  417: ['expectation_failed'],
  429: ['too_many_requests'],
  431: ['headers_too_large'],
  500: ['internal', 'secret_unreadable'],
  503: ['database_unavailable', 'database_read_only', 'overloaded'],
};

const config: ShownCode[] = ['invalid_config', 'unknown_connector'];
const table: ShownCode[] = [...config, 'invalid_schema'];
const reaching: ShownCode[] = ['connection_refused', 'target_not_allowed'];

/** Further errors of some operations, by a pattern of the operationId. */
const besides: [RegExp, string, ShownCode[]][] = [
  [/^(create|put|replace|patch|test\w*)ConnectionProfile/, '400', config],
  [/^(create|put|replace|patch|test\w*)ConnectionTable/, '400', table],
  [/^testConnectionSchema$/, '400', ['invalid_schema']],
  [/^(create|put|replace|patch|preview)Pipeline/, '400', ['invalid_query']],
  [/^(autocompleteConnectionProfile|inferConnectionSchema)$/, '400', reaching],
  [/^apply$/, '400', [...table, 'invalid_query']],
  [/^(create|put|replace|patch)(Connection|Pipeline)|^apply$/, '409', ['name_taken']],
  [/^(put|replace|patch)Connection|^apply$/, '409', ['dependents_broken']],
  [/^(put|replace|patch)(Connection|Pipeline)|^apply$/, '409', ['state_would_be_lost']],
  [/^deleteConnectionProfile$|^apply$/, '409', ['connection_profile_in_use']],
  [/^deleteConnectionTable$|^apply$/, '409', ['connection_table_in_use']],
  [/^deletePipeline$|^apply$/, '409', ['pipeline_running']],
  [/^apply$/, '412', ['plan_stale']],
];

export function codesFor(operationId: string, status: string): string[] {
  const more = besides.filter(([pattern, of]) => of === status && pattern.test(operationId));
  return [...(always[status] ?? []), ...more.flatMap(([, , codes]) => codes)];
}

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

const badMessage = {
  error: true,
  done: false,
  name: 'bad_message',
  message: '/celsius must be a number',
  code: 'bad_data',
  hint: null,
  errors: [{ path: '/celsius', message: 'must be a number' }],
};

export function eventExamples(component: string, exampleOf: (name: string) => object): object[] {
  const own = exampleOf(component);
  const { metadata, received_at, bytes } = own as Record<string, unknown>;
  const { code, message, errors } = badMessage;
  const end = { timestamps: [], start_id: 1, batch: '[]' };
  const streams: Record<string, object[]> = {
    TestMessage: testMessages,
    TailEvent: [
      { error: false, done: false, name: 'listening', message: 'Listening at plant/+/readings' },
      own,
      {
        ...badMessage,
        metadata,
        received_at,
        bytes,
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
    ],
    OutputData: [
      own,
      { ...own, ...end, bad: [{ code, message, errors }] },
      {
        ...own,
        ...end,
        state: { watermark: 1_790_000_000_000_000, open_windows: 2, late_rows: 0, state_bytes: 4096 },
      },
      { ...own, ...end, done: true, error: null },
    ],
    PipelineEvent: [
      { name: 'state', job: exampleOf('Job') },
      { name: 'tasks', tasks: [exampleOf('TaskStatus')] },
      own,
      { name: 'deleted' },
    ],
    OverviewEvent: [own, { ...own, name: 'changes', deleted: ['pl_9hJq3ZkY0a'] }],
  };
  return streams[component] ?? [];
}
