import { Skeleton } from '@mantine/core';
import { type ComponentType, lazy, type ReactNode, Suspense } from 'react';

const firstWaitMs = 500;
const tries = 6;

/** Loads a part again if that fails, for a quarter of a minute: Penstock may be restarting. */
export async function patiently<T>(load: () => Promise<T>): Promise<T> {
  for (let nth = 1; ; nth++)
    try {
      return await load();
    } catch (error) {
      if (nth === tries) throw error;
      await new Promise((resolve) => setTimeout(resolve, firstWaitMs * 2 ** (nth - 1)));
    }
}

/** Makes a component that loads on first use, with a place kept for it. */
export function later<P extends object>(
  load: () => Promise<ComponentType<P>>,
  height = 160,
): ComponentType<P> {
  const Loaded = lazy(async () => ({ default: await patiently(load) }));
  return (props: P): ReactNode => (
    <Suspense fallback={<Skeleton height={height} />}>
      <Loaded {...props} />
    </Suspense>
  );
}

export const Editor = later(async () => (await import('./editor.tsx')).Editor);
export const Diff = later(async () => (await import('./editor.tsx')).Diff);
export const SchemaForm = later(async () => (await import('./schema-form.tsx')).SchemaForm, 320);
