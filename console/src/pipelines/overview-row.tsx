// biome-ignore-all lint/a11y/useSemanticElements: rows are placed by their distance from the top, which a table element cannot
// biome-ignore-all lint/a11y/useFocusableInteractive: links and buttons in the rows and headers have the focus
import { Anchor, Box, Group, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { memo, type ReactNode } from 'react';
import type { OverviewEntry } from '../api/client.ts';
import { amount, count, duration, perSecond } from '../parts/format.ts';
import { JobState, Since } from '../parts/parts.tsx';
import { Name, visible } from '../parts/text.tsx';
import styles from './overview.module.css';
import { type OverviewStore, useEntry } from './overview-store.ts';
import { Sparkline } from './sparkline.tsx';

/** A pipeline in the overview: a row of the table, or a card on a narrow screen. */

interface ItemProps {
  store: OverviewStore;
  id: string;
  index: number;
  /** Distance from the top in pixels. */
  start: number;
  of: number;
}

export const Row = memo(function Row({ store, id, index, start }: ItemProps): ReactNode {
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
export const Card = memo(function Card({ store, id, index, start, of }: ItemProps): ReactNode {
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
        <Box flex="none">
          <JobState state={entry.state} />
        </Box>
      </Group>
      <Group justify="space-between" wrap="nowrap" gap="xs" mt={4}>
        <div className={styles.line}>
          in {perSecond(entry.messages_in_per_second)} · out {perSecond(entry.messages_out_per_second)}
        </div>
        <Sparkline rates={entry.rates} />
      </Group>
      <Text fz={12} c="dimmed" className={styles.line} component="div">
        since <Since micros={entry.state_since} />
        {entry.lag_ms !== null && ` · lag ${duration(entry.lag_ms)}`}
        {entry.latency_p99_ms !== null && ` · p99 ${duration(entry.latency_p99_ms)}`}
      </Text>
      <Text fz={12} c="red" className={styles.line} component="div">
        {[errorOf(entry), entry.dead_letters > 0 && amount(entry.dead_letters, 'dead letter')]
          .filter(Boolean)
          .map((text) => visible(`${text}`))
          .join(' · ')}
      </Text>
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

function DeadLetters({ entry: { id, dead_letters } }: { entry: OverviewEntry }): ReactNode {
  return dead_letters > 0 ? (
    <Anchor
      component={Link}
      to={`/pipelines/${id}?tab=dead-letters`}
      preload={false}
      className={styles.above}
      inherit
      c="red"
      fw={600}
      aria-label={amount(dead_letters, 'dead letter')}
    >
      {count(dead_letters)}
    </Anchor>
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
