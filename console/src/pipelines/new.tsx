import { Button, Group, Stack, Text } from '@mantine/core';
import { IconPlayerPlay } from '@tabler/icons-react';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { type ReactNode, useEffect, useState } from 'react';
import { useMay } from '../api/caller.tsx';
import { call } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { Empty, Page, Problem } from '../parts/parts.tsx';
import { errorAt, Fields, isAtFields, newFields, type PipelineFields } from './fields.tsx';
import { PreviewPanel } from './preview.tsx';
import { QueryEditor, useQueryCheck } from './query-editor.tsx';

/** Unsaved text of the page. It stays in memory only: a query can hold a password. */
let draft = newFields;

export function NewPipelinePage(): ReactNode {
  const may = useMay('operator');
  return may ? (
    <NewPipeline />
  ) : (
    <Page title="New pipeline">
      <Empty>Your role may not create pipelines. Ask an administrator for an operator key.</Empty>
    </Page>
  );
}

function NewPipeline(): ReactNode {
  const [fields, setFields] = useState<PipelineFields>(draft);
  const navigate = useNavigate();
  const client = useQueryClient();
  const check = useQueryCheck(fields.query);
  useEffect(() => {
    draft = fields;
  }, [fields]);
  const { mutate, isPending, error } = useMutation({
    mutationFn: (body: PipelineFields) => call('createPipeline', { body }),
    onSuccess: async ({ id }) => {
      setFields(newFields);
      draft = newFields;
      void client.invalidateQueries({ queryKey: ['pipelines'] });
      await navigate({ to: '/pipelines/$id', params: { id } });
    },
  });
  const ready = fields.name.trim() !== '' && check.current && check.graph !== null;
  const calls = [
    {
      title: 'Check the query',
      method: 'POST',
      path: '/api/v1/pipelines/validate_query',
      body: { query: fields.query },
    },
    { title: 'Create and start', method: 'POST', path: '/api/v1/pipelines', body: fields },
  ];
  const queryError = errorAt(error, 'query');
  return (
    <Page title="New pipeline" actions={<Automate calls={calls} sql={fields.query} />}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (ready) mutate(fields);
        }}
      >
        <Stack>
          <Fields value={fields} onChange={setFields} error={error} readOnly={isPending} />
          <QueryEditor
            value={fields.query}
            onChange={(query) => setFields((before) => ({ ...before, query }))}
            check={check}
            locked={isPending}
          />
          {queryError !== undefined && check.errors.length === 0 && <Problem error={error} />}
          {error !== null && !isAtFields(error) && <Problem error={error} />}
          <Group>
            <Button
              type="submit"
              leftSection={<IconPlayerPlay size={16} />}
              loading={isPending}
              disabled={!ready}
            >
              Create and start
            </Button>
            {!ready && (
              <Text size="sm" c="dimmed">
                It needs a name and a valid query.
              </Text>
            )}
          </Group>
        </Stack>
      </form>
      <PreviewPanel
        query={fields.query}
        valid={check.current && check.graph !== null}
        hasWindows={check.graph?.nodes.some(({ operator }) => operator === 'stateful') ?? false}
      />
    </Page>
  );
}
