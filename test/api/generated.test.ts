import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Document, type Json, operationsOf } from '../../scripts/docs/document.ts';
import { type Caller, type Generated, requestsOf } from '../support/generated-requests.ts';
import { created, tableBody } from '../support/resources.ts';
import { type Service, startService } from '../support/service.ts';

/**
 * Requests generated from the OpenAPI document, valid, at the bounds and invalid, with keys of each role and without a key.
 * Every response is one that the document declares, no request makes the service fail, and no write succeeds without a
 * sufficient key. PENSTOCK_SOAK=1 sends more.
 */

const soak = process.env.PENSTOCK_SOAK === '1';
const runs = soak ? 20_000 : 300;
/** A check sends the same requests each time. */
let seed = soak ? Math.floor(Math.random() * 2 ** 31) : 5115;
const adminKey = 'a-key-for-the-administrator';

let service: Service;
let document: Document;
let validators: Ajv2020;
let callers: Caller[];

beforeAll(async () => {
  service = await startService({ adminKey, targets: ['127.0.0.1'] });
  document = JSON.parse(JSON.stringify(service.app.swagger()));
  validators = new Ajv2020({ strict: false, validateFormats: true });
  addFormats.default(validators);
  validators.addSchema(document, 'document');
  const client = service.request;
  const asAdmin = {
    post: (path: string) => client.post(path).set('authorization', `Bearer ${adminKey}`),
  } as never;
  const profile = await created(asAdmin, '/connection_profiles', {
    name: 'plant',
    connector: 'mqtt',
    config: { url: 'mqtt://127.0.0.1:1' },
  });
  const source = { topic: 'a', type: {} };
  await created(asAdmin, '/connection_tables', tableBody('readings', profile.id, source));
  const sink = { topic: 'b', type: { retain: false } };
  await created(asAdmin, '/connection_tables', tableBody('alerts', profile.id, sink));
  const query = 'INSERT INTO alerts SELECT * FROM readings';
  await created(asAdmin, '/pipelines', { name: 'all', query, parallelism: 1 });
  const keyOf = async (role: string): Promise<string> =>
    (await created(asAdmin, '/api_keys', { name: role, role })).key as string;
  callers = [
    { name: 'nobody', key: undefined },
    { name: 'viewer', key: await keyOf('viewer') },
    { name: 'operator', key: await keyOf('operator') },
  ];
}, 60_000);

/** Connection tests only connect to a port where nothing listens. */
const mended = (body: Json): Json =>
  JSON.parse(
    (JSON.stringify(body) ?? 'null').replaceAll(/(mqtts?|wss?|tcp|ssl):\/\/[^"\\]*/g, '$1://127.0.0.1:1'),
  ) as Json;

async function requests(count: number, who: Caller[]): Promise<Generated[]> {
  const list = async (what: object): Promise<string[]> => (what as { id: string }[]).map(({ id }) => id);
  const { db } = service;
  const select = { select: { id: true }, take: 20 } as const;
  const ids: Record<string, string[]> = {
    connection_profiles: await list(await db.connectionProfile.findMany(select)),
    connection_tables: await list(await db.connectionTable.findMany(select)),
    pipelines: await list(await db.pipeline.findMany(select)),
    connectors: ['mqtt'],
  };
  seed += 1;
  const known = {
    ids: (path: string) => ids[path.split('/')[3] ?? ''] ?? [],
    names: ['plant', 'readings', 'alerts', 'all', 'new', 'a/b', 'é'],
  };
  return fc.sample(requestsOf(document, operationsOf(document), who, known, mended), {
    numRuns: count,
    seed,
  });
}

/** Streams may last long: one second is enough. */
async function beginningOf(response: Response, stop: AbortController): Promise<string> {
  const timer = setTimeout(() => stop.abort(), 1_000);
  try {
    return await response.text();
  } catch (error) {
    if (!stop.signal.aborted) throw error;
    return '';
  } finally {
    clearTimeout(timer);
  }
}

async function answered({ operation, caller, url, headers, body }: Generated) {
  const stop = new AbortController();
  const response = await fetch(`${service.address}${url}`, {
    method: operation.method.toUpperCase(),
    headers: { ...headers, ...(caller.key === undefined ? {} : { authorization: `Bearer ${caller.key}` }) },
    redirect: 'manual',
    signal: stop.signal,
    ...(body === undefined ? {} : { body }),
  });
  const type = response.headers.get('content-type') ?? '';
  const endless = type.startsWith('text/event-stream');
  const text = endless ? await beginningOf(response, stop) : await response.text();
  return { status: response.status, type, text };
}

/** The error in a response; undefined if there is none. */
function complaint(
  request: Generated,
  { status, type, text }: Awaited<ReturnType<typeof answered>>,
): string | undefined {
  const { operation, path, method } = request.operation;
  if (status >= 500) return `fails with ${status}: ${text.slice(0, 200)}`;
  const declared = operation.responses[status];
  if (!declared) return `answers ${status}, which is not declared: ${text.slice(0, 200)}`;
  const allowed = mayAsk(request);
  if (!allowed && !refusals(request.caller).includes(status))
    return `answers ${request.caller.name} ${status}`;
  if (allowed && (status === 401 || status === 403)) return `refuses ${request.caller.name}`;
  const media = type.split(';')[0] as string;
  if (!declared.content) return text === '' ? undefined : 'declares no content, and answers some';
  if (!(media in declared.content)) return `answers ${status} in ${media}, which is not declared`;
  if (!/json$/.test(media)) return undefined;
  const pointer = ['paths', path, method, 'responses', String(status), 'content', media, 'schema'];
  const $ref = `document#/${pointer.map((name) => encodeURIComponent(name.replaceAll('~', '~0').replaceAll('/', '~1'))).join('/')}`;
  const validate = validators.getSchema($ref) ?? validators.compile({ $ref });
  if (validate(JSON.parse(text))) return undefined;
  return `answers ${status} not as declared: ${validators.errorsText(validate.errors)}: ${text.slice(0, 300)}`;
}

/** Too many calls without a key get 429. */
const refusals = ({ key }: Caller): number[] => (key === undefined ? [401, 429] : [403]);

const order = ['nobody', 'viewer', 'operator', 'admin'];

/** By what the document says. */
function mayAsk({ operation: { operation }, caller }: Generated): boolean {
  const { security, description = '' } = operation as { security?: object[]; description?: string };
  if (security?.length === 0) return true;
  const [, role = ''] = /Needs the role (\w+)\./.exec(description) ?? [];
  expect(order).toContain(role);
  return order.indexOf(caller.name) >= order.indexOf(role);
}

describe('generated requests', () => {
  test('all get responses that the document declares', async () => {
    const complaints = new Map<string, string>();
    const seen = new Map<number, number>();
    for (let sent = 0; sent < runs; sent += 100) {
      for (const request of await requests(Math.min(100, runs - sent), callers)) {
        const answer = await answered(request);
        seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
        const wrong = complaint(request, answer);
        const { name } = request.operation;
        if (wrong !== undefined) {
          const key = `${name} ${wrong.slice(0, 60)}`;
          if (!complaints.has(key))
            complaints.set(key, `${wrong} <- ${request.url} ${request.body?.slice(0, 500)}`);
        }
      }
    }
    expect(Object.fromEntries(complaints)).toEqual({});
    // Some succeed, some are refused for their content, some for their key.
    for (const status of [200, 400, 401, 403, 404])
      expect(seen.get(status) ?? 0, `${status}`).toBeGreaterThan(5);
  }, 600_000);

  test('change nothing without a sufficient key', async () => {
    const everything = async (): Promise<string> => {
      const { db } = service;
      const keys = await db.apiKey.findMany({ omit: { lastUsedAt: true } });
      const rest = [db.connectionProfile, db.connectionTable, db.pipeline, db.job].map((model) =>
        (model as typeof db.job).findMany(),
      );
      return JSON.stringify([keys, await Promise.all(rest)], (_, value) =>
        typeof value === 'bigint' ? String(value) : value,
      );
    };
    const before = await everything();
    const powerless = callers.filter(({ name }) => name !== 'operator');
    for (const request of await requests(runs / 4, powerless)) await answered(request);
    expect(await everything()).toBe(before);
  });
});
