import { Alert, Button, Group, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useRef, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call, callWithTag, type Operations, type Pipeline, unchanging } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { patchOf } from '../parts/form-values.ts';
import { Diff } from '../parts/lazy.tsx';
import { Loaded, Problem } from '../parts/parts.tsx';
import { type How, sentAs, useSave } from '../parts/save.tsx';
import { prettyValue } from '../parts/text.tsx';
import { errorAt, Fields, fieldsOf, isAtFields, type PipelineFields } from './fields.tsx';
import { isResting, jobKey, useJob } from './job.ts';
import { PreviewPanel } from './preview.tsx';
import { QueryEditor, useQueryCheck } from './query-editor.tsx';
import { isRefusedEdit, newestMessage, RefusedEdit, Rollout, type Saved } from './rollout.tsx';

/** The query of a stored pipeline: to read, to try, and to change. */

interface Stored {
  answer: Pipeline;
  etag: string | null;
}

export function QueryTab({ pipeline }: { pipeline: Pipeline }): ReactNode {
  const { id } = pipeline;
  const [saved, setSaved] = useState<Saved>();
  const query = useQuery({
    queryKey: ['pipeline-edit', id],
    queryFn: ({ signal }) => callWithTag('getPipeline', { params: { id }, signal }),
    ...unchanging,
    gcTime: 0,
  });
  const { data: job } = useJob(pipeline);
  const may = useMay('operator');
  return (
    <Stack>
      {saved && <Rollout key={saved.at} saved={saved} />}
      {!saved && job && isRefusedEdit(job) && <RefusedEdit reason={job.failure_reason?.error} />}
      <Loaded query={query}>
        {(stored: Stored) =>
          may ? (
            <EditQuery
              key={stored.etag}
              {...{ pipeline, stored }}
              runs={job !== undefined && !isResting(job)}
              onSaved={setSaved}
              reload={async () => {
                await query.refetch();
              }}
            />
          ) : (
            <ReadQuery pipeline={stored.answer} />
          )
        }
      </Loaded>
    </Stack>
  );
}

function ReadQuery({ pipeline }: { pipeline: Pipeline }): ReactNode {
  const check = useQueryCheck(pipeline.query, false);
  return (
    <Stack>
      <QueryEditor value={pipeline.query} onChange={() => {}} check={check} readOnly graph={pipeline.graph} />
      <Fields value={fieldsOf(pipeline)} onChange={() => {}} error={null} readOnly />
    </Stack>
  );
}

interface EditProps {
  /** As it is now. */
  pipeline: Pipeline;
  /** As it was when the edit began. */
  stored: Stored;
  runs: boolean;
  onSaved(saved: Saved): void;
  reload(): Promise<void>;
}

/** Sends a change that is based on `base`, and follows it. */
function useEdit({ pipeline: { id }, stored, onSaved, reload }: EditProps, fields: PipelineFields) {
  const client = useQueryClient();
  const base = useRef(fieldsOf(stored.answer));
  const after = useRef<Omit<Saved, 'at'>>(undefined);
  const send = async (how: How) => {
    if (!how.dryRun) {
      const job = (await call('listPipelineJobs', { params: { id } })).data[0];
      const jobId = job?.id ?? '';
      after.current = { pipelineId: id, jobId, after: await newestMessage(id, jobId) };
    }
    return call('patchPipeline', {
      params: { id },
      ...sentAs(how),
      body: patchOf(base.current, fields) as Operations['patchPipeline']['body'],
    });
  };
  return useSave({
    send,
    etag: stored.etag ?? undefined,
    async theirs() {
      const { answer, etag } = await callWithTag('getPipeline', { params: { id } });
      base.current = fieldsOf(answer);
      return { body: base.current, etag: etag ?? undefined };
    },
    mine: () => fields,
    onSaved: async ({ affected_pipelines }) => {
      if (after.current && affected_pipelines.some((one) => one.id === id))
        onSaved({ ...after.current, at: nowMicros() });
      void client.invalidateQueries({ queryKey: jobKey(id) });
      await client.invalidateQueries({ queryKey: ['pipeline', id] });
      await reload();
    },
    onTheirs: reload,
  });
}

const isEmpty = (patch: object): boolean => Object.keys(patch).length === 0;

function EditQuery(props: EditProps): ReactNode {
  const { pipeline, stored, runs, reload } = props;
  const [fields, setFields] = useState<PipelineFields>(() => fieldsOf(stored.answer));
  const [showsChanges, { toggle }] = useDisclosure(false);
  const check = useQueryCheck(fields.query);
  const save = useEdit(props, fields);
  const begun = fieldsOf(stored.answer);
  const changed = !isEmpty(patchOf(begun, fields));
  const valid = check.current && check.graph !== null;
  const isStale = !isEmpty(patchOf(begun, fieldsOf(pipeline)));
  return (
    <Stack>
      {isStale && !save.busy && <Stale reload={reload} changed={changed} />}
      <QueryEditor
        value={fields.query}
        locked={save.busy}
        onChange={(query) => setFields((before) => ({ ...before, query }))}
        check={check}
        graph={stored.answer.graph}
      />
      <Fields value={fields} onChange={setFields} error={save.error} readOnly={save.busy} />
      {errorAt(save.error, 'query') !== undefined && <Problem error={save.error} />}
      {save.error !== undefined && !isAtFields(save.error) && <Problem error={save.error} />}
      <Group>
        <Button onClick={save.begin} loading={save.busy} disabled={!changed || !valid}>
          Save changes
        </Button>
        <Button variant="default" disabled={!changed || save.busy} onClick={() => setFields(begun)}>
          Undo changes
        </Button>
        <Button variant="subtle" disabled={!changed} onClick={toggle} aria-expanded={showsChanges}>
          {showsChanges ? 'Hide what changes' : 'Show what changes'}
        </Button>
        <Text size="sm" c="dimmed">
          {runs
            ? 'A dry run checks the change first. You see what it affects before it is stored.'
            : 'The pipeline is stopped. Its next start uses the change.'}
        </Text>
      </Group>
      {changed && showsChanges && <Changes before={begun} after={fields} />}
      {save.dialog}
      <PreviewPanel
        query={fields.query}
        valid={valid}
        hasWindows={check.graph?.nodes.some(({ operator }) => operator === 'stateful') ?? false}
      />
    </Stack>
  );
}

function Changes({ before, after }: { before: PipelineFields; after: PipelineFields }): ReactNode {
  const text = ({ query, ...rest }: PipelineFields): string => `${query}\n\n${prettyValue(rest)}`;
  return <Diff before={text(before)} after={text(after)} labels={['Stored', 'Yours']} />;
}

function Stale({ reload, changed }: { reload(): Promise<void>; changed: boolean }): ReactNode {
  return (
    <Alert
      color="orange"
      variant="light"
      title="The stored pipeline has changed since you opened it"
      role="status"
    >
      <Group>
        <Text size="sm">
          {changed
            ? 'Saving shows both versions. Or begin again with the stored one.'
            : 'Load the stored one to go on.'}
        </Text>
        <Button size="compact-sm" variant="default" onClick={() => void reload()}>
          Load the stored version
        </Button>
      </Group>
    </Alert>
  );
}
