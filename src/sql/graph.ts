import { createHash } from 'node:crypto';
import { sqlType } from '../formats/schema/sql-type.ts';
import { lengthText } from './durations.ts';
import { quoteName } from './names.ts';
import type {
  InsertPlan,
  PipelineGraph,
  PipelineNode,
  Select,
  StatefulSelect,
  TableDefinition,
} from './plan.ts';

/**
 * The name of an operator: `<kind>_<start of the table's name>_<hash of the name>`. A source's or sink's depends on
 * its table alone, so that its session with a broker outlives an edit of the query.
 */
export function operatorId(kind: 'source' | 'sink' | 'transform', name: string): string {
  const readable = name.replaceAll(/[^0-9A-Za-z]+/g, '_').slice(0, 10);
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 6);
  return `${kind}_${readable}_${hash}`;
}

/** The graph of a plan as Arroyo's console draws it: each source and sink once, a transform for each insert. */
export const graphOf = (inserts: readonly InsertPlan[], parallelism = 1): PipelineGraph =>
  draw(inserts, parallelism).graph;

interface InsertNodes {
  source: number;
  others: number[];
  /** Null for a pass-through. */
  transform: number | null;
  sink: number;
}

/** The nodes of each insert in the graph. */
export const nodesOf = (inserts: readonly InsertPlan[]): InsertNodes[] => draw(inserts, 1).nodes;

function draw(
  inserts: readonly InsertPlan[],
  parallelism: number,
): { graph: PipelineGraph; nodes: InsertNodes[] } {
  const known = new Map<string, PipelineNode>();
  const graph: PipelineGraph = { nodes: [], edges: [] };
  const nodes = inserts.map((insert): InsertNodes => {
    const { source, others = [], sink, select, operatorIds } = insert;
    // One with a state is always one task.
    const tasks = select.kind === 'stateful' ? 1 : parallelism;
    const add = (id: string, operator: string, description: string): number => {
      const node = known.get(id) ?? {
        node_id: graph.nodes.length,
        operator,
        description,
        parallelism: tasks,
      };
      if (!known.has(id)) graph.nodes.push(node);
      known.set(id, node);
      node.parallelism = Math.max(node.parallelism, tasks);
      return node.node_id;
    };
    const connect = (src_id: number, dest_id: number, value_type: string): unknown =>
      graph.edges.push({ src_id, dest_id, key_type: '()', value_type, edge_type: 'Forward' });
    /** The node of a source, and the one that its rows come from. */
    const read = (table: TableDefinition) => {
      const { name, connector, watermark } = table;
      const rows = rowType(table);
      const node = add(`from ${name}`, connector, `${name} (source)`);
      if (select.kind !== 'stateful' || !select.window || watermark === undefined)
        return { node, last: node, rows };
      const isNew = !known.has(`watermark of ${name}`);
      const last = add(`watermark of ${name}`, 'watermark', `watermark of ${name}: ${watermark}`);
      if (isNew) connect(node, last, rows);
      return { node, last, rows };
    };
    const [from, ...more] = [source, ...others.map((other) => other.source)].map(read) as [
      ReturnType<typeof read>,
      ...ReturnType<typeof read>[],
    ];
    const transform =
      select.kind === 'passthrough' ? null : add(operatorIds.transform, select.kind, describeSelect(select));
    const to = add(`to ${sink.name}`, sink.connector, `${sink.name} (sink)`);
    const inputs = new Map([from, ...more].map(({ last, rows }) => [last, rows]));
    for (const [last, rows] of inputs) connect(last, transform ?? to, rows);
    if (transform !== null) connect(transform, to, rowType(sink));
    return { source: from.node, others: more.map(({ node }) => node), transform, sink: to };
  });
  return { graph, nodes };
}

/** Maximum length of a row's type. The graph is stored with each pipeline. */
const maxRowType = 2000;

/** The columns of a table with their types, as `CREATE TABLE` has them; `()` without columns. */
function rowType({ schema }: TableDefinition): string {
  const columns = (schema?.fields ?? []).map((field) => `${plainName(field.name)} ${sqlType(field)}`);
  const text = columns.join(', ');
  if (text === '') return '()';
  return text.length > maxRowType ? `${text.slice(0, maxRowType)}…` : text;
}

const plainName = (name: string): string => (/^[a-z_]\w*$/i.test(name) ? name : quoteName(name));

function describeSelect(select: Exclude<Select, { kind: 'passthrough' }>): string {
  switch (select.kind) {
    case 'project':
      return 'selects columns';
    case 'compiled':
      return 'computes rows with compiled functions';
    case 'stateful':
      return describeStateful(select);
    case 'sql':
      return `computes rows in DuckDB because of ${select.because}`;
  }
}

/** Says which windows there are, the columns that tell results apart, and what is kept for them. */
function describeStateful({ window, leaves, key = [] }: StatefulSelect): string {
  const work = window ? `collects rows in ${windowText(window)}` : 'keeps results over all rows up to date';
  const by = key.length > 0 ? ` by ${key.join(', ')}` : '';
  const kinds = new Set(leaves.map(({ fold }) => (fold ? 'partial aggregates' : 'rows')));
  const tables = leaves.length > 1 ? ` in ${leaves.length} tables` : '';
  return `${work}${by}; keeps ${[...kinds].join(' and ')}${tables}`;
}

function windowText(window: NonNullable<StatefulSelect['window']>): string {
  switch (window.kind) {
    case 'tumble':
      return `tumbling windows of ${lengthText(window.width)}`;
    case 'hop':
      return `sliding windows of ${lengthText(window.width)} every ${lengthText(window.slide)}`;
    case 'session':
      return `sessions with a gap of ${lengthText(window.gap)}`;
  }
}
