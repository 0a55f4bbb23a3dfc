import { type UseQueryResult, useQuery } from '@tanstack/react-query';
import { call, type Job, type Pipeline } from '../api/client.ts';
import type { Call } from '../parts/automate.tsx';

/** The job of a pipeline, and what may be done with it. */

const resting: readonly Job['state'][] = ['Created', 'Stopped', 'Finished', 'Failed'];

/** Whether it stays as it is until a user acts. */
export const isResting = ({ state }: Job): boolean => resting.includes(state);

/** Whether it is on its way to another state. */
export const isChanging = (job: Job): boolean =>
  job.running_desired ? !isResting(job) && job.state !== 'Running' : !isResting(job);

export const jobKey = (pipelineId: string): string[] => ['job', pipelineId];

/** Asks more often while something changes. */
export const useJob = ({ id }: Pick<Pipeline, 'id'>): UseQueryResult<Job> =>
  useQuery({
    queryKey: jobKey(id),
    queryFn: async ({ signal }) =>
      (await call('listPipelineJobs', { params: { id }, signal })).data[0] as Job,
    refetchInterval: ({ state }) => (state.data && isChanging(state.data) ? 1000 : 5000),
  });

/** Calls that read what a job does and has done. */
export const watchCalls = (pipelineId: string, jobId: string): Call[] => {
  const path = `/api/v1/pipelines/${pipelineId}`;
  const get = (title: string, rest: string): Call => ({ title, method: 'GET', path: path + rest });
  const job = `/jobs/${jobId}`;
  return [
    { ...get('Follow state, tasks and rates', '/events'), stream: true },
    get('Get the last hour in steps of 10 seconds', `${job}/series`),
    get('List the tasks', `${job}/tasks`),
    get('List errors and warnings by code', `${job}/error_groups`),
    get('List the history, newest first', `${job}/errors?level=info&limit=100`),
    get('List the checkpoints', `${job}/checkpoints`),
  ];
};
