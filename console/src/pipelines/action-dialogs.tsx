import { List, Modal, NumberInput, Radio, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { call, type Job, type Pipeline } from '../api/client.ts';
import { DialogButtons } from '../parts/buttons.tsx';
import { Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { jobKey } from './job.ts';

/** Dialogs that say what an action does before it is done. */

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

/** A request that changes the job, after which all that shows it is asked again. */
export function useAction<T>(pipeline: Pipeline, act: (id: string) => Promise<T>, done?: () => void) {
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

export function StopDialog({ pipeline, job, close }: DialogProps & { job: Job }): ReactNode {
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
        <DialogButtons
          action={`Stop: ${mode}`}
          busy={stop.isPending}
          onCancel={close}
          onConfirm={() => stop.mutate()}
        />
      </Stack>
    </Modal>
  );
}

export function RestartDialog({ pipeline, stopped, close }: DialogProps & { stopped: boolean }): ReactNode {
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
        <DialogButtons
          action={stopped ? 'Start again' : 'Restart'}
          busy={restart.isPending}
          onCancel={close}
          onConfirm={() => restart.mutate()}
        />
      </Stack>
    </Modal>
  );
}

export function RescaleDialog({ pipeline, stopped, close }: DialogProps & { stopped: boolean }): ReactNode {
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
        <DialogButtons
          action="Rescale"
          busy={rescale.isPending}
          disabled={parallelism === pipeline.parallelism}
          onCancel={close}
          onConfirm={() => rescale.mutate()}
        />
      </Stack>
    </Modal>
  );
}

export function DeleteDialog({ pipeline, close }: DialogProps): ReactNode {
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
        <DialogButtons
          action="Delete"
          color="red"
          busy={isPending}
          onCancel={close}
          onConfirm={() => mutate()}
        />
      </Stack>
    </Modal>
  );
}
