import {
  Accordion,
  Alert,
  Badge,
  Code,
  Grid,
  Group,
  List,
  Loader,
  Stack,
  Text,
  Title,
  Tooltip,
} from '@mantine/core';
import { IconAlertCircle } from '@tabler/icons-react';
import type { UseQueryResult } from '@tanstack/react-query';
import { type ReactNode, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Refused, Unreachable } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import type { StreamState } from '../api/stream.ts';
import { duration, localTime, utcTime } from './format.ts';
import { Name, visible } from './text.tsx';

/** Small pieces that every page uses. */

/** Title of a page, with its actions at the right. The tab of the browser has the same title. */
export function Page({ title, actions, children }: PageProps): ReactNode {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // biome-ignore lint/performance/useDomNodeTextContent: it keeps the name and its badge apart
    document.title = `${heading.current?.innerText.trim()} · Penstock`;
  });
  return (
    <Stack gap="md">
      <Group justify="space-between" align="flex-start">
        <Title order={1} size="h2" ref={heading}>
          {title}
        </Title>
        <Group gap="xs">{actions}</Group>
      </Group>
      {children}
    </Stack>
  );
}
interface PageProps {
  title: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
}

/** A part of a form that can be folded. */
export function Fold({ title, open: first, wrong, children }: FoldProps): ReactNode {
  const [open, setOpen] = useState(first);
  return (
    <Accordion
      variant="contained"
      value={open || wrong ? 'open' : null}
      onChange={(next) => setOpen(next !== null)}
    >
      <Accordion.Item value="open">
        <Accordion.Control>
          <Text size="sm" fw={500} component="span">
            {title}
          </Text>
        </Accordion.Control>
        <Accordion.Panel>{children}</Accordion.Panel>
      </Accordion.Item>
    </Accordion>
  );
}
interface FoldProps {
  title: string;
  /** Whether it is open at first. */
  open: boolean;
  /** Whether a field in it has an error: then it is open. */
  wrong: boolean;
  children: ReactNode;
}

/** A form with something beside it that stays in view: below it on small screens. */
export function Beside({ children, aside }: { children: ReactNode; aside: ReactNode }): ReactNode {
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, lg: 8 }}>
        <Stack>{children}</Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 4 }}>
        <Stack pos="sticky" top={68} p={2} mah={{ lg: 'calc(100vh - 84px)' }} style={{ overflow: 'auto' }}>
          {aside}
        </Stack>
      </Grid.Col>
    </Grid>
  );
}

/** A local time, with UTC on hover. `micros` are Unix microseconds. */
export function Time({ micros }: { micros: number | null }): ReactNode {
  if (micros === null) return <span>–</span>;
  return (
    <time
      dateTime={new Date(micros / 1000).toISOString()}
      title={utcTime(micros)}
      style={{ whiteSpace: 'nowrap' }}
    >
      {localTime(micros)}
    </time>
  );
}

const ticks = new Set<() => void>();
let now = Date.now();
let ticker: ReturnType<typeof setInterval> | undefined;
const subscribe = (told: () => void): (() => void) => {
  ticks.add(told);
  ticker ??= setInterval(() => {
    now = Date.now();
    for (const each of ticks) each();
  }, 1000);
  return () => {
    ticks.delete(told);
    if (ticks.size > 0) return;
    clearInterval(ticker);
    ticker = undefined;
  };
};

/** The time since then, which goes on; the time itself on hover. */
export function Since({ micros }: { micros: number }): ReactNode {
  useSyncExternalStore(subscribe, () => now);
  return (
    <time
      dateTime={new Date(micros / 1000).toISOString()}
      title={`${localTime(micros)} · ${utcTime(micros)}`}
    >
      {duration(Math.max(0, (nowMicros() - micros) / 1000))}
    </time>
  );
}

/** An error of a request: what is wrong, and what to do about it. */
export function Problem({ error, title }: { error: unknown; title?: string }): ReactNode {
  if (error === null || error === undefined) return null;
  const problem = error instanceof Refused ? error.problem : undefined;
  const heading = title ?? problem?.title ?? (error instanceof Unreachable ? 'No connection' : 'Error');
  return (
    <Alert color="red" icon={<IconAlertCircle />} title={heading} role="alert" variant="light">
      <Stack gap={4}>
        <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
          {visible(problem?.detail ?? (error as Error).message ?? String(error))}
        </Text>
        {problem?.hint && <Text size="sm">{visible(problem.hint)}</Text>}
        {(problem?.errors.length ?? 0) > 0 && (
          <List size="sm">
            {problem?.errors.map(({ path, message }) => (
              <List.Item key={`${path} ${message}`}>
                {path && <Code>{visible(path)}</Code>} {visible(message)}
              </List.Item>
            ))}
          </List>
        )}
        {problem && (
          <Text size="xs" c="dimmed">
            {problem.code} · request {problem.instance}
          </Text>
        )}
      </Stack>
    </Alert>
  );
}

/** Shows the data of a query, its error, or that it loads. Old data stays while a later request fails. */
export function Loaded<T>({ query, children }: LoadedProps<T>): ReactNode {
  if (query.data === undefined)
    return query.error ? <Problem error={query.error} /> : <Loader aria-label="Loading" />;
  return (
    <>
      {query.error && <Problem error={query.error} />}
      {children(query.data)}
    </>
  );
}
interface LoadedProps<T> {
  query: Pick<UseQueryResult<T>, 'data' | 'error'>;
  children(data: T): ReactNode;
}

/** States of jobs, by how much they ask for attention. */
export const stateColors: Record<string, string> = {
  Running: 'teal',
  Created: 'blue',
  Scheduling: 'blue',
  Compiling: 'blue',
  Recovering: 'orange',
  Restarting: 'blue',
  Stopping: 'yellow',
  CheckpointStopping: 'yellow',
  Stopped: 'gray',
  Finished: 'gray',
  Finishing: 'gray',
  Failed: 'red',
  Failing: 'red',
};

/** A color for small text, with enough contrast (WCAG 1.4.3): see the theme. */
export const readable = (color: string): string => `var(--mantine-color-${color}-light-color)`;

export function JobState({ state }: { state: string }): ReactNode {
  return (
    <Badge color={stateColors[state] ?? 'gray'} variant="light">
      {state}
    </Badge>
  );
}

/** Whether what is shown is live. */
export function Live({ state }: { state: StreamState }): ReactNode {
  const [color, text, help] = {
    connecting: ['gray', 'Connecting', 'The stream opens'],
    live: ['teal', 'Live', 'Changes appear as they happen'],
    lost: ['orange', 'Reconnecting', 'The stream was lost; values are those from before'],
    ended: ['gray', 'Ended', 'The stream has ended'],
    refused: ['red', 'Refused', 'The API refuses the stream'],
  }[state] as [string, string, string];
  return (
    <Tooltip label={help}>
      <Badge color={color} variant="dot" role="status">
        {text}
      </Badge>
    </Tooltip>
  );
}

export function Labels({ labels }: { labels: Record<string, string> }): ReactNode {
  return (
    <Group gap={4}>
      {Object.entries(labels).map(([name, value]) => (
        <Badge key={name} variant="default" tt="none" fw={500}>
          <Name>{`${name}=${value}`}</Name>
        </Badge>
      ))}
    </Group>
  );
}

/** A text in place of an empty list, with what to do next. */
export function Empty({ children }: { children: ReactNode }): ReactNode {
  return (
    <Text c="dimmed" py="xl" ta="center">
      {children}
    </Text>
  );
}
