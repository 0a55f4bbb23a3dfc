import { Stack, Table, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { call } from '../api/client.ts';
import { bytes, count, duration } from '../parts/format.ts';
import { ErrorCode } from '../parts/meaning.tsx';
import { Empty, Loaded, Time } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';

/** Errors of a job by code, and the checkpoints of its state. */

interface OfJob {
  pipelineId: string;
  jobId: string;
}

export function Errors({ pipelineId, jobId }: OfJob): ReactNode {
  const query = useQuery({
    queryKey: ['error-groups', pipelineId, jobId],
    queryFn: () => call('listJobErrorGroups', { params: { id: pipelineId, job_id: jobId } }),
  });
  return (
    <Stack gap="xs" component="section" aria-label="Errors by code">
      <Title order={2} size="h5">
        Errors by code
      </Title>
      <Loaded query={query}>
        {({ data }) =>
          data.length === 0 ? (
            <Empty>No errors and no warnings.</Empty>
          ) : (
            <Table.ScrollContainer minWidth={640}>
              <Table fz="sm" verticalSpacing={6} withTableBorder aria-label="Errors by code">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Code</Table.Th>
                    <Table.Th>Level</Table.Th>
                    <Table.Th ta="right">Count</Table.Th>
                    <Table.Th>First</Table.Th>
                    <Table.Th>Last</Table.Th>
                    <Table.Th>Latest message</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {data.slice(0, 100).map((group) => (
                    <Table.Tr key={`${group.code} ${group.level}`}>
                      <Table.Td>{group.code === null ? '–' : <ErrorCode code={group.code} />}</Table.Td>
                      <Table.Td>{group.level}</Table.Td>
                      <Table.Td ta="right">{count(group.count)}</Table.Td>
                      <Table.Td>
                        <Time micros={group.first_at} />
                      </Table.Td>
                      <Table.Td>
                        <Time micros={group.last_at} />
                      </Table.Td>
                      <Table.Td style={{ overflowWrap: 'anywhere' }}>
                        <Text fz="sm" lineClamp={3}>
                          {visible(group.message.slice(0, 500))}
                        </Text>
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          )
        }
      </Loaded>
    </Stack>
  );
}

const shownCheckpoints = 8;

/** Commits of the state. Jobs without a state have none to show. */
export function Checkpoints({ pipelineId, jobId }: OfJob): ReactNode {
  const query = useQuery({
    queryKey: ['checkpoints', pipelineId, jobId],
    queryFn: () => call('listJobCheckpoints', { params: { id: pipelineId, job_id: jobId } }),
  });
  return (
    <Stack gap="xs" component="section" aria-label="Checkpoints">
      <Title order={2} size="h5">
        Checkpoints
      </Title>
      <Loaded query={query}>
        {({ data }) => {
          const newest = [...data].sort((a, b) => b.epoch - a.epoch).slice(0, shownCheckpoints);
          if (newest.length === 0) return <Empty>No checkpoint yet.</Empty>;
          return (
            <Table.ScrollContainer minWidth={560}>
              <Table fz="sm" verticalSpacing={4} withTableBorder aria-label="Checkpoints">
                <Table.Thead>
                  <Table.Tr>
                    <Table.Th>Epoch</Table.Th>
                    <Table.Th>Began</Table.Th>
                    <Table.Th ta="right">Duration</Table.Th>
                    <Table.Th>Kind</Table.Th>
                    <Table.Th>Place</Table.Th>
                    <Table.Th ta="right">Written</Table.Th>
                    <Table.Th ta="right">State</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {newest.map((one) => (
                    <Table.Tr key={one.epoch}>
                      <Table.Td>{count(one.epoch)}</Table.Td>
                      <Table.Td>
                        <Time micros={one.start_time} />
                      </Table.Td>
                      <Table.Td ta="right">
                        {one.finish_time === null
                          ? 'not finished'
                          : duration((one.finish_time - one.start_time) / 1000)}
                      </Table.Td>
                      <Table.Td>{one.checkpoint_type}</Table.Td>
                      <Table.Td>{visible(one.backend)}</Table.Td>
                      <Table.Td ta="right">{one.bytes === null ? '–' : bytes(one.bytes)}</Table.Td>
                      <Table.Td ta="right">
                        {one.state_bytes === null ? '–' : bytes(one.state_bytes)}
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Table.ScrollContainer>
          );
        }}
      </Loaded>
    </Stack>
  );
}
