import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition, Reachable, Watched } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { CachedSchemas, registryClient } from '../../connectors/schema-registry/schemas.ts';
import { checkTableConfig } from '../../definitions/config-checks.ts';
import { PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import { SchemaInference } from '../../formats/infer/infer-schema.ts';
import { payloadKinds } from '../../formats/infer/payloads.ts';
import { enoughToRequire } from '../../formats/infer/proposal.ts';
import { type ConnectionSchema, fieldTypes } from '../../formats/schema/schema.ts';
import { Format } from '../../formats/schema/wire-format.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import { takePlace } from '../check.ts';
import { checkProfile, refuseMasked } from '../connection-profiles/wire.ts';
import type { Deps } from '../deps.ts';
import { enough, refuseSink, watchSource } from '../live.ts';
import { bodyProblems } from '../problem.ts';
import { ConnectorConfig, Id, nullable, strict } from '../schemas.ts';
import { clientGone } from '../sse.ts';
import { StagedDefinitions } from '../staged-definitions.ts';
import { profileRowOf, withStoredSecrets } from './checks.ts';
import { MessageEvents, rowExample, withRaw } from './message-event.ts';
import { proposeRegistered } from './registered.ts';
import type { TailEvent } from './tail.ts';

const defaults = { messages: 100, timeoutMs: 10_000 };
const maxPreviewed = 10;
/** How long a registry of schemas may take in all. */
const registryMs = 15_000;
const maxBytes = 8 * 1024 * 1024;

const InferRequest = Type.Object(
  {
    connector: Type.String({ maxLength: 64 }),
    connection_profile_id: Type.Optional(nullable(Id)),
    profile: Type.Optional(
      Type.Unsafe<Record<string, never>>({
        ...ConnectorConfig,
        description: 'Config of a profile that is not stored, instead of connection_profile_id',
      }),
    ),
    config: ConnectorConfig,
    connection_table_id: Type.Optional(
      nullable(Id, { description: 'A stored table: masks in config stand for its secrets' }),
    ),
    format: Type.Optional(nullable(Format, { description: 'Inferred from the messages if left out' })),
    messages: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        default: defaults.messages,
        description: 'Number of messages to wait for',
      }),
    ),
    timeout_ms: Type.Optional(
      Type.Integer({
        minimum: 100,
        maximum: 60_000,
        default: defaults.timeoutMs,
        description: 'Maximum time to wait, in milliseconds',
      }),
    ),
  },
  {
    ...strict,
    examples: [
      {
        connector: 'mqtt',
        connection_profile_id: 'cp_3fK0x9QzLm',
        config: { topic: 'plant/+/temperature', type: {} },
        messages: 50,
        timeout_ms: 5000,
      },
    ],
  },
);
type InferRequest = Static<typeof InferRequest>;

const FieldEvidence = Type.Object({
  path: Type.String({ description: 'JSON pointer into a message; * means the items of a list' }),
  type: Type.Enum([...fieldTypes]),
  required: Type.Boolean({
    description: `Whether it was present and not null in every object, of at least ${enoughToRequire}`,
  }),
  present: Type.Integer({ description: 'Number of occurrences, including null' }),
  of: Type.Integer({
    description: 'Number of objects that could have it; for items of lists, the number of items',
  }),
  types: Type.Record(Type.String(), Type.Integer(), { description: 'Number of values of each type' }),
  note: nullable(Type.String()),
});

const kindCounts = Object.fromEntries(payloadKinds.map((kind) => [kind, Type.Integer()]));

export const InferredSchema = Type.Object(
  {
    message: Type.String({ description: 'Summary for people' }),
    hint: nullable(Type.String()),
    messages: Type.Integer({ description: 'Number of messages examined' }),
    bytes: Type.Integer({ description: 'Total size of the payloads' }),
    elapsed_ms: Type.Integer({ description: 'Time from the subscription to the last message' }),
    kinds: Type.Object(kindCounts, { description: 'Number of messages of each kind' }),
    gzip: Type.Integer({ description: 'Number of compressed messages; they count by their content' }),
    schema: nullable(Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }), {
      description: 'Ready for POST /connection_tables; null if no table can read these messages',
    }),
    fields: Type.Array(FieldEvidence, { description: 'Evidence for each field, including nested fields' }),
    notes: Type.Array(Type.String()),
    preview: Type.Array(Type.Unsafe<Static<typeof TailEvent>>({ $ref: 'TailEvent#' }), {
      description: `The first ${maxPreviewed} messages, decoded with the schema`,
    }),
  },
  {
    $id: 'InferredSchema',
    examples: [
      {
        message: 'Messages examined: 50',
        hint: null,
        messages: 50,
        bytes: 1800,
        elapsed_ms: 4211,
        kinds: { ...Object.fromEntries(payloadKinds.map((kind) => [kind, 0])), json_object: 50 },
        gzip: 0,
        schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64', required: true }] },
        fields: [
          {
            path: '/celsius',
            type: 'float64',
            required: true,
            present: 50,
            of: 50,
            types: { float64: 47, int64: 3 },
            note: null,
          },
        ],
        notes: [],
        preview: [{ ...rowExample, row: { celsius: 218.5 } }],
      },
    ],
  },
);

export const inferSchemas =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.post(
      '/connection_tables/infer_schema',
      {
        schema: {
          operationId: 'inferConnectionSchema',
          summary: 'Infer the schema of a source table from live messages',
          description:
            'Waits for messages, up to a number and a time, and reports their fields with the evidence for each. It ' +
            'takes nothing from the pipelines. Nothing is stored. It counts as a test.',
          tags: ['connection_tables'],
          body: InferRequest,
          response: {
            200: Type.Unsafe<never>({
              description: 'The messages seen, and a schema that fits them',
              content: { 'application/json': { schema: { $ref: 'InferredSchema#' } } },
            }),
            ...bodyProblems(),
          },
        },
      },
      async ({ body }, reply) => {
        const sampled = await checkRequest(deps, body);
        const leave = takePlace();
        const gone = clientGone(reply);
        try {
          const sample = await takeSample(sampled, body, gone);
          const response = await responseOf(sampled, sample, body);
          return reply.type('application/json').send(response);
        } catch (error) {
          if (!gone.aborted) throw error;
          return reply.hijack();
        } finally {
          leave();
        }
      },
    );
  };

interface SampledSource extends Reachable<JsonObject> {
  connector: ConnectorDefinition;
  table: JsonObject;
}

/** The first messages that arrive. `lost` is set if the connection failed before there were enough. */
type Sample = Awaited<ReturnType<typeof takeSample>>;

/** Collects messages until a number, a time or 8 MiB is reached. Throws what fails before the first message. */
async function takeSample(
  { connector, profile, targets, table }: SampledSource,
  { messages: max = defaults.messages, timeout_ms: timeoutMs = defaults.timeoutMs, format }: InferRequest,
  gone: AbortSignal,
) {
  const [first, lost] = [[] as Watched[], undefined as PenstockError | undefined];
  const sample = { inference: new SchemaInference(), first, messages: 0, bytes: 0, elapsedMs: 0, lost };
  const over = new AbortController();
  let since: number | undefined;
  let until: number | undefined;
  const listening = (): void => {
    since = performance.now();
  };
  const stop = (): void => {
    until ??= performance.now();
    over.abort(enough);
  };
  const deliver = (message: Watched): void => {
    if (over.signal.aborted) return;
    sample.messages += 1;
    sample.bytes += message.payload.length;
    sample.inference.observe(message.payload, String(message.metadata.topic ?? ''));
    if (first.length < maxPreviewed) first.push(message);
    if (sample.messages >= max || sample.bytes >= maxBytes) stop();
  };
  const timer = setTimeout(stop, timeoutMs);
  try {
    const signal = AbortSignal.any([gone, over.signal]);
    const ways = { signal, listening, deliver, ended: stop };
    await watchSource(connector, {
      profile,
      targets,
      table,
      schema: format ? { format } : undefined,
      ...ways,
    });
  } catch (error) {
    if (gone.aborted || (error !== enough && sample.messages === 0)) throw error;
    if (since === undefined) throw tooSlow(timeoutMs);
    if (error instanceof PenstockError) sample.lost = error;
    else if (error !== enough) throw error;
  } finally {
    clearTimeout(timer);
  }
  sample.elapsedMs = Math.round((until ?? performance.now()) - (since ?? 0));
  return sample;
}

const tooSlow = (timeoutMs: number): PenstockError =>
  new PenstockError('connection_timeout', `The server accepted no subscription within ${timeoutMs} ms`, {
    hint: 'Test the connection to see which step is slow, or set a longer timeout_ms, up to 60000.',
  });

async function checkRequest(deps: Deps, body: InferRequest): Promise<SampledSource> {
  const connector = connectorFor(body.connector);
  if (body.profile !== undefined && body.connection_profile_id) {
    const message = 'cannot be combined with connection_profile_id; send only one of them';
    const errors = [{ path: '/profile', message }];
    throw new PenstockError('invalid_request', `/profile ${message}`, { errors });
  }
  const staged = new StagedDefinitions(deps.db);
  const profileRow = body.profile === undefined ? await profileRowOf(staged, body) : null;
  const config =
    body.profile === undefined
      ? profileRow
        ? deps.catalog.profile(profileRow)
        : {}
      : inlineProfile({ connector: body.connector, config: body.profile });
  const table = await withStoredSecrets(deps, connector, body.config, body.connection_table_id);
  checkTableConfig(body.connector, table, config);
  refuseMasked(table, connector.table);
  refuseSink(connector.direction(table), '/config/type');
  return {
    connector,
    ...deps.catalog.resolve(connector, config),
    table: deps.catalog.resolveTable(connector, table),
  };
}

function inlineProfile(profile: Parameters<typeof checkProfile>[0]): JsonObject {
  try {
    return checkProfile(profile);
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    const errors = error.errors.map((one) => ({ ...one, path: one.path.replace(/^\/config/, '/profile') }));
    throw new PenstockError(error, error.message.replaceAll('/config', '/profile'), {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      errors,
    });
  }
}

async function responseOf(sampled: SampledSource, sample: Sample, body: InferRequest): Promise<string> {
  const signal = AbortSignal.timeout(registryMs);
  const schemas = sampled.connector.registryOf?.(sampled.profile, sampled.table)
    ? new CachedSchemas(registryClient({ ...sampled, config: sampled.table }, signal))
    : undefined;
  try {
    return await reportOf(sampled, sample, body, schemas);
  } finally {
    await schemas?.close();
  }
}

/** Returns JSON text, because the preview has 64-bit integers. */
async function reportOf(
  sampled: SampledSource,
  { inference, first, messages, bytes, elapsedMs, lost }: Sample,
  { format: wanted }: InferRequest,
  schemas: CachedSchemas | undefined,
): Promise<string> {
  const format = wanted ?? undefined;
  const payloads = first.map(({ payload }) => payload);
  const connected = { ...sampled, config: sampled.table };
  const registered =
    schemas && messages > 0 ? await proposeRegistered(connected, format, payloads, schemas) : undefined;
  const proposed = inference.propose(format);
  const inferred = registered?.schema === undefined ? proposed : { ...proposed, ...registered };
  const schema = messages === 0 ? null : inferred.schema;
  const events =
    schema === null ? undefined : new MessageEvents(sampled.connector, expandSchema(schema), { schemas });
  await events?.ready(first);
  const preview =
    events === undefined ? [] : first.flatMap((message) => events.show(message).map(({ json }) => json));
  const report = {
    ...outcome(messages, elapsedMs, lost),
    messages,
    bytes,
    elapsed_ms: elapsedMs,
    ...inferred,
    schema,
    notes: messages === 0 ? [] : [...new Set([...inferred.notes, ...(registered?.notes ?? [])])],
  };
  return withRaw(report, { preview: `[${preview.join(',')}]` });
}

function outcome(messages: number, elapsedMs: number, lost: PenstockError | undefined) {
  if (lost) {
    const message = `Messages examined before the connection was lost: ${messages}. ${lost.message}`;
    return { message, hint: lost.hint ?? null };
  }
  if (messages > 0) return { message: `Messages examined: ${messages}`, hint: null };
  return {
    message: `No message arrived within ${elapsedMs} ms, so there is nothing to propose`,
    hint:
      'If no client publishes right now, set a longer timeout_ms. Or the server accepted the subscription but does not let ' +
      'this user read; some brokers do not report that.',
  };
}
