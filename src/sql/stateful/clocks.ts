import type { Clock, Leaf } from '../plan.ts';
import { chooseSelect, outputFields } from '../row-select.ts';
import { analysisOf, type LeafTools } from './leaf.ts';
import { Times, timesOf } from './streams.ts';
import { selectOf, subquery, tableRef, treeOf } from './tree.ts';

/** The clocks of sources whose rows are not all in one of the leaves. */
export async function clocksOf(leaves: readonly Leaf[], tools: LeafTools): Promise<Clock[]> {
  const { connection, query, sources } = tools;
  const inputs = leaves.flatMap((leaf) => leaf.inputs);
  const clocks: Clock[] = [];
  for (const [index, source] of [...sources.values()].entries()) {
    const times = timesOf([source]);
    if (times.length === 0 || inputs.some((input) => input.whole && input.source === index)) continue;
    const view = query.computed.get(source.name);
    const table = tableRef(source.name, source.name);
    const from = view ? subquery(await treeOf(connection, view.text), source.name) : table;
    const root = selectOf([], from);
    await new Times(connection, query, source, times).add(root);
    const analysis = await analysisOf(root, tools);
    const columns = outputFields(analysis, query.findings);
    const select = await chooseSelect(connection, analysis, columns, query.findings);
    clocks.push({ source: index, columns, select });
  }
  return clocks;
}
