import { Skeleton } from '@mantine/core';
import { type ComponentType, lazy, type ReactNode, Suspense } from 'react';
import { call, Unreachable } from '../api/client.ts';

const firstWaitMs = 500;
const tries = 6;

/** Loads a part again if that fails: for a quarter of a minute, and while Penstock is away, because it may be restarting. */
export async function patiently<T>(load: () => Promise<T>): Promise<T> {
  for (let nth = 1; ; nth++)
    try {
      return await load();
    } catch (error) {
      if (nth >= tries && !(await isAway())) throw error;
      const wait = firstWaitMs * 2 ** Math.min(nth - 1, tries - 2);
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
}

const isAway = (): Promise<boolean> =>
  call('ping', {}).then(
    () => false,
    (error) => error instanceof Unreachable,
  );

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
