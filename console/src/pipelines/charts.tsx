import 'uplot/dist/uPlot.min.css';
import { Group, Paper, Text, Title, useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { type ReactNode, type RefObject, useEffect, useId, useMemo, useRef, useState } from 'react';
import uPlot from 'uplot';
import { clockTime } from '../parts/format.ts';
import { Name } from '../parts/text.tsx';

/** Charts over time. Load this file lazily. */

export interface ChartLine {
  label: string;
  values: readonly (number | null)[];
}

export interface ChartProps {
  title: string;
  /** Shows a value with its unit. */
  format(value: number): string;
  /** The vertical axis reaches at least up to this value. */
  least?: number;
  /** Unix seconds. */
  times: readonly number[];
  lines: readonly ChartLine[];
  /** Unix seconds: both ends of the time axis. */
  from: number;
  to: number;
}

const colors = {
  light: ['#0b7285', '#d9480f', '#5f3dc4', '#2b8a3e', '#c2255c', '#1864ab', '#846358', '#495057'],
  dark: ['#3bc9db', '#ffa94d', '#b197fc', '#69db7c', '#f783ac', '#74c0fc', '#d9b8a8', '#ced4da'],
};
const dashes = [[], [6, 3], [2, 2], [9, 3, 2, 3]];
const height = 150;

/** Lines differ in their color, and in their dashes for those who do not see it. */
const lookOf = (at: number, dark: boolean): { stroke: string; dash: number[] } => {
  const palette = dark ? colors.dark : colors.light;
  return { stroke: palette[at % palette.length] as string, dash: dashes[at % dashes.length] as number[] };
};

const sync = uPlot.sync('pipeline');

interface Look {
  dark: boolean;
  format(value: number): string;
  lines: number;
  least: number;
  onCursor(index: number | null): void;
}

function optionsOf({ dark, format, lines, least, onCursor }: Look): Omit<uPlot.Options, 'width'> {
  const axis = {
    stroke: dark ? '#c9c9c9' : '#495057',
    grid: { stroke: dark ? '#3b3b3b' : '#e9ecef', width: 1 },
    ticks: { show: false },
    font: '11px system-ui, sans-serif',
  };
  return {
    height,
    legend: { show: false },
    padding: [8, 8, 0, 0],
    cursor: { y: false, drag: { x: false, y: false }, sync: { key: sync.key } },
    scales: { y: { range: (_, _min, max) => [0, Math.max(max * 1.1, least)] } },
    axes: [
      {
        ...axis,
        size: 22,
        space: 70,
        values: (_, splits) => splits.map((at) => clockTime(at * 1_000_000).replace(/:00(?= |$)/, '')),
      },
      { ...axis, size: 76, space: 30, values: (_, splits) => splits.map(format) },
    ],
    series: [
      {},
      ...Array.from({ length: lines }, (_, at) => ({
        ...lookOf(at, dark),
        width: 1.5,
        points: { show: false },
      })),
    ],
    hooks: { setCursor: [({ cursor: { idx } }) => onCursor(idx ?? null)] },
  };
}

/** Draws into `host`; makes a new plot only when its size or looks change. */
function usePlot(host: RefObject<HTMLDivElement | null>, width: number, look: Look, shown: Shown): void {
  const plot = useRef<uPlot>(null);
  const latest = useRef(shown);
  latest.current = shown;
  const { dark, format, least, lines, onCursor } = look;
  useEffect(() => {
    if (width === 0) return;
    const options = { ...optionsOf({ dark, format, least, lines, onCursor }), width };
    const made = new uPlot(options, latest.current.data, host.current as HTMLDivElement);
    made.setScale('x', { min: latest.current.from, max: latest.current.to });
    plot.current = made;
    return () => {
      plot.current = null;
      made.destroy();
    };
  }, [host, width, dark, format, least, lines, onCursor]);
  const { data, from, to } = shown;
  useEffect(() => {
    const made = plot.current;
    if (made === null || data.length !== made.series.length) return;
    made.batch(() => {
      made.setData(data, false);
      made.setScale('x', { min: from, max: to });
    });
  }, [data, from, to]);
}

interface Shown {
  data: uPlot.AlignedData;
  from: number;
  to: number;
}

export function Chart({ title, format, times, lines, from, to, least = 1 }: ChartProps): ReactNode {
  const dark = useComputedColorScheme('light') === 'dark';
  const host = useRef<HTMLDivElement>(null);
  const { ref, width } = useElementSize();
  const [cursor, setCursor] = useState<number | null>(null);
  const id = useId();
  const data = useMemo(
    () => [times, ...lines.map(({ values }) => values)] as uPlot.AlignedData,
    [times, lines],
  );
  const look = { dark, format, least, lines: lines.length, onCursor: setCursor };
  usePlot(host, width, look, { data, from, to });
  return (
    <Paper withBorder p="sm" component="section" aria-labelledby={id}>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        <Title order={3} size="h6" id={id}>
          {title}
        </Title>
        <Text fz={12} c="dimmed" component="span">
          {cursor === null ? 'now' : clockTime((times[cursor] ?? 0) * 1_000_000)}
        </Text>
      </Group>
      <Legend lines={lines} cursor={cursor} format={format} dark={dark} />
      <div ref={ref} style={{ height, overflow: 'hidden' }}>
        <div ref={host} aria-hidden />
      </div>
    </Paper>
  );
}

interface LegendProps {
  lines: readonly ChartLine[];
  /** The step under the pointer; the newest if null. */
  cursor: number | null;
  format(value: number): string;
  dark: boolean;
}

function Legend({ lines, cursor, format, dark }: LegendProps): ReactNode {
  return (
    <Group gap="sm" mih={20} role="list">
      {lines.map(({ label, values }, at) => {
        const value = cursor === null ? (values.at(-1) ?? values.at(-2) ?? values.at(-3)) : values[cursor];
        const { stroke, dash } = lookOf(at, dark);
        return (
          <Group key={label} gap={4} role="listitem" wrap="nowrap">
            <svg width={18} height={4} aria-hidden>
              <line
                x1={0}
                x2={18}
                y1={2}
                y2={2}
                stroke={stroke}
                strokeWidth={2}
                strokeDasharray={dash.join(' ')}
              />
            </svg>
            <Text fz={12} component="span">
              <Name>{label}</Name>{' '}
              <b style={{ fontVariantNumeric: 'tabular-nums' }}>
                {value === null || value === undefined ? '–' : format(value)}
              </b>
            </Text>
          </Group>
        );
      })}
    </Group>
  );
}
