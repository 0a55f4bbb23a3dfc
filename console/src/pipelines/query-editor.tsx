import { Alert, Anchor, Grid, Group, Loader, Paper, Stack, Text, VisuallyHidden } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconAlertTriangle, IconCircleCheck, IconCircleX } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, type RefObject, useMemo, useRef } from 'react';
import { type ConnectionTable, call, type PipelineGraph, Refused } from '../api/client.ts';
import { amount } from '../parts/format.ts';
import { later } from '../parts/lazy.tsx';
import { Problem } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';
import type { EditorHandle, Finding, SqlEditorProps } from './sql-editor.tsx';
import type { Vocabulary } from './sql-language.ts';

/** A query with what is wrong in it and its plan. */

const SqlEditor = later<SqlEditorProps>(async () => (await import('./sql-editor.tsx')).SqlEditor, 256);
const Graph = later<{ graph: PipelineGraph }>(async () => (await import('./graph.tsx')).Graph, 220);

const checkAfterMs = 350;
const none: readonly Finding[] = [];

export interface QueryCheck {
  graph: PipelineGraph | null;
  errors: readonly Finding[];
  warnings: readonly Finding[];
  /** Whether the result is that of the text as it is now. */
  current: boolean;
  /** Why it could not be checked. */
  failure: unknown;
}

/** Checks a query while it is written. A check that is out of date is cancelled. `enabled` false checks nothing. */
export function useQueryCheck(query: string, enabled = true): QueryCheck {
  const [settled] = useDebouncedValue(query, checkAfterMs);
  const asks = enabled && settled.trim() !== '';
  const { data, error, isPlaceholderData, isFetching } = useQuery({
    queryKey: ['validate_query', settled],
    queryFn: ({ signal }) => call('validateQuery', { body: { query: settled }, signal }),
    enabled: asks,
    placeholderData: keepPreviousData,
    refetchInterval: false,
    staleTime: 10_000,
    gcTime: 60_000,
  });
  const known = asks ? data : undefined;
  return {
    graph: known?.graph ?? null,
    errors: known?.errors ?? none,
    warnings: known?.warnings ?? none,
    current: settled === query && !isPlaceholderData && !isFetching,
    failure: asks ? error : null,
  };
}

const maxTables = 1000;

async function allTables(signal: AbortSignal): Promise<ConnectionTable[]> {
  const tables: ConnectionTable[] = [];
  for (let more = true; more && tables.length < maxTables; ) {
    const last = tables.at(-1)?.id;
    const query = { limit: 200, ...(last !== undefined && { starting_after: last }) };
    const page = await call('listConnectionTables', { query, signal });
    tables.push(...page.data);
    more = page.hasMore && page.data.length > 0;
  }
  return tables;
}

async function metadataOf(
  connectors: readonly string[],
  signal: AbortSignal,
): Promise<Vocabulary['metadata']> {
  const details = await Promise.all(connectors.map((id) => call('getConnector', { params: { id }, signal })));
  return [
    ...new Map(details.flatMap((one) => one.metadata_columns).map((each) => [each.name, each])).values(),
  ];
}

const rarely = { refetchInterval: false, staleTime: 300_000 } as const;

/** Names that a query can use. Empty until they are loaded: completion is a help, not a need. */
function useVocabulary(): { vocabulary: Vocabulary; noTables: boolean } {
  const tables = useQuery({
    queryKey: ['connection_tables', { all: true }],
    queryFn: ({ signal }) => allTables(signal),
    refetchInterval: 60_000,
  });
  const functions = useQuery({
    ...rarely,
    queryKey: ['functions'],
    queryFn: async ({ signal }) => (await call('listFunctions', { signal })).data,
  });
  const connectors = useMemo(
    () => [...new Set(['mqtt', ...(tables.data ?? []).map(({ connector }) => connector)])].sort(),
    [tables.data],
  );
  const metadata = useQuery({
    ...rarely,
    queryKey: ['metadata', connectors],
    queryFn: ({ signal }) => metadataOf(connectors, signal),
    placeholderData: keepPreviousData,
  });
  const vocabulary = useMemo(
    () => ({ tables: tables.data ?? [], functions: functions.data ?? [], metadata: metadata.data ?? [] }),
    [tables.data, functions.data, metadata.data],
  );
  return { vocabulary, noTables: tables.data?.length === 0 };
}

interface QueryEditorProps {
  value: string;
  onChange(value: string): void;
  check: QueryCheck;
  readOnly?: boolean;
  /** Cannot be edited for a moment: all else stays. */
  locked?: boolean;
  /** Shown instead of the plan of the text, for those who may not check one. */
  graph?: PipelineGraph;
}

export function QueryEditor({
  value,
  onChange,
  check,
  readOnly = false,
  locked = false,
  graph,
}: QueryEditorProps): ReactNode {
  const { vocabulary, noTables } = useVocabulary();
  const handle = useRef<EditorHandle>(null);
  const shown = check.graph ?? graph;
  return (
    <Grid gap="md">
      <Grid.Col span={{ base: 12, lg: 7 }}>
        <Stack gap="xs">
          {noTables && !readOnly && <NoTables />}
          <SqlEditor
            {...{ value, vocabulary, handle, onChange: readOnly ? undefined : onChange }}
            readOnly={readOnly || locked}
            errors={check.errors}
            warnings={check.warnings}
          />
          {!readOnly && <Findings check={check} empty={value.trim() === ''} handle={handle} />}
        </Stack>
      </Grid.Col>
      <Grid.Col span={{ base: 12, lg: 5 }}>
        {shown ? (
          <Graph graph={shown} />
        ) : (
          <Paper withBorder p="md" mih={256}>
            <Text size="sm" c="dimmed">
              The graph of the plan appears when the query is valid.
            </Text>
          </Paper>
        )}
      </Grid.Col>
    </Grid>
  );
}

const NoTables = (): ReactNode => (
  <Alert color="blue" variant="light" title="There is no table yet">
    A query reads source tables and writes to sink tables.{' '}
    <Anchor component={Link} to="/tables/new" size="sm">
      Create a table
    </Anchor>
  </Alert>
);

const maxListed = 50;

interface FindingsProps {
  check: QueryCheck;
  empty: boolean;
  handle: RefObject<EditorHandle | null>;
}

/** The same diagnostics as a list, for the keyboard and for screen readers. */
function Findings({ check, empty, handle }: FindingsProps): ReactNode {
  const { errors, warnings, current, failure } = check;
  const all = [
    ...errors.map((finding) => ({ finding, isError: true })),
    ...warnings.map((finding) => ({ finding, isError: false })),
  ];
  return (
    <Stack gap={4}>
      <Group gap={6} role="status" mih={22}>
        <Summary
          {...{ errors: errors.length, warnings: warnings.length, current, empty }}
          failed={failure !== null}
        />
      </Group>
      {failure !== null && (failure instanceof Refused || current) && <Problem error={failure} />}
      {all.length > 0 && (
        <ul className="findings" aria-label="Findings in the query">
          {all.slice(0, maxListed).map(({ finding, isError }, nth) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: two findings may be alike
            <li key={nth}>
              <OneFinding {...{ finding, isError }} onGo={() => handle.current?.goTo(finding)} />
            </li>
          ))}
          {all.length > maxListed && <li>and {all.length - maxListed} more</li>}
        </ul>
      )}
    </Stack>
  );
}

function OneFinding({
  finding,
  isError,
  onGo,
}: {
  finding: Finding;
  isError: boolean;
  onGo(): void;
}): ReactNode {
  const { message, span } = finding;
  const Icon = isError ? IconCircleX : IconAlertTriangle;
  return (
    <Group gap={6} wrap="nowrap" align="flex-start">
      <Icon size={16} aria-hidden className={isError ? 'error-icon' : 'warning-icon'} />
      <Text size="sm">
        <VisuallyHidden>{isError ? 'Error: ' : 'Warning: '}</VisuallyHidden>
        <Anchor component="button" type="button" size="sm" onClick={onGo}>
          {span ? `Line ${span.start.line}, column ${span.start.column}` : 'Whole query'}
        </Anchor>{' '}
        {visible(message)}
      </Text>
    </Group>
  );
}

interface SummaryProps {
  errors: number;
  warnings: number;
  current: boolean;
  empty: boolean;
  failed: boolean;
}

function Summary({ errors, warnings, current, empty, failed }: SummaryProps): ReactNode {
  if (empty) return <Text size="sm">Write a query. Completion opens as you type, or with Ctrl+Space.</Text>;
  if (!current)
    return (
      <>
        <Loader size={14} aria-hidden /> <Text size="sm">Checking</Text>
      </>
    );
  if (failed) return <Text size="sm">The query could not be checked.</Text>;
  const text = [errors > 0 && amount(errors, 'error'), warnings > 0 && amount(warnings, 'warning')];
  const found = text.filter(Boolean).join(', ');
  return (
    <>
      {errors === 0 && <IconCircleCheck size={16} aria-hidden className="ok-icon" />}
      <Text size="sm">{errors === 0 ? ['The query is valid', found].filter(Boolean).join(', ') : found}</Text>
    </>
  );
}
