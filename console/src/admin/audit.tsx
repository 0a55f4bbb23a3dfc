import type { ReactNode } from 'react';
import { Page } from '../parts/parts.tsx';

export function AuditPage(): ReactNode {
  return <Page title="Audit log">…</Page>;
}
