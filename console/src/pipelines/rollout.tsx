import { Alert, Paper, Stack, Text, Timeline, Title } from '@mantine/core';
import { IconArrowBackUp, IconCheck, IconX } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { call, type Job, type JobLogMessage, type PipelineEvent } from '../api/client.ts';
import { useStream } from '../api/stream.ts';
import { Live, Problem, Since } from '../parts/parts.tsx';
import { visible } from '../parts/text.tsx';

/** An edit of a running pipeline as it happens: saved, draining, trial, and running or rolled back. */

export interface Saved {
  pipelineId: string;
  jobId: string;
  /** The newest message of the job before the edit was saved. */
  after: string | undefined;
  /** Unix microseconds of this browser. */
  at: number;
}

/** The newest message of a job, from which on an edit is followed. */
export async function newestMessage(id: string, jobId: string): Promise<string | undefined> {
  const params = { id, job_id: jobId };
  return (await call('listJobErrors', { params, query: { level: 'info', limit: 1 } })).data[0]?.id;
}

/** The previous version runs again, or went on, because the edit could not run. */
const refused = /rolled back|previous version continues/;

export const isRefusedEdit = (job: Job | undefined): boolean =>
  refused.test(job?.failure_reason?.error ?? '');

type Phase = 'saved' | 'draining' | 'trial' | 'running' | 'refused' | 'failed';

interface Progress {
  phase: Phase;
  /** Why it did not run, or why it does not yet. */
  reason: string | undefined;
}

/** `messages` are those since the edit was saved, newest first. `allEnded` says that no former task is connected. */
function progressOf(messages: readonly JobLogMessage[], job: Job | undefined, allEnded: boolean): Progress {
  const error = messages.find(({ level }) => level === 'error');
  const states = messages.flatMap((message) => stateIn(message) ?? []);
  const restarted = states.some(({ state }) => state === 'Restarting');
  if (job?.state === 'Failed') return { phase: 'failed', reason: job.failure_reason?.error };
  if (error && refused.test(error.message)) return { phase: 'refused', reason: error.message };
  if (!restarted) return { phase: 'saved', reason: undefined };
  const [latest] = states;
  if (latest?.state === 'Running') return { phase: 'running', reason: undefined };
  if (latest?.state === 'Recovering') return { phase: 'trial', reason: job?.failure_reason?.error };
  return { phase: allEnded ? 'trial' : 'draining', reason: undefined };
}

function stateIn({ details }: JobLogMessage): { state: string } | undefined {
  const { state } = JSON.parse(details) as { state?: string };
  return state === undefined ? undefined : { state };
}

const over: readonly Phase[] = ['running', 'refused', 'failed'];

export function Rollout({ saved }: { saved: Saved }): ReactNode {
  const { pipelineId, jobId, after } = saved;
  const [job, setJob] = useState<Job>();
  const [allEnded, setAllEnded] = useState(false);
  const { state: stream } = useStream(
    'followPipeline',
    { params: { id: pipelineId } },
    {
      onEvent: (event: PipelineEvent) => {
        if (event.job) setJob(event.job);
        if (event.tasks?.every(({ connected }) => !connected)) setAllEnded(true);
        if (event.name === 'state') void messages.refetch();
      },
    },
  );
  const messages = useQuery({
    queryKey: ['rollout', jobId, saved.at],
    queryFn: ({ signal }) =>
      call('listJobErrors', {
        params: { id: pipelineId, job_id: jobId },
        query: { level: 'info', limit: 100 },
        signal,
      }),
    refetchInterval: ({ state }) => (state.data && over.includes(phaseOf(state.data.data)) ? 10_000 : 1000),
  });
  const since = (all: readonly JobLogMessage[]): JobLogMessage[] => {
    const end = all.findIndex(({ id }) => id === after);
    return end < 0 ? [...all] : all.slice(0, end);
  };
  const phaseOf = (all: readonly JobLogMessage[]): Phase => progressOf(since(all), job, allEnded).phase;
  const progress = progressOf(since(messages.data?.data ?? []), job, allEnded);
  return (
    <Paper withBorder p="md" component="section" aria-label="Progress of the edit" ref={intoView}>
      <Stack gap="sm">
        <Title order={2} size="h4">
          Edit saved <Since micros={saved.at} /> ago{' '}
          {!over.includes(progress.phase) && <Live state={stream} />}
        </Title>
        <Problem error={messages.error} />
        <Steps {...progress} />
      </Stack>
    </Paper>
  );
}

/** The button that saved it is further below. */
const intoView = (node: HTMLElement | null): void => node?.scrollIntoView({ block: 'center' });

const reached: Record<Phase, number> = { saved: 0, draining: 1, trial: 2, running: 3, refused: 3, failed: 3 };

function Steps({ phase, reason }: Progress): ReactNode {
  const done = (step: number): { bullet?: ReactNode } =>
    reached[phase] > step ? { bullet: <IconCheck size={12} /> } : {};
  return (
    <div role="status">
      <Timeline active={reached[phase]} bulletSize={20} lineWidth={2} color="teal">
        <Timeline.Item title="Saved" bullet={<IconCheck size={12} />}>
          {phase === 'saved' && (
            <Text size="sm">The job takes the edit over. If its tasks do not change, nothing restarts.</Text>
          )}
        </Timeline.Item>
        <Timeline.Item title="Draining" {...done(1)}>
          <Text size="sm">The former version finishes its messages in flight.</Text>
        </Timeline.Item>
        <Timeline.Item title="Trial" {...done(2)}>
          <Text size="sm">Every task of the new version has to connect once.</Text>
          {phase === 'trial' && reason && (
            <Text size="sm">It tries again, and nothing is rolled back: {visible(reason)}</Text>
          )}
        </Timeline.Item>
        {outcome({ phase, reason })}
      </Timeline>
    </div>
  );
}

/** The last item itself, because a timeline marks its direct children. */
function outcome({ phase, reason }: Progress): ReactNode {
  if (phase === 'refused')
    return (
      <Timeline.Item title="Rolled back" color="red" bullet={<IconArrowBackUp size={12} />}>
        <RefusedEdit reason={reason} />
      </Timeline.Item>
    );
  if (phase === 'failed')
    return (
      <Timeline.Item title="Failed" color="red" bullet={<IconX size={12} />}>
        <Text size="sm">{visible(reason ?? 'The job failed.')}</Text>
      </Timeline.Item>
    );
  return (
    <Timeline.Item title="Running" {...(phase === 'running' && { bullet: <IconCheck size={12} /> })}>
      {phase === 'running' && <Text size="sm">The new version runs.</Text>}
    </Timeline.Item>
  );
}

/** Says why an edit does not run, and what is stored. */
export function RefusedEdit({ reason }: { reason: string | undefined }): ReactNode {
  return (
    <Alert color="red" variant="light" title="The version before the edit runs">
      <Text size="sm">{visible(reason ?? '')}</Text>
      <Text size="sm">
        The stored definition keeps the edit. A restart would begin with it and fail for the same reason. Mend
        the cause, or change it back.
      </Text>
    </Alert>
  );
}
