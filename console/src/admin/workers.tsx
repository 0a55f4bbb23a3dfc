import { Alert, Badge, Button, Group, Stack, Table, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Fragment, type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, type Operations } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { Unfold } from '../parts/buttons.tsx';
import { count } from '../parts/format.ts';
import { Empty, Labels, Loaded, Page, Since } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { Drain, type Worker } from './drain.tsx';
import { ObjectLink, useFirst } from './pieces.tsx';

/** The workers: what state they are in, how much they do, and which tasks they run. */

export function WorkersPage(): ReactNode {
  const query = useQuery({
    queryKey: ['workers'],
    queryFn: () => call('listWorkers', {}),
    refetchInterval: 3_000,
  });
  return (
    <Page
      title="Workers"
      actions={<Automate calls={[{ title: 'List the workers', method: 'GET', path: '/api/v1/workers' }]} />}
    >
      <Text size="sm" c="dimmed" maw="80ch">
        Workers run the tasks of pipelines and share them by load. The tasks of a worker that ends go to the
        others.
      </Text>
      <Loaded query={query}>{({ data }) => <Workers workers={data} />}</Loaded>
    </Page>
  );
}

function Workers({ workers }: { workers: readonly Worker[] }): ReactNode {
  const [search, setSearch] = useState('');
  const [draining, setDraining] = useState<string>();
  const wanted = workers.filter(({ name, host, labels }) =>
    [name, host, ...Object.entries(labels).map((pair) => pair.join('='))].some((text) =>
      text.toLowerCase().includes(search.toLowerCase()),
    ),
  );
  const { first, more } = useFirst(wanted);
  const chosen = workers.find(({ name }) => name === draining);
  if (workers.length === 0)
    return (
      <Empty>No worker runs, so pipelines wait. Start one with “penstock worker” or “penstock all”.</Empty>
    );
  return (
    <Stack>
      <Versions workers={workers} />
      {workers.length > 5 && (
        <TextInput
          aria-label="Search"
          placeholder="Name, host or label"
          value={search}
          onChange={({ currentTarget }) => setSearch(currentTarget.value)}
          maw={320}
        />
      )}
      <Table.ScrollContainer minWidth={900}>
        <Table verticalSpacing="xs" aria-label="Workers">
          <Table.Thead>
            <Table.Tr>
              <Table.Th aria-label="Tasks of the worker" w={40} />
              <Table.Th>Worker</Table.Th>
              <Table.Th>State</Table.Th>
              <Table.Th>Labels</Table.Th>
              <Table.Th ta="right">Tasks</Table.Th>
              <Table.Th ta="right">Jobs</Table.Th>
              <Table.Th ta="right">Load</Table.Th>
              <Table.Th>Heartbeat</Table.Th>
              <Table.Th>Version</Table.Th>
              <Table.Th aria-label="Actions" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {first.map((worker) => (
              <WorkerRow key={worker.name} worker={worker} onDrain={() => setDraining(worker.name)} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more}
      {chosen && <Drain worker={chosen} workers={workers} onClose={() => setDraining(undefined)} />}
    </Stack>
  );
}

function Versions({ workers }: { workers: readonly Worker[] }): ReactNode {
  const versions = [...new Set(workers.filter(({ alive }) => alive).map(({ version }) => version))].sort();
  if (versions.length < 2) return null;
  return (
    <Alert color="yellow" variant="light" title="Workers have different versions">
      <Name>{versions.join(', ')}</Name>
    </Alert>
  );
}

function State({ worker: { alive, draining, exclusive } }: { worker: Worker }): ReactNode {
  return (
    <Group gap={4}>
      <Badge color={alive ? 'teal' : 'red'} variant="light">
        {alive ? 'alive' : 'not alive'}
      </Badge>
      {draining && (
        <Badge color="yellow" variant="light">
          draining
        </Badge>
      )}
      {exclusive && (
        <Badge variant="default" title="Runs only pipelines whose placement names one of its labels">
          exclusive
        </Badge>
      )}
    </Group>
  );
}

function WorkerRow({ worker, onDrain }: { worker: Worker; onDrain(): void }): ReactNode {
  const may = useMay('operator');
  const [open, setOpen] = useState(false);
  const { name, host, slots, tasks, jobs, load, started_at, last_heartbeat, version } = worker;
  return (
    <Fragment>
      <Table.Tr>
        <Table.Td>
          <Unfold open={open} onOpen={setOpen} label={`Tasks of ${name}`} />
        </Table.Td>
        <Table.Td>
          <Text size="sm" fw={600}>
            <Name>{name}</Name>
          </Text>
          <Text size="xs" c="dimmed">
            <Name>{host}</Name>, up for <Since micros={started_at} />
          </Text>
        </Table.Td>
        <Table.Td>
          <State worker={worker} />
        </Table.Td>
        <Table.Td>
          <Labels labels={worker.labels} />
        </Table.Td>
        <Table.Td ta="right">
          {count(tasks)}
          {slots !== null && ` of ${count(slots)}`}
        </Table.Td>
        <Table.Td ta="right">{count(jobs)}</Table.Td>
        <Table.Td ta="right">{load.toLocaleString('en', { maximumFractionDigits: 1 })}</Table.Td>
        <Table.Td>
          <Since micros={last_heartbeat} /> ago
        </Table.Td>
        <Table.Td>
          <Name>{version}</Name>
        </Table.Td>
        <Table.Td>
          {may && worker.alive && (
            <Button variant="default" size="compact-sm" onClick={onDrain}>
              {worker.draining ? 'Take tasks again' : 'Drain'}
            </Button>
          )}
        </Table.Td>
      </Table.Tr>
      {open && (
        <Table.Tr>
          <Table.Td colSpan={10}>
            <Tasks name={name} />
          </Table.Td>
        </Table.Tr>
      )}
    </Fragment>
  );
}

function Tasks({ name }: { name: string }): ReactNode {
  const query = useQuery({
    queryKey: ['worker', name],
    queryFn: () => call('getWorker', { params: { name } }),
    refetchInterval: 3_000,
  });
  return <Loaded query={query}>{({ placed_tasks }) => <TaskList tasks={placed_tasks} />}</Loaded>;
}

type Placed = Operations['getWorker']['answer']['placed_tasks'];

function TaskList({ tasks }: { tasks: Placed }): ReactNode {
  const { first, more } = useFirst(tasks);
  if (tasks.length === 0)
    return (
      <Text size="sm" c="dimmed">
        It runs no task.
      </Text>
    );
  return (
    <>
      <Table aria-label="Tasks" withRowBorders={false}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Pipeline</Table.Th>
            <Table.Th>Task</Table.Th>
            <Table.Th>State</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {first.map(({ job_id, pipeline_id, pipeline, index, state }) => (
            <Table.Tr key={`${job_id} ${index}`}>
              <Table.Td>
                <ObjectLink id={pipeline_id}>{pipeline}</ObjectLink>
              </Table.Td>
              <Table.Td>{index}</Table.Td>
              <Table.Td>{state}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {more}
    </>
  );
}
