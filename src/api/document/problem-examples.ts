import { coreErrors, type ErrorCode, type FieldError } from '../../errors.ts';
import { problemOf } from '../problem.ts';

/** Every code that the API answers a call with, as somebody would meet it. */

type Said = [detail: string, hint?: string | null, errors?: FieldError[]];

const said = {
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
    [{ path: '/schema', message: 'is required: it says how a message becomes a row' }],
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
    'Use one of: mqtt.',
    [{ path: '/connector', message: 'must be one of mqtt' }],
  ],
  target_not_allowed: [
    '169.254.169.254 is not one that tests and jobs may reach',
    'The setting PENSTOCK_TARGETS of Penstock says which they are; ask its operator to add this one.',
  ],
  connection_refused: ['Cannot connect to localhost port 1883: nothing listens on this port'],
  unauthorized: ['This call needs a valid API key', 'Send the key as authorization: Bearer <key>.'],
  forbidden: [
    'The key dashboard has the role viewer, and this needs operator',
    'Use a key with the role operator.',
  ],
  host_not_allowed: [
    'Without an API key only loopback names are served',
    'Use http://127.0.0.1 or http://localhost, or set PENSTOCK_ADMIN_KEY.',
  ],
  not_found: ['There is no pipeline pl_5TgR7bN1wC'],
  name_taken: [
    'Another connection profile has this name',
    'Choose another name.',
    [{ path: '/name', message: 'is already used' }],
  ],
  connection_profile_in_use: [
    'The profile is used by the tables plant_alerts, plant_readings',
    'Delete those first, or change them to use another one.',
  ],
  connection_table_in_use: [
    'The table is used by the pipeline overheating',
    'Delete those first, or change them to use another one.',
  ],
  dependents_broken: [
    'What uses it would no longer be valid: pipeline overheating: line 1: There is no column celsius',
    'Change what uses it first, or make a new one and move its users over one by one.',
    [{ path: '', message: 'pipeline overheating: line 1: There is no column celsius' }],
  ],
  changed_meanwhile: ['Others have changed it all the time', 'Try again.'],
  pipeline_running: [
    'The pipeline is Running',
    'Stop it first (PATCH with {"stop": "graceful"}), and delete it when its state is Stopped or Failed.',
  ],
  precondition_failed: [
    'Its ETag is "ct_8Qm2Vh4TzX.4", not "ct_8Qm2Vh4TzX.3"',
    'Get it again, look at what has changed, and send the change with the new ETag.',
  ],
  plan_stale: [
    'What would be done now is not what the plan says',
    'Make a new plan (dry_run=true), look at it, and apply that.',
  ],
  payload_too_large: ['The body is larger than 1 MiB'],
  unsupported_media_type: ['The body must be JSON: send content-type: application/json'],
  too_many_requests: ['More than 6000 requests in a minute', 'Wait for as long as Retry-After says.'],
  secret_unreadable: [
    'A secret of the profile plant was sealed with the key 4f1c',
    'Add the key it was sealed with to PENSTOCK_SECRET_KEY, or enter the secret again.',
  ],
  internal: ['Something went wrong inside Penstock; its log has the details'],
  database_unavailable: ['The database does not answer', 'Try again shortly.'],
  overloaded: [
    'Penstock does not get round to its requests',
    'Try again shortly. If it lasts, run API and worker in processes of their own.',
  ],
} as const satisfies Partial<Record<ErrorCode, Said>>;

type ShownCode = keyof typeof said;

/** The examples by code, as components of the document. */
export const problemExamples = (): Record<string, { summary: string; value: object }> =>
  Object.fromEntries(
    (Object.entries(said) as [ErrorCode, Said][]).map(([code, [detail, hint = null, errors = []]]) => [
      code,
      {
        summary: coreErrors[code].title,
        value: problemOf({ code, message: detail, hint, errors }, 'req-1'),
      },
    ]),
  );

/** By status, what any call may be answered with. */
const always: Record<string, ShownCode[]> = {
  400: ['invalid_request'],
  401: ['unauthorized'],
  403: ['forbidden', 'host_not_allowed'],
  404: ['not_found'],
  409: ['changed_meanwhile'],
  412: ['precondition_failed'],
  413: ['payload_too_large'],
  415: ['unsupported_media_type'],
  429: ['too_many_requests'],
  500: ['internal', 'secret_unreadable'],
  503: ['database_unavailable', 'overloaded'],
};

const config: ShownCode[] = ['invalid_config', 'unknown_connector'];
const table: ShownCode[] = [...config, 'invalid_schema'];
const reaching: ShownCode[] = ['connection_refused', 'target_not_allowed'];

/** What some may be answered with besides, by a pattern for their operationId. */
const besides: [RegExp, string, ShownCode[]][] = [
  [/^(create|put|replace|patch|test\w*)ConnectionProfile/, '400', config],
  [/^(create|put|replace|patch|test\w*)ConnectionTable/, '400', table],
  [/^testConnectionSchema$/, '400', ['invalid_schema']],
  [/^(create|put|replace|patch|preview)Pipeline/, '400', ['invalid_query']],
  [/^(autocompleteConnectionProfile|inferConnectionSchema)$/, '400', reaching],
  [/^apply$/, '400', [...table, 'invalid_query']],
  [/^(create|put|replace|patch)(Connection|Pipeline)|^apply$/, '409', ['name_taken']],
  [/^(put|replace|patch)Connection|^apply$/, '409', ['dependents_broken']],
  [/^deleteConnectionProfile$|^apply$/, '409', ['connection_profile_in_use']],
  [/^deleteConnectionTable$|^apply$/, '409', ['connection_table_in_use']],
  [/^deletePipeline$|^apply$/, '409', ['pipeline_running']],
  [/^apply$/, '412', ['plan_stale']],
];

/** The codes that stand as examples for a status of an operation. */
export function codesFor(operationId: string, status: string): string[] {
  const more = besides.filter(([pattern, of]) => of === status && pattern.test(operationId));
  return [...(always[status] ?? []), ...more.flatMap(([, , codes]) => codes)];
}
