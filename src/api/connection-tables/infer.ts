import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox';
import Type, { type Static } from 'typebox';
import type { ConnectorDefinition } from '../../connectors/connector.ts';
import { connectorFor } from '../../connectors/registry.ts';
import { checkTableConfig } from '../../definitions/config-checks.ts';
import { PenstockError } from '../../errors.ts';
import { expandSchema } from '../../formats/codec.ts';
import { enoughToRequire } from '../../formats/infer/infer-schema.ts';
import { payloadKinds } from '../../formats/infer/payload-kind.ts';
import { type ConnectionSchema, fieldTypes } from '../../formats/schema/schema.ts';
import { Format } from '../../formats/schema/wire-format.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import { takePlace, whileListening } from '../check.ts';
import { checkProfile } from '../connection-profiles/wire.ts';
import type { Deps } from '../deps.ts';
import { bodyProblems } from '../problem.ts';
import { ConnectorConfig, Id, strict } from '../schemas.ts';
import { profileRowOf } from './checks.ts';
import { MessageEvents, rowExample, withRaw } from './message-event.ts';
import { previewed, type Sample, type Sampled, takeSample } from './sample.ts';
import { refuseSink } from './tail.ts';
import type { TailEvent } from './tail-events.ts';

const defaults = { messages: 100, timeoutMs: 10_000 };

const InferRequest = Type.Object(
  {
    connector: Type.String({ maxLength: 64 }),
    connection_profile_id: Type.Optional(Type.Union([Id, Type.Null()])),
    profile: Type.Optional(
      Type.Unsafe<Record<string, never>>({
        ...ConnectorConfig,
        description: 'The config of a profile that is not stored, instead of connection_profile_id',
      }),
    ),
    config: ConnectorConfig,
    format: Type.Optional(
      Type.Union([Format, Type.Null()], { description: 'Guessed from the messages if left out' }),
    ),
    messages: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        default: defaults.messages,
        description: 'How many messages to wait for',
      }),
    ),
    timeout_ms: Type.Optional(
      Type.Integer({
        minimum: 100,
        maximum: 60_000,
        default: defaults.timeoutMs,
        description: 'Milliseconds after which what has arrived is enough',
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
  path: Type.String({ description: 'JSON pointer into a message; the items of a list are *' }),
  type: Type.Enum([...fieldTypes]),
  required: Type.Boolean({
    description: `It was always there and never null, in ${enoughToRequire} objects or more`,
  }),
  present: Type.Integer({ description: 'How often it was there, null included' }),
  of: Type.Integer({
    description: 'How many objects could have had it; of the items of lists, how many there were',
  }),
  types: Type.Record(Type.String(), Type.Integer(), { description: 'How many values of each type' }),
  note: Type.Union([Type.String(), Type.Null()]),
});

const kindCounts = Object.fromEntries(payloadKinds.map((kind) => [kind, Type.Integer()]));

/** What was seen, and the schema that fits it. */
export const InferredSchema = Type.Object(
  {
    message: Type.String({ description: 'What came of it, for people' }),
    hint: Type.Union([Type.String(), Type.Null()]),
    messages: Type.Integer({ description: 'How many were looked at' }),
    bytes: Type.Integer({ description: 'Of their payloads' }),
    elapsed_ms: Type.Integer({ description: 'How long they took to arrive, from the subscription on' }),
    kinds: Type.Object(kindCounts, { description: 'How many messages are of each kind' }),
    gzip: Type.Integer({ description: 'How many are compressed; they count by what is in them' }),
    schema: Type.Union([Type.Unsafe<ConnectionSchema>({ $ref: 'ConnectionSchema#' }), Type.Null()], {
      description: 'As POST /connection_tables takes it; null when no table can read these messages',
    }),
    fields: Type.Array(FieldEvidence, { description: 'What supports each field, nested ones too' }),
    notes: Type.Array(Type.String()),
    preview: Type.Array(Type.Unsafe<Static<typeof TailEvent>>({ $ref: 'TailEvent#' }), {
      description: `The first ${previewed} messages, read with the schema`,
    }),
  },
  {
    $id: 'InferredSchema',
    examples: [
      {
        message: 'Messages looked at: 50',
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

/** Proposing the schema of a table from the messages that arrive. */
export const inferSchemas =
  (deps: Deps): FastifyPluginAsyncTypebox =>
  async (app) => {
    app.post(
      '/connection_tables/infer_schema',
      {
        schema: {
          operationId: 'inferConnectionSchema',
          summary: 'Propose the schema of a source table from the messages that arrive',
          description:
            'Waits for messages, up to a number and a time, and says which fields they have and what supports each. ' +
            'It reads beside the pipelines and takes nothing from them. Nothing is stored, and nothing is left behind. ' +
            'It counts as a test.',
          tags: ['connection_tables'],
          body: InferRequest,
          response: {
            200: Type.Unsafe<never>({
              description: 'What was seen, and the schema that fits it',
              content: { 'application/json': { schema: { $ref: 'InferredSchema#' } } },
            }),
            ...bodyProblems(),
          },
        },
      },
      async ({ body }, reply) => {
        const sampled = await checkRequest(deps, body);
        const leave = takePlace();
        const gone = whileListening(reply);
        try {
          const { messages = defaults.messages, timeout_ms: timeoutMs = defaults.timeoutMs } = body;
          const sample = await takeSample(sampled, { messages, timeoutMs }, gone);
          return reply.type('application/json').send(answer(sampled.connector, sample, body));
        } catch (error) {
          if (!gone.aborted) throw error;
          return reply.hijack();
        } finally {
          leave();
        }
      },
    );
  };

async function checkRequest(deps: Deps, body: InferRequest): Promise<Sampled> {
  const connector = connectorFor(body.connector);
  if (body.profile !== undefined && body.connection_profile_id) {
    const errors = [
      { path: '/profile', message: 'stands beside connection_profile_id: leave one of them out' },
    ];
    throw new PenstockError('invalid_request', `/profile ${errors[0]?.message}`, { errors });
  }
  const profileRow = body.profile === undefined ? await profileRowOf(deps, body) : null;
  const config =
    body.profile === undefined
      ? profileRow
        ? deps.catalog.profile(profileRow)
        : {}
      : inlineProfile({ connector: body.connector, config: body.profile });
  checkTableConfig(body.connector, body.config, config);
  refuseSink(connector.direction(body.config), '/config/type');
  return { connector, ...deps.catalog.resolve(connector, config), table: body.config as JsonObject };
}

/** Here its errors lie below `profile`, not `config`. */
function inlineProfile(profile: Parameters<typeof checkProfile>[0]): JsonObject {
  try {
    return checkProfile(profile);
  } catch (error) {
    if (!(error instanceof PenstockError)) throw error;
    const errors = error.errors.map(({ path, message }) => ({
      path: path.replace(/^\/config/, '/profile'),
      message,
    }));
    throw new PenstockError(error, error.message.replaceAll('/config', '/profile'), {
      ...(error.hint === undefined ? {} : { hint: error.hint }),
      errors,
    });
  }
}

/** As JSON text: the preview has 64-bit integers. */
function answer(connector: ConnectorDefinition, sample: Sample, body: InferRequest): string {
  const { inference, first, messages, bytes, elapsedMs = 0, lost } = sample;
  const inferred = inference.propose(body.format ?? undefined);
  const schema = messages === 0 ? null : inferred.schema;
  const events = schema === null ? undefined : new MessageEvents(connector, expandSchema(schema));
  const preview =
    events === undefined ? [] : first.flatMap((message) => events.show(message).map(({ json }) => json));
  const said = {
    ...outcome(messages, elapsedMs, lost),
    messages,
    bytes,
    elapsed_ms: elapsedMs,
    ...inferred,
    schema,
    notes: messages === 0 ? [] : inferred.notes,
  };
  return withRaw(said, { preview: `[${preview.join(',')}]` });
}

function outcome(messages: number, elapsedMs: number, lost: PenstockError | undefined) {
  if (lost) {
    const message = `Messages looked at until the connection was lost: ${messages}. ${lost.message}`;
    return { message, hint: lost.hint ?? null };
  }
  if (messages > 0) return { message: `Messages looked at: ${messages}`, hint: null };
  return {
    message: `No message arrived within ${elapsedMs} ms, so there is nothing to propose`,
    hint:
      'Perhaps nobody publishes just now: allow more time with timeout_ms. Or the server accepted the subscription but ' +
      'does not let this user read: some brokers keep silent about that.',
  };
}
