import { Group, SegmentedControl, SimpleGrid, Stack, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useMemo, useState } from 'react';
import { call, type Job } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { bytes, clockTime, count, duration, perSecond } from '../parts/format.ts';
import { later } from '../parts/lazy.tsx';
import { Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import type { ChartLine, ChartProps } from './charts.tsx';
import { type Lines, type LiveSteps, linesOf, type Metric, type Split } from './series.ts';

/** The last hour of a pipeline: charts, or the same as tables. */

const Chart = later<ChartProps>(async () => (await import('./charts.tsx')).Chart, 230);

interface Definition {
  title: string;
  format(value: number): string;
  lines: readonly (readonly [Metric, string])[];
  /** The axis reaches at least up to this value. */
  least?: number;
  /** Only shown for jobs with a state. */
  state?: boolean;
}

const inMessages = (value: number): string => perSecond(value);
const inRows = (value: number): string => perSecond(value, 'rows');
const inBytes = (value: number): string => `${bytes(value)}/s`;
const ofMessages = (value: number): string => `${count(value)} msg`;
const perMinute = (value: number): string => `${count(value * 60)} /min`;

const definitions: readonly Definition[] = [
  {
    ...{ title: 'Messages', format: inMessages },
    lines: [
      ['messages_in', 'in'],
      ['messages_out', 'out'],
    ],
  },
  {
    ...{ title: 'Delay', format: duration },
    lines: [
      ['latency_p50_ms', 'p50'],
      ['latency_p95_ms', 'p95'],
      ['latency_p99_ms', 'p99'],
    ],
  },
  {
    ...{ title: 'Rows', format: inRows },
    lines: [
      ['rows_in', 'decoded'],
      ['rows_out', 'from the query'],
    ],
  },
  {
    ...{ title: 'Payload', format: inBytes },
    lines: [
      ['bytes_in', 'in'],
      ['bytes_out', 'out'],
    ],
  },
  { title: 'In flight', format: ofMessages, lines: [['in_flight', 'not acknowledged']], least: 5 },
  {
    ...{ title: 'Trouble', format: perMinute },
    lines: [
      ['reconnects', 'reconnects'],
      ['bad', 'bad messages and rows'],
    ],
  },
  { title: 'Watermark', format: duration, lines: [['watermark_lag_ms', 'behind the clock']], state: true },
  { title: 'State', format: bytes, lines: [['state_bytes', 'size']], state: true },
];

/** With several tasks or workers each metric has a chart of its own. */
const split: readonly Definition[] = definitions.flatMap((one) =>
  one.lines
    .filter(([metric]) => !['latency_p50_ms', 'latency_p95_ms', 'rows_in'].includes(metric))
    .map((line) => ({ ...one, title: `${one.title}, ${line[1]}`, lines: [line] })),
);

interface Shown {
  title: string;
  least: number;
  format(value: number): string;
  lines: ChartLine[];
}

function shownOf({ groups }: Lines, by: Split): Shown[] {
  const list = by === 'totals' ? definitions : split;
  return list.flatMap(({ title, format, lines, state, least = 1 }) => {
    const drawn = groups.flatMap(({ label, values }) =>
      lines.map(([metric, name]) => ({ label: by === 'totals' ? name : label, values: values[metric] })),
    );
    if (state && !drawn.some(({ values }) => values.some((value) => value !== null))) return [];
    return [{ title, format, least, lines: drawn }];
  });
}

const splits = [
  { value: 'totals', label: 'Totals' },
  { value: 'task', label: 'Per task' },
  { value: 'worker', label: 'Per worker' },
];
const forms = [
  { value: 'charts', label: 'Charts' },
  { value: 'tables', label: 'Tables' },
];
const ranges = [
  { value: '600', label: '10 min' },
  { value: '3600', label: '1 hour' },
];

interface ThroughputProps {
  pipelineId: string;
  job: Job;
  live: LiveSteps;
  /** Changes with every event that adds to `live`. */
  version: number;
}

export function Throughput({ pipelineId, job, live, version }: ThroughputProps): ReactNode {
  const [by, setBy] = useState<Split>('totals');
  const [range, setRange] = useState(() => (nowMicros() - job.created_at < 600_000_000 ? '600' : '3600'));
  const [form, setForm] = useState('charts');
  const query = useQuery({
    queryKey: ['series', pipelineId, job.id],
    queryFn: () => call('getJobSeries', { params: { id: pipelineId, job_id: job.id } }),
    refetchInterval: 60_000,
    // Keeps no hours of pipelines that are no longer shown.
    gcTime: 60_000,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: `version` says that `live` has changed
  const lines = useMemo(() => linesOf(query.data, live, by), [query.data, live, by, version]);
  const shown = useMemo(() => shownOf(lines, by), [lines, by]);
  const to = Math.max(nowMicros() / 1_000_000, lines.times.at(-1) ?? 0);
  const from = to - Number(range);
  return (
    <Stack gap="sm" component="section" aria-label="Throughput">
      <Group gap="sm">
        <Choice label="Split" value={by} onChange={(value) => setBy(value as Split)} data={splits} />
        <Choice label="Time" value={range} onChange={setRange} data={ranges} />
        <Choice label="Form" value={form} onChange={setForm} data={forms} />
        {lines.groups.length < lines.all && (
          <Text size="sm" c="dimmed">
            The busiest {lines.groups.length} of {count(lines.all)}
          </Text>
        )}
      </Group>
      {query.error && <Problem error={query.error} />}
      {form === 'charts' ? (
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="sm">
          {shown.map((one) => (
            <Chart key={one.title} {...one} times={lines.times} from={from} to={to} />
          ))}
        </SimpleGrid>
      ) : (
        shown.map((one) => <Steps key={one.title} {...one} times={lines.times} from={from} />)
      )}
      <Text size="xs" c="dimmed">
        Averages of 10 seconds. Delay is the time from the arrival of a message to the confirmation by the
        sink.
      </Text>
    </Stack>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onChange(value: string): void;
  data: { value: string; label: string }[];
}

const Choice = ({ label, ...props }: ChoiceProps): ReactNode => (
  <SegmentedControl size="xs" aria-label={label} {...props} />
);

/** One row a minute: the newest step of each. */
function Steps({ title, format, lines, times, from }: Shown & { times: number[]; from: number }): ReactNode {
  const rows = times
    .map((time, at) => ({ time, at }))
    .filter(({ time, at }) => time >= from && (times.length - 1 - at) % 6 === 0)
    .reverse();
  return (
    <Table.ScrollContainer minWidth={320}>
      <Table striped withTableBorder fz="sm" captionSide="top">
        <Table.Caption ta="left" fw={600}>
          {title}, every minute
        </Table.Caption>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Until</Table.Th>
            {lines.map(({ label }) => (
              <Table.Th key={label} ta="right">
                <Name>{label}</Name>
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map(({ time, at }) => (
            <Table.Tr key={time}>
              <Table.Td>{clockTime(time * 1_000_000)}</Table.Td>
              {lines.map(({ label, values }) => (
                <Table.Td key={label} ta="right">
                  {typeof values[at] === 'number' ? format(values[at]) : '–'}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
