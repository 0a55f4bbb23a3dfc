import { Checkbox } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import type { ConnectionTablePatch, ConnectorDetail } from '../api/client.ts';
import type { Call } from '../parts/automate.tsx';
import { patchOf, withoutSecrets } from '../parts/form-values.ts';
import { type Test, TestButton, useTest } from '../parts/test-steps.tsx';
import { directed, type TableBody, type TableDraft } from './draft.ts';

/** The test of a table as it is edited, and its calls for scripts. */

export interface TableTest extends Omit<Test, 'start'> {
  start(): void;
  /** The choice whether a test writes. */
  probe: ReactNode;
}

interface Tested {
  connector: ConnectorDetail;
  draft: TableDraft;
  body: TableBody;
  /** The stored table. */
  stored?: { id: string; body: TableBody };
}

export function useTableTest({ connector, draft, body, stored }: Tested): TableTest {
  const test = useTest(directed(connector, draft.direction), body);
  const [writes, setWrites] = useState(false);
  const isSink = draft.direction === 'sink';
  const probe = isSink && !writes ? ('none' as const) : ('publish' as const);
  const start = (): void => {
    if (stored === undefined) {
      test.start('testConnectionTable', { body: { ...body, name: body.name || 'test', probe } });
      return;
    }
    const { labels: _, ...patch } = patchOf(stored.body, body) as ConnectionTablePatch;
    test.start('testStoredConnectionTable', { params: { id: stored.id }, body: { ...patch, probe } });
  };
  return {
    ...test,
    start,
    probe: isSink && (
      <Checkbox
        label="The test writes a message"
        checked={writes}
        onChange={({ currentTarget }) => setWrites(currentTarget.checked)}
      />
    ),
  };
}

export const TestTable = ({ test }: { test: TableTest }): ReactNode => (
  <>
    <TestButton test={test} onStart={test.start} />
    {test.probe}
  </>
);

export function shownBody(connector: ConnectorDetail, draft: TableDraft, body: TableBody): TableBody {
  return { ...body, config: withoutSecrets(directed(connector, draft.direction), body.config) };
}

export function newCalls(body: TableBody): Call[] {
  const path = '/api/v1/connection_tables';
  return [
    { title: 'Test it', method: 'POST', path: `${path}/test`, body, stream: true },
    { title: 'Create it', method: 'POST', path, body },
  ];
}

export function storedCalls(id: string, body: TableBody, isSource: boolean): Call[] {
  const path = `/api/v1/connection_tables/${id}`;
  return [
    { title: 'Get it', method: 'GET', path },
    { title: 'Test it', method: 'POST', path: `${path}/test`, stream: true },
    ...(isSource
      ? [{ title: 'Follow its messages', method: 'GET', path: `${path}/tail`, stream: true }]
      : []),
    { title: 'See what a change affects', method: 'PUT', path: `${path}?dry_run=true`, body },
    { title: 'Change it', method: 'PUT', path, body },
    { title: 'List what uses it', method: 'GET', path: `${path}/dependents` },
    { title: 'Delete it', method: 'DELETE', path },
  ];
}
