import { Badge, Button, Group, Stack, Table, Text, Title } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import type { TaskStatus } from '../api/client.ts';
import { bytes, count, duration } from '../parts/format.ts';
import { ErrorCode } from '../parts/meaning.tsx';
import { Empty, Since } from '../parts/parts.tsx';
import { Name, visible } from '../parts/text.tsx';

/** The tasks of a job with their counters. */

const shownAtFirst = 20;

export function Tasks({ tasks }: { tasks: readonly TaskStatus[] }): ReactNode {
  const [all, setAll] = useState(false);
  const shown = all ? tasks : tasks.slice(0, shownAtFirst);
  const state = tasks.some(({ windows }) => windows !== null);
  return (
    <Stack gap="xs" component="section" aria-label="Tasks">
      <Title order={2} size="h5">
        Tasks
      </Title>
      {tasks.length === 0 ? (
        <Empty>No task runs. Start the pipeline to see its tasks.</Empty>
      ) : (
        <Table.ScrollContainer minWidth={state ? 1150 : 900}>
          <Table fz="sm" verticalSpacing={6} withTableBorder aria-label="Tasks">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Task</Table.Th>
                <Table.Th>State</Table.Th>
                <Table.Th>Worker</Table.Th>
                <Table.Th>Operators</Table.Th>
                <Table.Th ta="right">In flight</Table.Th>
                <Table.Th ta="right">Batch</Table.Th>
                <Table.Th ta="right">Delay p50 / p95 / p99</Table.Th>
                <Table.Th ta="right">Reconnects</Table.Th>
                <Table.Th>Last error</Table.Th>
                {state && <Table.Th>Windows</Table.Th>}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {shown.map((task) => (
                <Row key={keyOf(task)} task={task} state={state} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {shown.length < tasks.length && (
        <Group>
          <Button variant="subtle" size="compact-sm" onClick={() => setAll(true)}>
            Show all {count(tasks.length)} tasks
          </Button>
        </Group>
      )}
    </Stack>
  );
}

const keyOf = ({ index, operators }: TaskStatus): string =>
  [index, ...operators.map(({ operator_id }) => operator_id)].join(' ');

function Row({ task, state }: { task: TaskStatus; state: boolean }): ReactNode {
  const { latency_ms: latency, batch_size: batch, last_error: error } = task;
  return (
    <Table.Tr>
      <Table.Td>{task.index}</Table.Td>
      <Table.Td>
        {task.state}
        <Text fz={12} c="dimmed">
          {task.connected ? 'connected' : 'not connected'}
        </Text>
      </Table.Td>
      <Table.Td>{task.worker === null ? '–' : <Name>{task.worker}</Name>}</Table.Td>
      <Table.Td>
        <Operators task={task} />
      </Table.Td>
      <Table.Td ta="right">{count(task.in_flight)} msg</Table.Td>
      <Table.Td ta="right">{batch === null ? '–' : `${count(batch)} msg`}</Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: 'nowrap' }}>
        {latency ? [latency.p50, latency.p95, latency.p99].map(duration).join(' / ') : '–'}
      </Table.Td>
      <Table.Td ta="right">{count(task.reconnects)}</Table.Td>
      <Table.Td maw={260} style={{ overflowWrap: 'anywhere' }}>
        {error ? (
          <>
            <ErrorCode code={error.code} />{' '}
            <Text span fz={12} c="dimmed">
              <Since micros={error.at} /> ago
            </Text>
            <Text fz={12} lineClamp={2} title={visible(error.message.slice(0, 2000))}>
              {visible(error.message.slice(0, 300))}
            </Text>
          </>
        ) : (
          '–'
        )}
      </Table.Td>
      {state && (
        <Table.Td>
          <Windows task={task} />
        </Table.Td>
      )}
    </Table.Tr>
  );
}

function Operators({ task: { operators, bad } }: { task: TaskStatus }): ReactNode {
  return (
    <Stack gap={2}>
      {operators.map(({ operator_id, kind, messages_in, messages_out, bytes_in, bytes_out }) => (
        <Text fz={12} key={operator_id} title={visible(operator_id)}>
          <b>{kind}</b> {count(messages_in)}
          {bytes_in !== null && ` (${bytes(bytes_in)})`} → {count(messages_out)}
          {bytes_out !== null && ` (${bytes(bytes_out)})`}
        </Text>
      ))}
      {bad > 0 && (
        <Text fz={12} c="red">
          {count(bad)} bad
        </Text>
      )}
    </Stack>
  );
}

function Windows({ task: { windows } }: { task: TaskStatus }): ReactNode {
  if (windows === null) return '–';
  const { watermark_lag_ms: lag, open, closed, late_rows, state_bytes } = windows;
  return (
    <Stack gap={2} fz={12}>
      <span>watermark {lag === null ? 'not set' : `${duration(lag)} behind`}</span>
      <span>
        {count(open)} open, {count(closed)} closed
      </span>
      <Group gap={4}>
        <span>{bytes(state_bytes)} of state</span>
        {late_rows > 0 && (
          <Badge color="gray" size="xs" tt="none">
            {count(late_rows)} late rows
          </Badge>
        )}
      </Group>
    </Stack>
  );
}
