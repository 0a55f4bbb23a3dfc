import '@xyflow/react/dist/style.css';
import { graphlib, layout } from '@dagrejs/dagre';
import { Badge, Box, Code, Group, List, Paper, Stack, Text, useComputedColorScheme } from '@mantine/core';
import {
  Background,
  type Edge,
  Handle,
  MarkerType,
  type Node,
  type NodeProps,
  Position,
  ReactFlow,
} from '@xyflow/react';
import { type ReactNode, useMemo, useState } from 'react';
import type { PipelineGraph } from '../api/client.ts';
import { amount } from '../parts/format.ts';
import { visible } from '../parts/text.tsx';

/** The graph of a plan. Load this file lazily. */

type GraphNode = PipelineGraph['nodes'][number];
type GraphEdge = PipelineGraph['edges'][number];

const width = 220;
/** Room for a heading and up to three lines of description. */
const heightFor = ({ description }: GraphNode): number =>
  40 + 18 * Math.min(3, Math.ceil(Math.max(1, description.length) / 30));
/** A query with more INSERTs is shown as text only: nobody can read it as a picture. */
const maxDrawn = 120;

export function Graph({ graph }: { graph: PipelineGraph }): ReactNode {
  const [chosen, setChosen] = useState<string>();
  const dark = useComputedColorScheme('light') === 'dark';
  const { nodes, edges } = useMemo(() => drawn(graph), [graph]);
  const edge = graph.edges.find((one) => edgeId(one) === chosen);
  const height = Math.min(460, Math.max(220, heightOf(nodes)));
  return (
    <Stack gap="xs">
      {graph.nodes.length <= maxDrawn && (
        // The text below says the same.
        <Box h={height} className="graph" aria-hidden>
          <ReactFlow
            // A new graph is fitted into the view again.
            key={JSON.stringify(graph.nodes.map(({ description }) => description))}
            // Its credit is on the page About, where the keyboard reaches it.
            proOptions={{ hideAttribution: true }}
            nodes={nodes}
            edges={edges.map((one) => ({ ...one, selected: one.id === chosen }))}
            nodeTypes={nodeTypes}
            fitView
            fitViewOptions={{ maxZoom: 1, padding: 0.08 }}
            minZoom={0.2}
            colorMode={dark ? 'dark' : 'light'}
            nodesDraggable={false}
            nodesConnectable={false}
            nodesFocusable={false}
            edgesFocusable={false}
            disableKeyboardA11y
            zoomOnScroll={false}
            preventScrolling={false}
            onEdgeClick={(_, { id }) => setChosen(id === chosen ? undefined : id)}
            onPaneClick={() => setChosen(undefined)}
          >
            <Background gap={16} />
          </ReactFlow>
        </Box>
      )}
      {edge && <RowType edge={edge} />}
      <AsText graph={graph} />
    </Stack>
  );
}

const edgeId = ({ src_id, dest_id }: GraphEdge): string => `${src_id} ${dest_id}`;

type BoxNode = Node<{ node: GraphNode }, 'operator'>;

function OperatorBox({ data: { node } }: NodeProps<BoxNode>): ReactNode {
  return (
    <Paper
      withBorder
      p={8}
      w={width}
      h={heightFor(node)}
      shadow="xs"
      className="graph-node"
      data-role={roleOf(node)}
    >
      <Handle type="target" position={Position.Top} isConnectable={false} />
      <Group justify="space-between" gap={4} wrap="nowrap">
        <Text size="xs" fw={700} truncate>
          {visible(node.operator)}
        </Text>
        <Badge size="xs" variant="default" tt="none">
          {amount(node.parallelism, 'task')}
        </Badge>
      </Group>
      <Text size="xs" lineClamp={3} title={visible(node.description).slice(0, 500)}>
        {visible(node.description).slice(0, 500)}
      </Text>
      <Handle type="source" position={Position.Bottom} isConnectable={false} />
    </Paper>
  );
}

const roleOf = ({ description }: GraphNode): string =>
  /\((source|sink)\)$/.exec(description)?.[1] ?? 'transform';

const nodeTypes = { operator: OperatorBox };

function drawn({ nodes, edges }: PipelineGraph): { nodes: BoxNode[]; edges: Edge[] } {
  if (nodes.length > maxDrawn) return { nodes: [], edges: [] };
  const made = new graphlib.Graph();
  made.setGraph({ rankdir: 'TB', nodesep: 24, ranksep: 36 });
  made.setDefaultEdgeLabel(() => ({}));
  for (const node of nodes) made.setNode(`${node.node_id}`, { width, height: heightFor(node) });
  for (const { src_id, dest_id } of edges) made.setEdge(`${src_id}`, `${dest_id}`);
  layout(made);
  return {
    nodes: nodes.map((node) => {
      const { x, y } = made.node(`${node.node_id}`) as { x: number; y: number };
      const height = heightFor(node);
      const position = { x: x - width / 2, y: y - height / 2 };
      return { id: `${node.node_id}`, type: 'operator', position, data: { node }, width, height };
    }),
    edges: edges.map((edge) => ({
      id: edgeId(edge),
      source: `${edge.src_id}`,
      target: `${edge.dest_id}`,
      interactionWidth: 24,
      markerEnd: { type: MarkerType.ArrowClosed },
    })),
  };
}

const heightOf = (nodes: readonly BoxNode[]): number =>
  Math.max(0, ...nodes.map(({ position, height }) => position.y + (height ?? 0))) + 32;

const typeOf = ({ value_type }: GraphEdge): string =>
  value_type === '()' ? 'not known' : visible(value_type);

function RowType({ edge }: { edge: GraphEdge }): ReactNode {
  return (
    <Text size="xs" role="status">
      Rows: <Code>{typeOf(edge)}</Code>
    </Text>
  );
}

/** The same for screen readers, keyboards and small screens. */
function AsText({ graph: { nodes, edges } }: { graph: PipelineGraph }): ReactNode {
  const nameOf = (id: number): string =>
    visible(nodes.find(({ node_id }) => node_id === id)?.description ?? `${id}`);
  return (
    <details className="graph-text">
      <summary>Graph as text, with the types of the rows</summary>
      <List size="xs" type="ordered" mt={4}>
        {nodes.slice(0, 500).map((node) => (
          <List.Item key={node.node_id}>
            <b>{visible(node.operator)}</b>: {visible(node.description)}, {amount(node.parallelism, 'task')}
            {edges
              .filter(({ src_id }) => src_id === node.node_id)
              .map((edge) => (
                <div key={edgeId(edge)}>
                  → {nameOf(edge.dest_id)}. Rows: <Code>{typeOf(edge)}</Code>
                </div>
              ))}
          </List.Item>
        ))}
      </List>
    </details>
  );
}
