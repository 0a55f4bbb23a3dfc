import { Box, Group, SegmentedControl, Stack, Table, Text, Title, Tooltip } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { call, type Job } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { duration, localTime } from '../parts/format.ts';
import { ErrorCode } from '../parts/meaning.tsx';
import { Empty, JobState, Loaded, stateColors, Time } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';
import { changeOf, type StateChange, stretchesOf } from './job-history.ts';

/** The states of a job over the last hour or day, with their causes. */

const spans = [
  { value: '3600', label: '1 hour' },
  { value: '86400', label: '1 day' },
];
const listed = 6;

/** Changes of state only: warnings, of which there may be many, would displace them. */
const useChanges = (pipelineId: string, jobId: string) =>
  useQuery({
    queryKey: ['job-history', pipelineId, jobId, 'states'],
    queryFn: () =>
      call('listJobErrors', {
        params: { id: pipelineId, job_id: jobId },
        query: { level: 'info', highest_level: 'info', limit: 200 },
      }),
  });

export function States({ pipelineId, job }: { pipelineId: string; job: Job }): ReactNode {
  const [span, setSpan] = useState('3600');
  const query = useChanges(pipelineId, job.id);
  return (
    <Stack gap="xs" component="section" aria-label="States">
      <Group justify="space-between">
        <Title order={2} size="h5">
          States
        </Title>
        <SegmentedControl size="xs" aria-label="Time" value={span} onChange={setSpan} data={spans} />
      </Group>
      <Loaded query={query}>
        {({ data, hasMore }) => {
          const changes = data.flatMap((message) => changeOf(message) ?? []);
          return (
            <>
              <Strip changes={changes} job={job} seconds={Number(span)} complete={!hasMore} />
              <Changes changes={changes.slice(0, listed)} />
            </>
          );
        }}
      </Loaded>
    </Stack>
  );
}

interface StripProps {
  changes: readonly StateChange[];
  job: Job;
  seconds: number;
  complete: boolean;
}

function Strip({ changes, job, seconds, complete }: StripProps): ReactNode {
  const to = nowMicros();
  const from = to - seconds * 1_000_000;
  const stretches = stretchesOf(changes, job.state, { from, to, complete });
  const said = stretches.map((one) => `${one.state ?? 'unknown'} ${duration((one.to - one.from) / 1000)}`);
  return (
    <div>
      <Group
        gap={1}
        wrap="nowrap"
        h={24}
        role="img"
        aria-label={`States, the oldest first: ${said.join(', ')}`}
        style={{ overflow: 'hidden', borderRadius: 'var(--mantine-radius-sm)' }}
      >
        {stretches.map((one) => (
          <Tooltip
            key={one.to}
            label={
              <>
                {one.state ?? 'Not known'} for {duration((one.to - one.from) / 1000)}, since{' '}
                {localTime(one.from)}
                {one.cause && <br />}
                {visible(one.cause ?? '')}
              </>
            }
            multiline
            maw={400}
          >
            <Box
              h="100%"
              miw={3}
              bg={
                one.state === null
                  ? 'var(--mantine-color-default-border)'
                  : `var(--mantine-color-${stateColors[one.state] ?? 'gray'}-6)`
              }
              style={{ flex: `${(one.to - one.from) / (to - from)} 1 0` }}
            />
          </Tooltip>
        ))}
      </Group>
      <Group justify="space-between">
        <Text fz={12} c="dimmed">
          {localTime(from)}
        </Text>
        <Text fz={12} c="dimmed">
          now
        </Text>
      </Group>
    </div>
  );
}

function Changes({ changes }: { changes: readonly StateChange[] }): ReactNode {
  if (changes.length === 0) return <Empty>The job has not been in another state yet.</Empty>;
  return (
    <Table.ScrollContainer minWidth={480}>
      <Table fz="sm" verticalSpacing={4} aria-label="Latest changes of state">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={200}>Time</Table.Th>
            <Table.Th w={130}>State</Table.Th>
            <Table.Th>Cause</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {changes.map(({ id, at, state, cause, code }) => (
            <Table.Tr key={id}>
              <Table.Td>
                <Time micros={at} />
              </Table.Td>
              <Table.Td>
                <JobState state={state} />
              </Table.Td>
              <Table.Td style={{ overflowWrap: 'anywhere' }}>
                {code && <ErrorCode code={code} />} {visible((cause ?? '').slice(0, 500))}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
