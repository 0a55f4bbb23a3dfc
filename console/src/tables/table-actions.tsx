import { Button, Checkbox } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import type { ConnectionTablePatch, ConnectorDetail } from '../api/client.ts';
import type { Call } from '../parts/automate.tsx';
import {
  errorsOf,
  type FieldErrors,
  marksOf,
  merged,
  patchOf,
  withoutSecrets,
} from '../parts/form-values.ts';
import { failedStep, type TestRun, useTest } from '../parts/test-steps.tsx';
import { directed, type TableBody, type TableDraft } from './draft.ts';

/** The test of a table as it is edited, and its calls for scripts. */

export interface TableTest {
  run: TestRun;
  stop(): void;
  clear(): void;
  start(): void;
  /** Errors of the test, and fields that its failed step points to, while they are as they were tested. */
  errors: FieldErrors;
  /** The choice whether a test writes. */
  probe: ReactNode;
}

interface Tested {
  connector: ConnectorDetail;
  draft: TableDraft;
  body: TableBody;
  /** What is stored, with its id. */
  stored?: { id: string; body: TableBody };
}

export function useTableTest({ connector, draft, body, stored }: Tested): TableTest {
  const test = useTest();
  const [writes, setWrites] = useState(false);
  const [tested, setTested] = useState('');
  const now = JSON.stringify(body);
  const isSink = draft.direction === 'sink';
  const probe = isSink && !writes ? ('none' as const) : ('publish' as const);
  const start = (): void => {
    setTested(now);
    if (stored === undefined) {
      test.start('testConnectionTable', { body: { ...body, name: body.name || 'test', probe } });
      return;
    }
    const { labels: _, ...patch } = patchOf(stored.body, body) as ConnectionTablePatch;
    test.start('testStoredConnectionTable', { params: { id: stored.id }, body: { ...patch, probe } });
  };
  const marks = marksOf(failedStep(test.run), directed(connector, draft.direction));
  const errors =
    tested === now
      ? merged(
          errorsOf(test.run.error),
          Object.fromEntries(Object.entries(marks).map(([path, said]) => [`/config${path}`, said])),
        )
      : {};
  return {
    run: test.run,
    stop: test.stop,
    clear: test.clear,
    start,
    errors,
    probe: isSink && (
      <Checkbox
        label="The test writes a message"
        checked={writes}
        onChange={({ currentTarget }) => setWrites(currentTarget.checked)}
      />
    ),
  };
}

export const TestButton = ({ test }: { test: TableTest }): ReactNode => (
  <>
    <Button
      variant="default"
      leftSection={<IconPlayerPlay size={16} />}
      loading={test.run.state === 'running'}
      onClick={test.start}
    >
      Test
    </Button>
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
