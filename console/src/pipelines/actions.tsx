import { ActionIcon, Button, Group, List, Menu, Modal, NumberInput, Radio, Stack, Text } from '@mantine/core';
import {
  IconArrowsSplit2,
  IconDots,
  IconPlayerPlay,
  IconPlayerStop,
  IconRefresh,
  IconTrash,
} from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, type Job, type Pipeline } from '../api/client.ts';
import { Automate, type Call } from '../parts/automate.tsx';
import { JobState, Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { isChanging, isResting, jobKey, useJob, watchCalls } from './job.ts';

/** What can be done with a pipeline: start, stop, restart, rescale, delete. */

export function Actions({ pipeline }: { pipeline: Pipeline }): ReactNode {
  const { data: job } = useJob(pipeline);
  const may = useMay('operator');
  return (
    <>
      {job && (
        <span role="status" aria-label="State of the job">
          <JobState state={job.state} />
        </span>
      )}
      {job && may && <Buttons pipeline={pipeline} job={job} />}
      <Automate
        calls={[...callsOf(pipeline), ...(job ? watchCalls(pipeline.id, job.id) : [])]}
        object={{ kind: 'pipelines', name: pipeline.name, id: pipeline.id }}
        sql={pipeline.query}
      />
    </>
  );
}

const stopModes = [
  {
    mode: 'checkpoint',
    text: 'Writes the messages in flight. Open windows stay in the state, and the next start goes on with them.',
  },
  {
    mode: 'graceful',
    text: 'Writes the messages in flight. Closes open windows early and writes their results.',
  },
  {
    mode: 'immediate',
    text: 'Stops at once. Messages in flight stay with the broker; open windows stay as of the last commit.',
  },
  {
    mode: 'force',
    text: 'Does the same as immediate. It is there for scripts that were written for Arroyo.',
  },
] as const;
type StopMode = (typeof stopModes)[number]['mode'];

function callsOf({ id, name, query, parallelism }: Pipeline): Call[] {
  const path = `/api/v1/pipelines/${id}`;
  const patch = (title: string, body: object): Call => ({ title, method: 'PATCH', path, body });
  return [
    patch('Start', { stop: 'none' }),
    patch('Stop: close windows first', { stop: 'graceful' }),
    { title: 'Restart', method: 'POST', path: `${path}/restart`, body: { force: false } },
    patch('Rescale', { parallelism }),
    { title: 'Try a change', method: 'PATCH', path: `${path}?dry_run=true`, body: { query } },
    {
      title: 'Create or replace it by name',
      method: 'PUT',
      path: `/api/v1/pipelines/by-name/${encodeURIComponent(name)}`,
      body: { name, query, parallelism },
    },
    { title: 'Delete', method: 'DELETE', path },
  ];
}

type Dialog = 'stop' | 'restart' | 'rescale' | 'delete';

function Buttons({ pipeline, job }: { pipeline: Pipeline; job: Job }): ReactNode {
  const [dialog, setDialog] = useState<Dialog>();
  const close = (): void => setDialog(undefined);
  const start = useAction(pipeline, (id) =>
    call('patchPipeline', { params: { id }, body: { stop: 'none' } }),
  );
  const changing = isChanging(job);
  const stopped = isResting(job);
  const ended = stopped && job.running_desired && job.state !== 'Created';
  return (
    <>
      {stopped && !ended && (
        <Button
          leftSection={<IconPlayerPlay size={16} />}
          loading={start.isPending}
          onClick={() => start.mutate()}
        >
          Start
        </Button>
      )}
      {ended && (
        <Button leftSection={<IconPlayerPlay size={16} />} onClick={() => setDialog('restart')}>
          Start again
        </Button>
      )}
      {!stopped && (
        <Button
          variant="default"
          leftSection={<IconPlayerStop size={16} />}
          onClick={() => setDialog('stop')}
          aria-busy={changing}
        >
          {job.running_desired ? 'Stop' : 'Stopping…'}
        </Button>
      )}
      <More {...{ stopped, setDialog }} />
      {start.error && (
        <Modal opened onClose={start.reset} title="Start">
          <Problem error={start.error} />
        </Modal>
      )}
      {dialog === 'stop' && <StopDialog {...{ pipeline, job, close }} />}
      {dialog === 'restart' && <RestartDialog {...{ pipeline, close }} stopped={stopped} />}
      {dialog === 'rescale' && <RescaleDialog {...{ pipeline, close }} stopped={stopped} />}
      {dialog === 'delete' && <DeleteDialog {...{ pipeline, close }} />}
    </>
  );
}

function More({ stopped, setDialog }: { stopped: boolean; setDialog(dialog: Dialog): void }): ReactNode {
  return (
    <Menu position="bottom-end" withinPortal>
      <Menu.Target>
        <ActionIcon variant="default" size={36} aria-label="More actions">
          <IconDots size={18} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item leftSection={<IconRefresh size={16} />} onClick={() => setDialog('restart')}>
          Restart
        </Menu.Item>
        <Menu.Item leftSection={<IconArrowsSplit2 size={16} />} onClick={() => setDialog('rescale')}>
          Rescale
        </Menu.Item>
        <Menu.Divider />
        <Menu.Item
          leftSection={<IconTrash size={16} />}
          disabled={!stopped}
          onClick={() => setDialog('delete')}
        >
          {stopped ? 'Delete' : 'Delete (stop it first)'}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** A request that changes the job, after which all that shows it is asked again. */
function useAction<T>(pipeline: Pipeline, act: (id: string) => Promise<T>, done?: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: () => act(pipeline.id),
    onSuccess: async () => {
      done?.();
      await Promise.all([
        client.invalidateQueries({ queryKey: jobKey(pipeline.id) }),
        client.invalidateQueries({ queryKey: ['pipeline', pipeline.id] }),
      ]);
    },
  });
}

interface DialogProps {
  pipeline: Pipeline;
  close(): void;
}

function StopDialog({ pipeline, job, close }: DialogProps & { job: Job }): ReactNode {
  const [mode, setMode] = useState<StopMode>(job.running_desired ? 'checkpoint' : 'immediate');
  const stop = useAction(
    pipeline,
    (id) => call('patchPipeline', { params: { id }, body: { stop: mode } }),
    close,
  );
  return (
    <Modal opened onClose={close} title="Stop the pipeline" size="lg">
      <Stack>
        <Radio.Group
          label="How"
          description="In every mode the broker keeps the messages that are not acknowledged."
          value={mode}
          onChange={(value) => setMode(value as StopMode)}
        >
          <Stack gap="xs" mt="xs">
            {stopModes.map((one) => (
              <Radio key={one.mode} value={one.mode} label={one.mode} description={one.text} />
            ))}
          </Stack>
        </Radio.Group>
        <Problem error={stop.error} />
        <Confirm
          text={`Stop: ${mode}`}
          loading={stop.isPending}
          {...{ close }}
          onConfirm={() => stop.mutate()}
        />
      </Stack>
    </Modal>
  );
}

function RestartDialog({ pipeline, stopped, close }: DialogProps & { stopped: boolean }): ReactNode {
  const [force, setForce] = useState(false);
  const restart = useAction(
    pipeline,
    (id) => call('restartPipeline', { params: { id }, body: { force } }),
    close,
  );
  return (
    <Modal opened onClose={close} title={stopped ? 'Start again' : 'Restart the pipeline'} size="lg">
      <Stack>
        <Text size="sm">It starts with the stored definition, and goes on with the open windows.</Text>
        {!stopped && (
          <Radio.Group label="Before" value={`${force}`} onChange={(value) => setForce(value === 'true')}>
            <Stack gap="xs" mt="xs">
              <Radio value="false" label="drain" description="Writes the messages in flight first." />
              <Radio
                value="true"
                label="force"
                description="Does not wait for messages in flight. They come again, so some may be written twice."
              />
            </Stack>
          </Radio.Group>
        )}
        <Problem error={restart.error} />
        <Confirm
          text={stopped ? 'Start again' : 'Restart'}
          loading={restart.isPending}
          {...{ close }}
          onConfirm={() => restart.mutate()}
        />
      </Stack>
    </Modal>
  );
}

function RescaleDialog({ pipeline, stopped, close }: DialogProps & { stopped: boolean }): ReactNode {
  const [parallelism, setParallelism] = useState(pipeline.parallelism);
  const rescale = useAction(
    pipeline,
    (id) => call('patchPipeline', { params: { id }, body: { parallelism } }),
    close,
  );
  return (
    <Modal opened onClose={close} title="Rescale the pipeline" size="lg">
      <Stack>
        <NumberInput
          label="Parallelism"
          description="Number of parallel tasks, 1 to 64. They share the messages of the source, and keep no order."
          {...{ min: 1, max: 64, allowDecimal: false, clampBehavior: 'strict' as const }}
          value={parallelism}
          onChange={(next) => setParallelism(Number(next) || 1)}
        />
        <Text size="sm">
          {stopped
            ? 'The next start uses it.'
            : 'The tasks drain their messages in flight, then the new number of tasks starts. Nothing is lost.'}{' '}
          An INSERT with windows stays one task.
        </Text>
        <Problem error={rescale.error} />
        <Confirm
          text="Rescale"
          loading={rescale.isPending}
          disabled={parallelism === pipeline.parallelism}
          {...{ close }}
          onConfirm={() => rescale.mutate()}
        />
      </Stack>
    </Modal>
  );
}

function DeleteDialog({ pipeline, close }: DialogProps): ReactNode {
  const navigate = useNavigate();
  const client = useQueryClient();
  const { mutate, isPending, error } = useMutation({
    mutationFn: () => call('deletePipeline', { params: { id: pipeline.id } }),
    onSuccess: async () => {
      await navigate({ to: '/' });
      client.removeQueries({ queryKey: ['pipeline', pipeline.id] });
      client.removeQueries({ queryKey: jobKey(pipeline.id) });
      void client.invalidateQueries({ queryKey: ['pipelines'] });
    },
  });
  return (
    <Modal opened onClose={close} title="Delete the pipeline" size="lg">
      <Stack>
        <Text size="sm">
          This removes{' '}
          <b>
            <Name>{pipeline.name}</Name>
          </b>{' '}
          for good:
        </Text>
        <List size="sm">
          <List.Item>its definition and history,</List.Item>
          <List.Item>its dead letters,</List.Item>
          <List.Item>the rows of windows that are still open,</List.Item>
          <List.Item>its sessions on the brokers, with the messages that wait there.</List.Item>
        </List>
        <Text size="sm">Its tables, their profiles and all rows that were written stay.</Text>
        <Problem error={error} />
        <Confirm text="Delete" color="red" loading={isPending} {...{ close }} onConfirm={() => mutate()} />
      </Stack>
    </Modal>
  );
}

interface ConfirmProps {
  text: string;
  color?: string;
  loading: boolean;
  disabled?: boolean;
  close(): void;
  onConfirm(): void;
}

function Confirm({ text, color, loading, disabled = false, close, onConfirm }: ConfirmProps): ReactNode {
  return (
    <Group justify="flex-end">
      <Button variant="default" onClick={close}>
        Cancel
      </Button>
      <Button {...(color && { color })} {...{ loading, disabled }} onClick={onConfirm}>
        {text}
      </Button>
    </Group>
  );
}
