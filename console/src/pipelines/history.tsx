import { Group, SegmentedControl, Stack, Table, Text } from '@mantine/core';
import { useInfiniteQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { call, type JobLogMessage, type Pipeline } from '../api/client.ts';
import { NextPage, Unfold } from '../parts/buttons.tsx';
import { ErrorCode } from '../parts/meaning.tsx';
import { Empty, Loaded, readable, Time } from '../parts/parts.tsx';
import { LongText, pretty, visible } from '../parts/text.tsx';
import { useJob } from './job.ts';

/** Everything that a job has reported, newest first. */

const levels = [
  { value: 'info', label: 'All' },
  { value: 'warn', label: 'Warnings and errors' },
  { value: 'error', label: 'Errors' },
];
type Level = JobLogMessage['level'];
const perPage = 50;

export function HistoryTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  return <Loaded query={useJob(pipeline)}>{(job) => <History id={pipeline.id} jobId={job.id} />}</Loaded>;
}

function History({ id, jobId }: { id: string; jobId: string }): ReactNode {
  const [level, setLevel] = useState<Level>('info');
  const query = useInfiniteQuery({
    queryKey: ['job-history', id, jobId, 'pages', level],
    queryFn: ({ pageParam }) =>
      call('listJobErrors', {
        params: { id, job_id: jobId },
        query: { level, limit: perPage, ...(pageParam !== undefined && { starting_after: pageParam }) },
      }),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: ({ data, hasMore }) => (hasMore ? data.at(-1)?.id : undefined),
    // A page that was opened for old messages does not ask for all of them again.
    refetchInterval: ({ state }) => (state.data && state.data.pages.length > 1 ? false : 10_000),
  });
  return (
    <Stack gap="sm">
      <Group>
        <SegmentedControl
          size="xs"
          aria-label="Level"
          value={level}
          onChange={(value) => setLevel(value as Level)}
          data={levels}
        />
      </Group>
      <Loaded query={query}>
        {({ pages }) => {
          const messages = pages.flatMap(({ data }) => data);
          if (messages.length === 0) return <Empty>Nothing was reported.</Empty>;
          return <Messages messages={messages} />;
        }}
      </Loaded>
      <NextPage query={query}>Show older</NextPage>
    </Stack>
  );
}

function Messages({ messages }: { messages: readonly JobLogMessage[] }): ReactNode {
  return (
    <Table.ScrollContainer minWidth={640}>
      <Table fz="sm" verticalSpacing={6} withTableBorder aria-label="History">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={44} aria-label="Details" />
            <Table.Th w={200}>Time</Table.Th>
            <Table.Th w={70}>Level</Table.Th>
            <Table.Th>Message</Table.Th>
            <Table.Th w={180}>Code</Table.Th>
            <Table.Th w={70} ta="right">
              Task
            </Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {messages.map((message) => (
            <Message key={message.id} message={message} />
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

const colors = { info: undefined, warn: readable('orange'), error: readable('red') };

function Message({ message }: { message: JobLogMessage }): ReactNode {
  const [open, setOpen] = useState(false);
  const { created_at, level, code, task_index } = message;
  return (
    <>
      <Table.Tr>
        <Table.Td>
          <Unfold open={open} onOpen={setOpen} label="Details" />
        </Table.Td>
        <Table.Td>
          <Time micros={created_at} />
        </Table.Td>
        <Table.Td>
          <Text fz="sm" fw={level === 'info' ? 400 : 600} c={colors[level]}>
            {level}
          </Text>
        </Table.Td>
        <Table.Td style={{ overflowWrap: 'anywhere' }}>
          <Text fz="sm" lineClamp={open ? undefined : 3}>
            {visible(message.message.slice(0, open ? 2000 : 500))}
          </Text>
        </Table.Td>
        <Table.Td>{code === null ? '–' : <ErrorCode code={code} />}</Table.Td>
        <Table.Td ta="right">{task_index ?? '–'}</Table.Td>
      </Table.Tr>
      {open && <Details message={message} />}
    </>
  );
}

function Details({ message: { operator_id, details } }: { message: JobLogMessage }): ReactNode {
  return (
    <Table.Tr>
      <Table.Td />
      <Table.Td colSpan={5}>
        {operator_id !== null && <Text fz="sm">Operator {visible(operator_id)}</Text>}
        <LongText text={pretty(details)} label="Details" />
      </Table.Td>
    </Table.Tr>
  );
}
