import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function NewConnectionPage(): ReactNode {
  return <Page title="New connection">…</Page>;
}
