import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function AboutPage(): ReactNode {
  return <Page title="About">…</Page>;
}
