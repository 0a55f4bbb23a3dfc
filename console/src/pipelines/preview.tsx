import {
  Alert,
  Badge,
  Button,
  Checkbox,
  Group,
  Paper,
  SegmentedControl,
  Stack,
  Table,
  Text,
  Title,
  VisuallyHidden,
} from '@mantine/core';
import { IconEye, IconPlayerStop, IconWindow } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { call } from '../api/client.ts';
import { amount, bytes, count } from '../parts/format.ts';
import { Empty, Live, Problem, Time } from '../parts/parts.tsx';
import { LongText, Name, prettyValue, visible } from '../parts/text.tsx';
import {
  type BadMessage,
  cellText,
  columnsOf,
  isNumber,
  maxRows,
  type Seen,
  type ShownRow,
} from './preview-rows.ts';
import { type Preview, usePreview } from './use-preview.ts';

/** Rows that a query makes of live messages, before it is stored. */

interface PreviewPanelProps {
  query: string;
  /** Whether it can run as it is. */
  valid: boolean;
  /** Whether it keeps rows of open windows. */
  hasWindows: boolean;
}

export function PreviewPanel({ query, valid, hasWindows }: PreviewPanelProps): ReactNode {
  const preview = usePreview();
  const [enableSinks, setEnableSinks] = useState(false);
  const { running, starting, stream, seen } = preview;
  const [shownQuery, setShownQuery] = useState('');
  const begin = (): void => {
    setShownQuery(query);
    preview.start(query, enableSinks);
  };
  return (
    <Paper withBorder p="md" component="section" aria-label="Preview">
      <Stack gap="sm">
        <Group justify="space-between">
          <Group gap="xs">
            <Title order={2} size="h4">
              Preview
            </Title>
            {stream && <Live state={stream} />}
          </Group>
          <Group gap="xs">
            {running && hasWindows && <CloseWindows id={running.id} />}
            <StartOrStop {...{ preview, begin, valid }} />
          </Group>
        </Group>
        <Text size="sm" c="dimmed">
          Runs the query on messages that arrive now, for up to a minute. It takes nothing from pipelines.
          {hasWindows && ' Windows that began before, or are closed early, are marked as partial.'}
        </Text>
        <SinkChoice on={enableSinks} onChange={setEnableSinks} disabled={running !== undefined || starting} />
        <Problem error={preview.error} title="The preview failed" />
        {seen.error && (
          <Alert color="red" role="alert" title="The preview ended early">
            {visible(seen.error.message)} ({seen.error.code})
          </Alert>
        )}
        {stream && shownQuery !== query && (
          <Text size="sm">The query has changed since this preview began. Start another one.</Text>
        )}
        {stream && <Results seen={seen} running={running !== undefined || starting} />}
      </Stack>
    </Paper>
  );
}

function StartOrStop({
  preview,
  begin,
  valid,
}: {
  preview: Preview;
  begin(): void;
  valid: boolean;
}): ReactNode {
  const { running, starting, stop } = preview;
  return running || starting ? (
    <Button variant="default" leftSection={<IconPlayerStop size={16} />} onClick={stop} loading={starting}>
      Stop preview
    </Button>
  ) : (
    <Button variant="default" leftSection={<IconEye size={16} />} onClick={begin} disabled={!valid}>
      Preview rows
    </Button>
  );
}

interface SinkChoiceProps {
  on: boolean;
  onChange(on: boolean): void;
  disabled: boolean;
}

function SinkChoice({ on, onChange, disabled }: SinkChoiceProps): ReactNode {
  return (
    <Checkbox
      label="Also write the rows to the sinks"
      description={
        on
          ? 'The rows shown here are really written, once more than by any pipeline with this query.'
          : 'Off: nothing is written.'
      }
      checked={on}
      disabled={disabled}
      onChange={({ currentTarget }) => onChange(currentTarget.checked)}
    />
  );
}

function CloseWindows({ id }: { id: string }): ReactNode {
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => call('closePreviewWindows', { params: { id } }),
  });
  return (
    <>
      <Button
        variant="default"
        leftSection={<IconWindow size={16} />}
        loading={isPending}
        onClick={() => mutate()}
        title="Shows what is in the open windows"
      >
        Close windows now
      </Button>
      <Problem error={error} />
    </>
  );
}

function Results({ seen, running }: { seen: Seen; running: boolean }): ReactNode {
  const [operator, setOperator] = useState('');
  const chosen = seen.operators.includes(operator) ? operator : '';
  const rows = chosen === '' ? seen.rows : seen.rows.filter((row) => row.operator === chosen);
  return (
    <Stack gap="xs">
      <Totals seen={seen} />
      {seen.operators.length > 1 && (
        <SegmentedControl
          aria-label="INSERT"
          value={chosen}
          onChange={setOperator}
          data={[
            { value: '', label: 'All' },
            ...seen.operators.slice(0, 10).map((value) => ({ value, label: visible(value) })),
          ]}
        />
      )}
      {rows.length === 0 ? (
        <Empty>
          {running ? 'Waiting for rows. Do messages arrive that the query lets pass?' : 'No rows came.'}
        </Empty>
      ) : (
        <Rows rows={rows} />
      )}
      {seen.bad.length > 0 && <BadMessages bad={seen.bad} />}
    </Stack>
  );
}

function Totals({ seen }: { seen: Seen }): ReactNode {
  const { rowCount, badCount, leftOut, state } = seen;
  return (
    <Group gap="md" role="status">
      <Text size="sm">
        {amount(rowCount, 'row')}
        {rowCount > maxRows && `, the last ${maxRows} shown`}
      </Text>
      {badCount > 0 && <Text size="sm">{amount(badCount, 'bad message')}</Text>}
      {leftOut > 0 && <Text size="sm">{count(leftOut)} not shown because there were too many</Text>}
      {state && (
        <Text size="sm">
          {amount(state.open_windows, 'open window')}, {amount(state.late_rows, 'late row')},{' '}
          {bytes(state.state_bytes)} kept, watermark <Time micros={state.watermark} />
        </Text>
      )}
    </Group>
  );
}

function Rows({ rows }: { rows: readonly ShownRow[] }): ReactNode {
  const [open, setOpen] = useState<ShownRow>();
  const columns = columnsOf(rows);
  return (
    <>
      <Table.ScrollContainer minWidth={Math.min(1000, 160 + columns.length * 90)} maxHeight={420}>
        <Table
          striped
          highlightOnHover
          stickyHeader
          aria-label="Rows of the preview"
          className="preview-rows"
        >
          <Table.Thead>
            <Table.Tr>
              <Table.Th scope="col">Time</Table.Th>
              {columns.map((name) => (
                <Table.Th key={name} scope="col" ta={isNumber(rows[0]?.cells[name]) ? 'right' : undefined}>
                  <Name>{name}</Name>
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Row key={row.key} {...{ row, columns }} onOpen={() => setOpen(row)} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {open && <LongText text={prettyValue(open.cells)} label="Row" />}
    </>
  );
}

interface RowProps {
  row: ShownRow;
  columns: readonly string[];
  onOpen(): void;
}

function Row({ row, columns, onOpen }: RowProps): ReactNode {
  return (
    <Table.Tr>
      <Table.Td>
        <Group gap={6} wrap="nowrap">
          <Button variant="subtle" size="compact-xs" flex="none" onClick={onOpen}>
            <VisuallyHidden>Show the whole row of </VisuallyHidden>
            <Time micros={row.at} />
          </Button>
          {row.partial && (
            <Badge size="xs" color="orange" variant="light" flex="none">
              partial
            </Badge>
          )}
        </Group>
      </Table.Td>
      {columns.map((name) => (
        <Table.Td key={name} ta={isNumber(row.cells[name]) ? 'right' : undefined} ff="monospace" fz="xs">
          <bdi>{cellText(row.cells[name])}</bdi>
        </Table.Td>
      ))}
    </Table.Tr>
  );
}

function BadMessages({ bad }: { bad: readonly BadMessage[] }): ReactNode {
  return (
    <Alert color="orange" variant="light" title="Messages or rows that could not be processed">
      <ul className="findings">
        {bad.map(({ key, code, message, errors }) => (
          <li key={key}>
            <Text size="sm">
              {visible(code)}: {visible(message.slice(0, 1000))}{' '}
              {errors
                .slice(0, 5)
                .map((one) => `${visible(one.path)} ${visible(one.message)}`)
                .join('; ')}
            </Text>
          </li>
        ))}
      </ul>
    </Alert>
  );
}
