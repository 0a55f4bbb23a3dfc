import { Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { call, type Operations } from '../api/client.ts';
import { Name } from '../parts/text.tsx';
import { Confirm } from './pieces.tsx';

export type Worker = Operations['listWorkers']['answer']['data'][number];

/** Asks before a worker gives its tasks to others, or takes tasks again. */
export function Drain({ worker, workers, onClose }: DrainProps): ReactNode {
  const { name, draining, tasks } = worker;
  const client = useQueryClient();
  const drain = useMutation({
    mutationFn: () => call('drainWorker', { params: { name }, body: { drain: !draining } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['workers'] });
      onClose();
    },
  });
  const others = workers.filter((other) => other.name !== name && other.alive && !other.draining);
  return (
    <Confirm
      title={draining ? 'Let the worker take tasks again' : 'Drain the worker'}
      action={draining ? 'Take tasks again' : 'Drain'}
      onConfirm={() => drain.mutate()}
      onClose={onClose}
      busy={drain.isPending}
      error={drain.error}
    >
      <Text size="sm">
        <Name>{name}</Name>{' '}
        {draining
          ? 'takes tasks again, up to its share of the load. A worker that ends cannot.'
          : `runs ${tasks} ${tasks === 1 ? 'task' : 'tasks'}. It finishes the messages in flight of each and hands it over. Then it stays without tasks until it ends, restarts, or is told to take tasks again.`}
      </Text>
      {!draining && others.length === 0 && (
        <Text size="sm" fw={600}>
          No other worker can take the tasks. Their pipelines wait until one can.
        </Text>
      )}
    </Confirm>
  );
}
interface DrainProps {
  worker: Worker;
  workers: readonly Worker[];
  onClose(): void;
}
