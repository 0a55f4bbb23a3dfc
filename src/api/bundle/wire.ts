import Type, { type Static } from 'typebox';
import { ConnectionProfilePost } from '../connection-profiles/wire.ts';
import { ConnectionTablePost } from '../connection-tables/wire.ts';
import { AffectedPipelines } from '../dependents.ts';
import { SelectorQuery } from '../labels.ts';
import { PipelinePost } from '../pipelines/wire.ts';
import { Name, strict } from '../schemas.ts';
import { WriteQuery } from '../write.ts';

/** Bundles: objects that refer to each other by name. */

/** Maximum number of objects in a bundle. One transaction writes them all, and other writers wait for it. */
export const maxObjects = 500;
export const maxBytes = 1024 * 1024;
/** Maximum size in YAML, which takes many times longer to parse than JSON and blocks all other requests. */
export const maxYamlBytes = 256 * 1024;

const { connection_profile_id: _id, ...ofTable } = ConnectionTablePost.properties;
const BundledTable = Type.Object(
  {
    ...ofTable,
    connection_profile: Type.Intersect([Name], {
      description: 'Name of its connection profile; the id of its connector if that needs none',
    }),
  },
  strict,
);
export type BundledTable = Static<typeof BundledTable>;

const exampleBundle = {
  connection_profiles: [
    {
      name: 'plant',
      connector: 'mqtt',
      config: { url: 'mqtt://localhost:1883', username: 'penstock', password: '{{ PENSTOCK_VAR_PLANT }}' },
      labels: { app: 'overheating' },
    },
  ],
  connection_tables: [
    {
      name: 'plant_readings',
      connector: 'mqtt',
      connection_profile: 'plant',
      config: { topic: 'plant/+/readings', qos: 'AtLeastOnce', type: {} },
      schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
      labels: { app: 'overheating' },
    },
    {
      name: 'plant_alerts',
      connector: 'mqtt',
      connection_profile: 'plant',
      config: { topic: 'plant/alerts', qos: 'AtLeastOnce', type: { retain: false } },
      schema: { format: { type: 'json' }, fields: [{ name: 'celsius', type: 'float64' }] },
      labels: { app: 'overheating' },
    },
  ],
  pipelines: [
    {
      name: 'overheating',
      query: 'INSERT INTO plant_alerts SELECT celsius FROM plant_readings WHERE celsius > 90',
      parallelism: 1,
      labels: { app: 'overheating' },
    },
  ],
};

const listOf = <T extends Type.TSchema>(item: T) => Type.Optional(Type.Array(item, { maxItems: maxObjects }));
const contents = {
  connection_profiles: listOf(ConnectionProfilePost),
  connection_tables: listOf(BundledTable),
  pipelines: listOf(PipelinePost),
};

export const Bundle = Type.Object(
  {
    ...contents,
    prune: Type.Optional(
      Type.Object(
        {
          label_selector: Type.String({
            minLength: 1,
            maxLength: 1000,
            description: 'As in lists. It must require a label: objects without labels are never pruned',
          }),
        },
        {
          ...strict,
          description: 'Deletes the matching objects that are not in the bundle',
        },
      ),
    ),
  },
  {
    ...strict,
    title: 'Bundle',
    examples: [{ ...exampleBundle, prune: { label_selector: 'app=overheating' } }],
  },
);
export type Bundle = Static<typeof Bundle>;

export const Exported = Type.Object(contents, { title: 'Exported', examples: [exampleBundle] });

const planPattern = '^[0-9a-f]{64}$';

export const ApplyQuery = Type.Object(
  {
    ...WriteQuery.properties,
    plan: Type.Optional(
      Type.String({
        pattern: planPattern,
        description: 'Hash of a plan. If the plan is out of date, the response is 412',
      }),
    ),
  },
  strict,
);

const kinds = ['connection_profiles', 'connection_tables', 'pipelines'] as const;

export const ExportQuery = Type.Object(
  {
    ...SelectorQuery.properties,
    kind: Type.Optional(
      Type.Enum([...kinds], {
        description: 'Only this kind, with what its objects need; label_selector applies to this kind alone',
      }),
    ),
    name: Type.Optional(
      Type.Unsafe<string>({ ...Name, description: 'Only the object with this name; needs kind' }),
    ),
    format: Type.Enum(['json', 'yaml'], { default: 'json', description: 'Format of the bundle' }),
  },
  strict,
);

const Difference = Type.Object({
  path: Type.String({ description: 'JSON pointer into the object in the bundle' }),
  before: Type.Optional(Type.Unknown({ description: 'Left out if there was no value' })),
  after: Type.Optional(Type.Unknown({ description: 'Left out if the value is removed' })),
  secret: Type.Optional(
    Type.Literal('changed', { description: 'A secret is set, changed or removed. Its value is not shown' }),
  ),
});
export type Difference = Static<typeof Difference>;

const actions = ['created', 'updated', 'unchanged', 'deleted'] as const;

const BundleChange = Type.Object({
  kind: Type.Enum([...kinds]),
  name: Type.String(),
  action: Type.Enum([...actions]),
  id: Type.Union([Type.String(), Type.Null()], {
    description: 'Null in a plan for an object that does not exist yet',
  }),
  diff: Type.Array(Difference, { description: 'The differences of an updated object; otherwise empty' }),
});
export type BundleChange = Static<typeof BundleChange>;

const count = Type.Integer();

export const Applied = Type.Object(
  {
    plan: Type.String({
      pattern: planPattern,
      description:
        'Hash of the changes, of the versions they were compared with and of the affected pipelines',
    }),
    applied: Type.Boolean({ description: 'False in a plan' }),
    summary: Type.Object({ created: count, updated: count, unchanged: count, deleted: count }),
    changes: Type.Array(BundleChange, {
      description: 'One for each object, in the order of execution',
    }),
    affected_pipelines: AffectedPipelines,
  },
  {
    title: 'Applied',
    examples: [
      {
        plan: '9c1f'.repeat(16),
        applied: true,
        summary: { created: 0, updated: 2, unchanged: 0, deleted: 1 },
        changes: [
          {
            kind: 'connection_profiles',
            name: 'plant',
            action: 'updated',
            id: 'cp_3fK0x9QzLm',
            diff: [{ path: '/config/password', secret: 'changed' }],
          },
          {
            kind: 'connection_tables',
            name: 'plant_readings',
            action: 'updated',
            id: 'ct_8Qm2Vh4TzX',
            diff: [{ path: '/config/topic', before: 'plant/+/readings', after: 'plant/+/celsius' }],
          },
          { kind: 'pipelines', name: 'old', action: 'deleted', id: 'pl_9aB3cD4eF5', diff: [] },
        ],
        affected_pipelines: [{ id: 'pl_5TgR7bN1wC', name: 'overheating' }],
      },
    ],
  },
);
export type Applied = Static<typeof Applied>;

/** YAML 1.2 as a notation for JSON. Everything else, such as tags and dates, is refused. */
