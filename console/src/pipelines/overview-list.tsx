// biome-ignore-all lint/a11y/useSemanticElements: rows are placed by their distance from the top, which a table element cannot
// biome-ignore-all lint/a11y/useFocusableInteractive: links and buttons in the rows and headers have the focus
import { Anchor, Box, Group, Text, UnstyledButton } from '@mantine/core';
import { useMediaQuery } from '@mantine/hooks';
import { IconArrowDown, IconArrowUp } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { memo, type ReactNode, useRef } from 'react';
import type { OverviewEntry } from '../api/client.ts';
import { count, duration, perSecond } from '../parts/format.ts';
import { JobState, Since } from '../parts/parts.tsx';
import { Name, visible } from '../parts/text.tsx';
import styles from './overview.module.css';
import { type Column, type OverviewStore, useEntry } from './overview-store.ts';
import { Sparkline } from './sparkline.tsx';

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

interface ItemProps {
  store: OverviewStore;
  id: string;
  index: number;
  /** Distance from the top in pixels. */
  start: number;
  of: number;
}

const Row = memo(function Row({ store, id, index, start }: ItemProps): ReactNode {
  const entry = useEntry(store, id);
  if (entry === undefined) return null;
  return (
    <div
      className={styles.row}
      role="row"
      aria-rowindex={index + 2}
      style={{ transform: `translateY(${start}px)` }}
    >
      <Cell>
        <PipelineLink entry={entry} />
        <LabelLine entry={entry} />
      </Cell>
      <Cell>
        <JobState state={entry.state} />
        <Text fz={12} c="dimmed" component="div">
          <Since micros={entry.state_since} />
        </Text>
      </Cell>
      <Cell>
        <Sparkline rates={entry.rates} />
      </Cell>
      <Cell number>{perSecond(entry.messages_in_per_second)}</Cell>
      <Cell number>{perSecond(entry.messages_out_per_second)}</Cell>
      <Cell number>
        <div>{entry.lag_ms === null ? '–' : duration(entry.lag_ms)}</div>
        <InFlight entry={entry} />
      </Cell>
      <Cell number>{entry.latency_p99_ms === null ? '–' : duration(entry.latency_p99_ms)}</Cell>
      <Cell>
        <Errors entry={entry} />
      </Cell>
      <Cell number>
        <DeadLetters entry={entry} />
      </Cell>
      <Cell>
        <Workers entry={entry} />
      </Cell>
    </div>
  );
});

/** The same on a narrow screen. */
const Card = memo(function Card({ store, id, index, start, of }: ItemProps): ReactNode {
  const entry = useEntry(store, id);
  if (entry === undefined) return null;
  return (
    <div
      className={styles.card}
      role="listitem"
      aria-posinset={index + 1}
      aria-setsize={of}
      style={{ transform: `translateY(${start}px)` }}
    >
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Box className={styles.line} miw={0}>
          <PipelineLink entry={entry} />
        </Box>
        <JobState state={entry.state} />
      </Group>
      <Group justify="space-between" wrap="nowrap" gap="xs" mt={4}>
        <div className={styles.line}>
          in {perSecond(entry.messages_in_per_second)} · out {perSecond(entry.messages_out_per_second)}
        </div>
        <Sparkline rates={entry.rates} />
      </Group>
      <Group justify="space-between" wrap="nowrap" gap="xs">
        <Text fz={12} c="dimmed" className={styles.line} component="div">
          since <Since micros={entry.state_since} />
          {entry.lag_ms !== null && ` · lag ${duration(entry.lag_ms)}`}
          {entry.latency_p99_ms !== null && ` · p99 ${duration(entry.latency_p99_ms)}`}
        </Text>
        <Text fz={12} c={errorOf(entry) ? 'red' : 'dimmed'} className={styles.line} component="div">
          {visible(errorOf(entry) ?? '')}
          {entry.dead_letters > 0 && ` · ${count(entry.dead_letters)} dead letters`}
        </Text>
      </Group>
    </div>
  );
});

function Cell({ number, children }: { number?: boolean; children: ReactNode }): ReactNode {
  return (
    <div role="cell" className={number ? styles.number : styles.line}>
      {children}
    </div>
  );
}

function PipelineLink({ entry: { id, name } }: { entry: OverviewEntry }): ReactNode {
  return (
    <Anchor
      component={Link}
      to={`/pipelines/${id}`}
      preload={false}
      className={styles.link}
      fz={13}
      fw={600}
      c="inherit"
    >
      <Name>{name}</Name>
    </Anchor>
  );
}

function LabelLine({ entry: { labels } }: { entry: OverviewEntry }): ReactNode {
  const text = Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
  return (
    <Text fz={12} c="dimmed" className={styles.line} component="div">
      {visible(text)}
    </Text>
  );
}

function InFlight({ entry }: { entry: OverviewEntry }): ReactNode {
  const { in_flight: now, in_flight_max: most } = entry;
  return (
    <Text fz={12} c="dimmed" component="div" title={`${count(now)} of ${count(most)} messages in flight`}>
      {most > 0 ? `${count(now)} (${count((now / most) * 100)} %)` : ' '}
    </Text>
  );
}

const errorOf = ({ failure, last_error }: OverviewEntry): string | undefined =>
  failure?.code ?? last_error?.code;

function Errors({ entry }: { entry: OverviewEntry }): ReactNode {
  const code = errorOf(entry);
  const { bad, reconnects, failure, last_error } = entry;
  const more = [bad > 0 && `${count(bad)} bad`, reconnects > 0 && `${count(reconnects)} reconnects`];
  return (
    <>
      <div className={styles.line} title={visible(failure?.message ?? last_error?.message ?? '')}>
        {code ?? '–'}
      </div>
      <Text fz={12} c={bad > 0 ? 'red' : 'dimmed'} className={styles.line} component="div">
        {more.filter(Boolean).join(', ')}
      </Text>
    </>
  );
}

function DeadLetters({ entry: { dead_letters } }: { entry: OverviewEntry }): ReactNode {
  return dead_letters > 0 ? (
    <Text span inherit c="red" fw={600} aria-label={`${count(dead_letters)} dead letters`}>
      {count(dead_letters)}
    </Text>
  ) : (
    '0'
  );
}

function Workers({ entry: { workers } }: { entry: OverviewEntry }): ReactNode {
  const [first, ...others] = workers;
  if (first === undefined) return '–';
  return (
    <div className={styles.line} title={visible(workers.slice(0, 50).join(', '))}>
      {visible(first)}
      {others.length > 0 && ` +${others.length}`}
    </div>
  );
}
