import { Alert, Anchor, Badge, Group, Paper, SimpleGrid, Stack, Text } from '@mantine/core';
import { IconAlertCircle } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useRef, useState } from 'react';
import {
  call,
  type Job,
  type Pipeline,
  type PipelineEvent,
  statusOf,
  type TaskStatus,
} from '../api/client.ts';
import { type StreamState, useStream } from '../api/stream.ts';
import { bytes, clockTime, count, duration, perSecond } from '../parts/format.ts';
import { ErrorCode } from '../parts/meaning.tsx';
import { Live, Loaded, Problem, Since } from '../parts/parts.tsx';
import { Name, visible } from '../parts/text.tsx';
import { Checkpoints, Errors } from './errors.tsx';
import { isResting, jobKey, useJob } from './job.ts';
import { hintOf } from './job-history.ts';
import { LiveSteps } from './series.ts';
import { TablesOf } from './tables-of.tsx';
import { Tasks } from './tasks.tsx';
import { Throughput } from './throughput.tsx';
import { States } from './timeline.tsx';

/** The current work of a pipeline: figures, charts, tasks and errors. */

type Rates = NonNullable<PipelineEvent['rates']>;

interface Now {
  tasks: readonly TaskStatus[];
  rates: Rates | undefined;
  deleted: boolean;
  /** Number of events so far. */
  version: number;
}

/** Follows a pipeline. Values from before stay while the stream is lost. */
function useNow(id: string): { now: Now; live: LiveSteps; stream: { state: StreamState; error: unknown } } {
  const client = useQueryClient();
  const live = useRef<LiveSteps>(null);
  live.current ??= new LiveSteps();
  const steps = live.current;
  const [now, setNow] = useState<Now>({
    ...{ tasks: [], rates: undefined, deleted: false, version: 0 },
  });
  const onEvent = ({ name, job, tasks, rates }: PipelineEvent): void => {
    if (tasks) steps.addTasks(tasks);
    if (rates) steps.addRates(rates);
    if (job) client.setQueryData(jobKey(id), job);
    if (name === 'state')
      for (const key of ['pipeline', 'job-history', 'error-groups'])
        void client.invalidateQueries({ queryKey: [key, id] });
    setNow((before) => {
      const next = { ...before, version: before.version + 1 };
      if (job && isResting(job)) Object.assign(next, { tasks: [], rates: undefined });
      if (tasks) next.tasks = tasks;
      if (rates) next.rates = rates;
      return { ...next, deleted: before.deleted || name === 'deleted' };
    });
  };
  const onOpen = (): void => {
    steps.clear();
    void client.invalidateQueries({ queryKey: ['series', id] });
  };
  const stream = useStream('followPipeline', { params: { id } }, { onEvent, onOpen });
  return { now, live: steps, stream };
}

export function WatchTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  const { id } = pipeline;
  const { now, live, stream } = useNow(id);
  const query = useJob(pipeline);
  if (now.deleted)
    return (
      <Alert color="gray" title="This pipeline was deleted">
        <Anchor component={Link} to="/">
          Go to the pipelines
        </Anchor>
      </Alert>
    );
  return (
    <Loaded query={{ data: query.data, error: query.data ? null : query.error }}>
      {(job) => (
        <Stack gap="lg">
          <Group justify="space-between" align="flex-start">
            <Stack gap={4}>
              <Status job={job} />
              <TablesOf pipeline={pipeline} />
            </Stack>
            <Group gap="xs">
              {stream.state === 'lost' && now.rates && (
                <Text size="sm" c="dimmed">
                  as of {clockTime(now.rates.at)}
                </Text>
              )}
              <Live state={stream.state} />
            </Group>
          </Group>
          {(stream.state === 'refused' || statusOf(stream.error) !== undefined) && (
            <Problem error={stream.error} />
          )}
          <Failure pipelineId={id} job={job} />
          <Figures tasks={now.tasks} rates={now.rates} />
          <States pipelineId={id} job={job} />
          <Throughput pipelineId={id} job={job} live={live} version={now.version} />
          <Tasks tasks={now.tasks} />
          <Errors pipelineId={id} jobId={job.id} />
          {now.tasks.some(({ windows }) => windows !== null) && (
            <Checkpoints pipelineId={id} jobId={job.id} />
          )}
        </Stack>
      )}
    </Loaded>
  );
}

function Status({ job }: { job: Job }): ReactNode {
  return (
    <Group gap="sm" role="status" aria-label="State">
      <Text size="sm">
        <b>{job.state}</b> for <Since micros={job.state_since} />
      </Text>
      {job.worker !== null && (
        <Text size="sm" c="dimmed">
          controlled by{' '}
          <Anchor component={Link} to="/workers" inherit underline="always">
            <Name>{job.worker}</Name>
          </Anchor>
        </Text>
      )}
      {job.run_id > 0 && (
        <Text size="sm" c="dimmed">
          run {count(job.run_id)}
        </Text>
      )}
      {job.crash_looping && (
        <Badge color="red" variant="filled" tt="none">
          lost its connection {count(job.recoveries)} times
        </Badge>
      )}
    </Group>
  );
}

const domains = {
  user: 'The configuration has to change.',
  external: 'The other system has to act. The job tries again by itself.',
  internal: 'This is a defect of Penstock.',
};

/** Why the job is not well, and what to do. */
function Failure({ pipelineId, job }: { pipelineId: string; job: Job }): ReactNode {
  const history = useQuery({
    queryKey: ['job-history', pipelineId, job.id, 'warnings'],
    queryFn: () =>
      call('listJobErrors', {
        params: { id: pipelineId, job_id: job.id },
        query: { level: 'warn', limit: 100 },
      }),
    enabled: job.failure_reason !== null,
  });
  const reason = job.failure_reason;
  if (reason === null) return null;
  const same = history.data?.data.find((message) => message.code === reason.code && hintOf(message) !== null);
  const hint = same && hintOf(same);
  const failed = job.state === 'Failed' || job.state === 'Failing';
  return (
    <Alert
      color={failed ? 'red' : 'orange'}
      icon={<IconAlertCircle />}
      title={failed ? 'The job has failed' : `The job is ${job.state}`}
      variant="light"
      role="alert"
    >
      <Stack gap={4} style={{ overflowWrap: 'anywhere' }}>
        <Text size="sm">{visible(reason.error.slice(0, 2000))}</Text>
        {hint && <Text size="sm">{visible(hint.slice(0, 2000))}</Text>}
        <Text size="sm">
          <ErrorCode code={reason.code} /> · {domains[reason.domain]}
        </Text>
      </Stack>
    </Alert>
  );
}

function Figures({ tasks, rates }: { tasks: readonly TaskStatus[]; rates: Rates | undefined }): ReactNode {
  const inFlight = tasks.reduce((sum, task) => sum + task.in_flight, 0);
  const reconnects = tasks.reduce((sum, task) => sum + task.reconnects, 0);
  const p99 = Math.max(...tasks.map(({ latency_ms: latency }) => latency?.p99 ?? -1), -1);
  const known = (text: (now: Rates) => string): string => (rates ? text(rates) : '–');
  const figures: [string, string, string][] = [
    ['Messages in', known((now) => perSecond(now.messages_in)), known((now) => `${bytes(now.bytes_in)}/s`)],
    [
      'Messages out',
      known((now) => perSecond(now.messages_out)),
      known((now) => `${bytes(now.bytes_out)}/s`),
    ],
    ['In flight', tasks.length > 0 ? `${count(inFlight)} msg` : '–', 'not acknowledged'],
    ['Delay p99', p99 < 0 ? '–' : duration(p99), 'of the slowest task'],
    ['Bad', known((now) => perSecond(now.bad)), 'could not be processed'],
    ['Reconnects', tasks.length > 0 ? count(reconnects) : '–', 'since the start'],
  ];
  return (
    <SimpleGrid cols={{ base: 2, xs: 3, lg: 6 }} spacing="sm" component="section" aria-label="Figures">
      {figures.map(([title, value, more]) => (
        <Paper withBorder p="xs" key={title} role="group" aria-label={title}>
          <Text fz={12} c="dimmed">
            {title}
          </Text>
          <Text fw={700} fz="lg" style={{ fontVariantNumeric: 'tabular-nums' }}>
            {value}
          </Text>
          <Text fz={12} c="dimmed">
            {more}
          </Text>
        </Paper>
      ))}
    </SimpleGrid>
  );
}
