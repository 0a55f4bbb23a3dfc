import { memo, type ReactNode, useMemo } from 'react';
import { perSecond } from '../parts/format.ts';

const width = 80;
const height = 24;

/** A line through the values, as the path of an SVG. */
function pathOf(values: readonly number[]): string {
  const most = Math.max(1e-9, ...values);
  const step = width / Math.max(1, values.length - 1);
  return values
    .map((value, at) => {
      const y = height - 1 - (Math.max(0, value) / most) * (height - 3);
      return `${at === 0 ? 'M' : 'L'}${(at * step).toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
}

/** A small chart of the messages of the last two minutes. */
export const Sparkline = memo(function Sparkline({ rates }: { rates: readonly number[] }): ReactNode {
  const path = useMemo(() => pathOf(rates), [rates]);
  const most = Math.max(0, ...rates);
  return (
    <svg
      role="img"
      aria-label={`Last 2 minutes, at most ${perSecond(most)}`}
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      preserveAspectRatio="none"
    >
      <path d={`${path}V${height}H0Z`} fill="var(--mantine-color-anchor)" opacity={0.15} />
      <path
        d={path}
        fill="none"
        stroke={most > 0 ? 'var(--mantine-color-anchor)' : 'var(--mantine-color-dimmed)'}
        strokeWidth={1.5}
        vectorEffect="non-scaling-stroke"
      />
    </svg>
  );
});
