import { ActionIcon, Button, Menu, Modal } from '@mantine/core';
import {
  IconArrowsSplit2,
  IconDots,
  IconPlayerPlay,
  IconPlayerStop,
  IconRefresh,
  IconTrash,
} from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, type Job, type Pipeline } from '../api/client.ts';
import { Automate, type Call } from '../parts/automate.tsx';
import { JobState, Problem } from '../parts/parts.tsx';
import { DeleteDialog, RescaleDialog, RestartDialog, StopDialog, useAction } from './action-dialogs.tsx';
import { isChanging, isResting, useJob, watchCalls } from './job.ts';

/** Actions on a pipeline: start, stop, restart, rescale, delete. */

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
