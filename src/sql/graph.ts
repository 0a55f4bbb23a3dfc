import { createHash } from 'node:crypto';
import type { InsertPlan, PipelineGraph, PipelineNode, Select } from './plan.ts';

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

/** The nodes of each insert in the graph; `transform` is null for a pass-through. */
export const nodesOf = (
  inserts: readonly InsertPlan[],
): { source: number; transform: number | null; sink: number }[] =>
  draw(inserts, 1).paths.map((path) => ({
    source: path[0] as number,
    transform: path.length > 2 ? (path[1] as number) : null,
    sink: path.at(-1) as number,
  }));

function draw(
  inserts: readonly InsertPlan[],
  parallelism: number,
): { graph: PipelineGraph; paths: number[][] } {
  const paths: number[][] = [];
  const nodes = new Map<string, PipelineNode>();
  const graph: PipelineGraph = { nodes: [], edges: [] };
  const add = (id: string, operator: string, description: string): number => {
    const known = nodes.get(id);
    if (known) return known.node_id;
    const node = { node_id: graph.nodes.length, operator, description, parallelism };
    nodes.set(id, node);
    graph.nodes.push(node);
    return node.node_id;
  };
  for (const { source, sink, select, operatorIds } of inserts) {
    const path = [add(`from ${source.name}`, source.connector, `${source.name} (source)`)];
    if (select.kind !== 'passthrough')
      path.push(add(operatorIds.transform, select.kind, describeSelect(select)));
    path.push(add(`to ${sink.name}`, sink.connector, `${sink.name} (sink)`));
    paths.push(path);
    for (const [index, src_id] of path.slice(0, -1).entries()) {
      const dest_id = path[index + 1] ?? src_id;
      graph.edges.push({ src_id, dest_id, key_type: '()', value_type: '()', edge_type: 'Forward' });
    }
  }
  return { graph, paths };
}

function describeSelect(select: Exclude<Select, { kind: 'passthrough' }>): string {
  switch (select.kind) {
    case 'project':
      return 'selects columns';
    case 'compiled':
      return 'computes rows with compiled functions';
    case 'stateful':
      return select.window
        ? `collects rows in ${select.window.kind} windows`
        : 'keeps results over all rows up to date';
    case 'sql':
      return `computes rows in DuckDB because of ${select.because}`;
  }
}
