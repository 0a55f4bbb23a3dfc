import Type, { type Static } from 'typebox';
import { maskQuery } from '../../definitions/query-secrets.ts';
import { PenstockError } from '../../errors.ts';
import { actionFor, type StopMode } from '../../jobs/states.ts';
import type { JsonObject } from '../../security/config-secrets.ts';
import type { Db, Tx } from '../../store/db.ts';
import { Labels, LabelsPatch, Placement, PlacementPatch } from '../labels.ts';
import { Micros, Name, type Named, nullable, StopMode as StopModeSchema, strict } from '../schemas.ts';
import { type JobRow, jobStateOf, withWorkers } from '../workers/alive.ts';

const exampleQuery = `CREATE TABLE readings (device TEXT, celsius DOUBLE) WITH (
  connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'plant/readings', qos = 'AtLeastOnce',
  type = 'source', format = 'json');
CREATE TABLE alerts (device TEXT, celsius DOUBLE) WITH (
  connector = 'mqtt', url = 'mqtt://localhost:1883', topic = 'plant/alerts', qos = 'AtLeastOnce',
  type = 'sink', format = 'json');
INSERT INTO alerts SELECT device, celsius FROM readings WHERE celsius > 90;`;

const exampleNode = (node_id: number, operator: string, description: string) => ({
  node_id,
  operator,
  description,
  parallelism: 1,
});
const exampleEdge = (src_id: number) => ({
  src_id,
  dest_id: src_id + 1,
  key_type: '()',
  value_type: 'device TEXT, celsius DOUBLE',
  edge_type: 'Forward',
});
const exampleGraph = {
  nodes: [
    exampleNode(1, 'mqtt', 'readings'),
    exampleNode(2, 'sql', 'SELECT device, celsius FROM readings WHERE celsius > 90'),
    exampleNode(3, 'mqtt', 'alerts'),
  ],
  edges: [exampleEdge(1), exampleEdge(2)],
};

const examplePipeline = {
  id: 'pl_5TgR7bN1wC',
  name: 'overheating',
  query: exampleQuery,
  udfs: [],
  checkpoint_interval_micros: 10_000_000,
  stop: 'none',
  created_at: 1_790_000_000_000_000,
  action: 'checkpoint',
  action_text: 'Stop',
  action_in_progress: false,
  graph: exampleGraph,
  preview: false,
  state_url: null,
  tags: {},
  parallelism: 1,
  labels: {},
  placement: {},
};

export const PipelineGraph = Type.Object(
  {
    nodes: Type.Array(
      Type.Object({
        node_id: Type.Integer(),
        operator: Type.String(),
        description: Type.String(),
        parallelism: Type.Integer(),
      }),
    ),
    edges: Type.Array(
      Type.Object({
        src_id: Type.Integer(),
        dest_id: Type.Integer(),
        key_type: Type.String(),
        value_type: Type.String({ description: 'Columns of the rows; () if they are not known' }),
        edge_type: Type.String(),
      }),
    ),
  },
  { $id: 'PipelineGraph', examples: [exampleGraph] },
);

export const Pipeline = Type.Object(
  {
    id: Type.String(),
    name: Type.String(),
    query: Type.String(),
    udfs: Type.Array(Type.Unknown(), { description: 'Always empty' }),
    checkpoint_interval_micros: Type.Integer(),
    stop: StopModeSchema,
    created_at: Micros,
    action: nullable(StopModeSchema, { description: 'Value of stop that performs the offered action' }),
    action_text: Type.String({ description: 'Label of the offered action' }),
    action_in_progress: Type.Boolean(),
    graph: Type.Unsafe<Static<typeof PipelineGraph>>({ $ref: 'PipelineGraph#' }),
    preview: Type.Boolean(),
    state_url: Type.Null(),
    tags: Type.Record(Type.String(), Type.String()),
    parallelism: Type.Integer(),
    labels: Labels,
    placement: Placement,
  },
  { title: 'Pipeline', examples: [examplePipeline] },
);

const Query = Type.String({ minLength: 1, maxLength: 100_000, pattern: '^[^\\u0000]*$', description: 'SQL' });
const Udfs = Type.Optional(
  nullable(Type.Array(Type.Unknown(), { maxItems: 100 }), {
    description: 'User-defined functions. They are not supported: the query may not use them',
  }),
);
/** A field of Arroyo's that must be empty. */
const EmptyObject = Type.Optional(
  nullable(Type.Object({}, strict), { description: 'Not supported: {} or left out' }),
);
const Tag = Type.String({ maxLength: 256 });
const CheckpointInterval = Type.Integer({ minimum: 1_000_000, maximum: 86_400_000_000 });
const Parallelism = Type.Integer({
  minimum: 1,
  maximum: 64,
  description:
    'Number of parallel tasks. Several tasks share the messages of the source and do not keep their order',
});

export const PipelinePost = Type.Object(
  {
    name: Name,
    query: Query,
    parallelism: Parallelism,
    udfs: Udfs,
    checkpoint_interval_micros: Type.Optional(nullable(CheckpointInterval)),
    tags: Type.Optional(nullable(Type.Record(Type.String(), Tag))),
    state_url: Type.Optional(Type.Null()),
    env_vars: EmptyObject,
    scheduler_config: EmptyObject,
    labels: Type.Optional(Labels),
    placement: Type.Optional(Placement),
  },
  {
    ...strict,
    title: 'PipelinePost',
    examples: [{ name: 'overheating', query: exampleQuery, parallelism: 1, labels: { site: 'north' } }],
  },
);
export type PipelinePost = Static<typeof PipelinePost>;

export const PipelinePatch = Type.Object(
  {
    stop: Type.Optional(StopModeSchema),
    parallelism: Type.Optional(Parallelism),
    checkpoint_interval_micros: Type.Optional(nullable(CheckpointInterval)),
    name: Type.Optional(Name),
    query: Type.Optional(Query),
    tags: Type.Optional(nullable(Type.Record(Type.String(), nullable(Tag)))),
    labels: Type.Optional(LabelsPatch),
    placement: Type.Optional(PlacementPatch),
  },
  {
    ...strict,
    minProperties: 1,
    title: 'PipelinePatch',
    examples: [
      { stop: 'graceful' },
      { query: exampleQuery.replace('> 90', '> 95'), labels: { site: null, line: '2' } },
    ],
  },
);

export const Restart = Type.Object(
  {
    force: Type.Optional(
      nullable(Type.Boolean(), { description: 'Do not wait for messages in flight; they are redelivered' }),
    ),
    ignore_state: Type.Optional(
      nullable(Type.Boolean(), {
        description: 'Accepted without effect; state=discard begins without a state',
      }),
    ),
  },
  { ...strict, examples: [{ force: false }] },
);

export const PreviewPost = Type.Object(
  {
    query: Query,
    udfs: Udfs,
    enable_sinks: Type.Optional(
      Type.Boolean({ description: 'Whether the rows shown are also written to the sinks of its INSERTs' }),
    ),
  },
  { ...strict, examples: [{ query: exampleQuery }] },
);

const Location = Type.Object({ line: Type.Integer(), column: Type.Integer() });
export const ValidateQueryPost = Type.Object(
  { query: Query, udfs: Udfs },
  { ...strict, examples: [{ query: exampleQuery }] },
);
const QueryDiagnostic = Type.Object({
  message: Type.String(),
  span: Type.Optional(
    Type.Object({ start: Location, end: Location }, { description: 'Lines and columns count from 1' }),
  ),
});

const warnings = Type.Array(QueryDiagnostic, {
  description:
    'Places of a valid query whose result may surprise, with what to write instead; without a span, a placement that no ' +
    'worker meets',
});

/** The response to a write. */
export const SavedPipeline = Type.Object(
  { ...Pipeline.properties, warnings },
  { examples: [{ ...examplePipeline, warnings: [] }] },
);

export const QueryValidationResult = Type.Object(
  {
    graph: nullable(Type.Unsafe<Static<typeof PipelineGraph>>({ $ref: 'PipelineGraph#' })),
    errors: Type.Array(QueryDiagnostic),
    warnings,
  },
  { examples: [{ graph: exampleGraph, errors: [], warnings: [] }] },
);

type StoredPipeline = NonNullable<Awaited<ReturnType<Db['pipeline']['findUnique']>>>;
export type PipelineRow = StoredPipeline & { job: JobRow };

/** Adds the workers to the jobs of pipelines; leaves out those that are being deleted. */
export async function withJobs(
  db: Db | Tx,
  rows: readonly (StoredPipeline & { job: Omit<JobRow, 'alive'> | null })[],
): Promise<PipelineRow[]> {
  const stored = rows.flatMap(({ job }) => job ?? []);
  const jobs = new Map((await withWorkers(db, stored)).map((job) => [job.pipelineId, job]));
  return rows.flatMap((row) => {
    const job = jobs.get(row.id);
    return job ? [{ ...row, job }] : [];
  });
}

export async function pipelineNamed(db: Db | Tx, where: Named): Promise<PipelineRow | null> {
  const row = await db.pipeline.findUnique({ where, include: { job: true } });
  const [found] = await withJobs(db, row ? [row] : []);
  return found ?? null;
}

/** Throws `not_found`. */
export async function findPipeline(db: Db | Tx, id: string): Promise<PipelineRow> {
  const row = await pipelineNamed(db, { id });
  if (row) return row;
  throw new PenstockError('not_found', `There is no pipeline ${id}`);
}

export const pipelineToBody = (row: PipelineRow): JsonObject => ({
  name: row.name,
  query: maskQuery(row.query),
  parallelism: row.parallelism,
  checkpoint_interval_micros: Number(row.checkpointIntervalMicros),
  tags: JSON.parse(row.tags),
  labels: JSON.parse(row.labels),
  placement: JSON.parse(row.placement),
});

/** Every operator has the parallelism of the pipeline. */
function graphOf({ graph, parallelism }: PipelineRow): Static<typeof PipelineGraph> {
  const { nodes, edges } = JSON.parse(graph) as Static<typeof PipelineGraph>;
  return { nodes: nodes.map((node) => ({ ...node, parallelism })), edges };
}

export const toWire = (row: PipelineRow): Static<typeof Pipeline> => ({
  id: row.id,
  name: row.name,
  query: maskQuery(row.query),
  udfs: [],
  checkpoint_interval_micros: Number(row.checkpointIntervalMicros),
  stop: row.job.stop as StopMode,
  created_at: Number(row.createdAt),
  ...actionFor(jobStateOf(row.job), row.job.stop === 'none'),
  graph: graphOf(row),
  preview: false,
  state_url: null,
  tags: JSON.parse(row.tags),
  parallelism: row.parallelism,
  labels: JSON.parse(row.labels),
  placement: JSON.parse(row.placement),
});
