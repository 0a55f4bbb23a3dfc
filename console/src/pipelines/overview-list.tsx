// biome-ignore-all lint/a11y/useSemanticElements: rows are placed by their distance from the top, which a table element cannot
// biome-ignore-all lint/a11y/useFocusableInteractive: links and buttons in the rows and headers have the focus
import { Text, UnstyledButton } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react';
import { useVirtualizer } from '@tanstack/react-virtual';
import { type ReactNode, useRef } from 'react';
import styles from './overview.module.css';
import { Card, Row } from './overview-row.tsx';
import type { Column, OverviewStore } from './overview-store.ts';

/** The rows of the overview. Only those in sight are in the document. */

export interface Order {
  column: Column;
  descending: boolean;
}

interface Head {
  title: string;
  column?: Column;
  number?: boolean;
  help?: string;
}

const heads: Head[] = [
  { title: 'Name', column: 'name' },
  { title: 'State', column: 'state', help: 'Sorted by what needs attention first' },
  { title: '2 minutes', help: 'Messages in over the last 2 minutes' },
  { title: 'In', column: 'messages_in', number: true, help: 'Messages in, average of 5 seconds' },
  { title: 'Out', column: 'messages_out', number: true, help: 'Messages out, average of 5 seconds' },
  {
    ...{ title: 'Lag', column: 'lag', number: true },
    help: 'Age of the oldest message that is not acknowledged; below it the messages in flight',
  },
  { title: 'p99', column: 'latency', number: true, help: 'Delay of the slowest 1 % of messages' },
  { title: 'Errors', column: 'errors', help: 'Newest error; below it what could not be processed' },
  { title: 'Dead', column: 'dead_letters', number: true, help: 'Dead letters' },
  { title: 'Workers' },
];

/** Columns of numbers begin with the highest. */
export const firstOrder = (column: Column): Order => ({
  column,
  descending: column !== 'name' && column !== 'state',
});

interface ListProps {
  store: OverviewStore;
  ids: readonly string[];
  order: Order;
  onOrder(order: Order): void;
}

export function OverviewList({ store, ids, order, onOrder }: ListProps): ReactNode {
  const wide = useMediaQuery('(min-width: 48em)', true, { getInitialValueInEffect: false });
  const scroll = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: ids.length,
    getScrollElement: () => scroll.current,
    estimateSize: () => (wide ? 52 : 96),
    overscan: 6,
    getItemKey: (index) => ids[index] ?? index,
  });
  const Item = wide ? Row : Card;
  const list = (
    <div className={styles.rows} role={wide ? 'rowgroup' : 'list'} style={{ height: rows.getTotalSize() }}>
      {rows.getVirtualItems().map(({ key, index, start }) => (
        <Item key={key} store={store} id={ids[index] as string} index={index} start={start} of={ids.length} />
      ))}
    </div>
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it (WCAG 2.1.1)
    <section ref={scroll} className={styles.scroll} tabIndex={0} aria-label="Pipelines">
      {wide ? (
        <div className={styles.table} role="table" aria-label="Pipelines" aria-rowcount={ids.length + 1}>
          <Heads order={order} onOrder={onOrder} />
          {list}
        </div>
      ) : (
        list
      )}
    </section>
  );
}

function Heads({ order, onOrder }: Pick<ListProps, 'order' | 'onOrder'>): ReactNode {
  return (
    <div role="rowgroup">
      <div className={styles.head} role="row" aria-rowindex={1}>
        {heads.map(({ title, column, number, help }) => {
          const sorted = column !== undefined && order.column === column;
          const Arrow = order.descending ? IconArrowDown : IconArrowUp;
          const press = (): void => {
            if (column) onOrder(sorted ? { column, descending: !order.descending } : firstOrder(column));
          };
          return (
            <div
              key={title}
              role="columnheader"
              className={number ? styles.number : undefined}
              aria-sort={sorted ? (order.descending ? 'descending' : 'ascending') : undefined}
              title={help}
            >
              {column ? (
                <UnstyledButton onClick={press} fz={12} fw={600} py={6} c={sorted ? undefined : 'dimmed'}>
                  {title} {sorted && <Arrow size={12} aria-hidden />}
                </UnstyledButton>
              ) : (
                <Text fz={12} fw={600} c="dimmed">
                  {title}
                </Text>
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}
