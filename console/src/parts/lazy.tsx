import { Skeleton } from '@mantine/core';
import { type ComponentType, lazy, type ReactNode, Suspense } from 'react';

/** Makes a component that loads on first use, with a place kept for it. */
export function later<P extends object>(
  load: () => Promise<ComponentType<P>>,
  height = 160,
): ComponentType<P> {
  const Loaded = lazy(async () => ({ default: await load() }));
  return (props: P): ReactNode => (
    <Suspense fallback={<Skeleton height={height} />}>
      <Loaded {...props} />
    </Suspense>
  );
}

export const Editor = later(async () => (await import('./editor.tsx')).Editor);
export const Diff = later(async () => (await import('./editor.tsx')).Diff);
