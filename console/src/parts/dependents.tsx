import { Alert, Anchor, Button, Group, List, Modal, Paper, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconTrash } from '@tabler/icons-react';
import { type UseQueryResult, useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import type { ReactNode } from 'react';
import { call, type Dependents } from '../api/client.ts';
import { DialogButtons } from './buttons.tsx';
import { notify } from './notices.tsx';
import { JobState, Loaded, Problem } from './parts.tsx';
import { Name } from './text.tsx';

/** The users of a profile or a table, and its deletion. */

export type Kind = 'connection_profiles' | 'connection_tables';

const useDependents = (kind: Kind, id: string, enabled = true): UseQueryResult<Dependents> =>
  useQuery({
    enabled,
    queryKey: ['dependents', kind, id],
    queryFn: () =>
      call(
        kind === 'connection_profiles' ? 'listConnectionProfileDependents' : 'listConnectionTableDependents',
        { params: { id } },
      ),
  });

const maxShown = 200;

function Users({ dependents }: { dependents: Dependents }): ReactNode {
  const { connection_tables: tables, pipelines } = dependents;
  return (
    <Stack gap="xs" mah="40vh" style={{ overflow: 'auto' }}>
      {tables.length > 0 && (
        <List size="sm" spacing={4} aria-label="Tables that use it">
          {tables.slice(0, maxShown).map(({ id, name }) => (
            <List.Item key={id}>
              Table{' '}
              <Anchor component={Link} to="/tables/$id" params={{ id } as never} size="sm">
                <Name>{name}</Name>
              </Anchor>
            </List.Item>
          ))}
          {tables.length > maxShown && <List.Item>and {tables.length - maxShown} more</List.Item>}
        </List>
      )}
      {pipelines.length > 0 && (
        <List size="sm" spacing={4} aria-label="Pipelines that use it">
          {pipelines.slice(0, maxShown).map(({ id, name, state }) => (
            <List.Item key={id}>
              <Group gap="xs">
                <span>
                  Pipeline{' '}
                  <Anchor component={Link} to="/pipelines/$id" params={{ id } as never} size="sm">
                    <Name>{name}</Name>
                  </Anchor>
                </span>
                <JobState state={state} />
              </Group>
            </List.Item>
          ))}
          {pipelines.length > maxShown && <List.Item>and {pipelines.length - maxShown} more</List.Item>}
        </List>
      )}
    </Stack>
  );
}

const isUsed = ({ connection_tables, pipelines }: Dependents): boolean =>
  connection_tables.length + pipelines.length > 0;

/** The tables and pipelines that use an object, with their states. More about the object goes below. */
export function UsedBy({ kind, id, children }: { kind: Kind; id: string; children: ReactNode }): ReactNode {
  const query = useDependents(kind, id);
  return (
    <Paper withBorder p="md" component="section" aria-labelledby="used-by">
      <Title order={2} size="h5" mb="xs" id="used-by">
        Used by
      </Title>
      <Loaded query={query}>
        {(dependents) =>
          isUsed(dependents) ? (
            <Users dependents={dependents} />
          ) : (
            <Text size="sm" c="dimmed">
              Nothing uses it yet.
            </Text>
          )
        }
      </Loaded>
      {children}
    </Paper>
  );
}

interface DeleteProps {
  kind: Kind;
  id: string;
  name: string;
  /** As in `connection profile`. */
  noun: string;
  onDeleted(): void;
}

/** Asks before it deletes. An object in use cannot be deleted: then it shows by what. */
export function DeleteObject({ kind, id, name, noun, onDeleted }: DeleteProps): ReactNode {
  const [open, { open: show, close }] = useDisclosure(false);
  const client = useQueryClient();
  const dependents = useDependents(kind, id, open);
  const remove = useMutation({
    mutationFn: () =>
      call(kind === 'connection_profiles' ? 'deleteConnectionProfile' : 'deleteConnectionTable', {
        params: { id },
      }),
    onSuccess: async () => {
      notify(`The ${noun} was deleted`);
      onDeleted();
      await client.invalidateQueries({ queryKey: [kind] });
    },
  });
  return (
    <>
      <Button variant="default" c="red" leftSection={<IconTrash size={16} />} onClick={show}>
        Delete
      </Button>
      <Modal opened={open} onClose={close} title={`Delete the ${noun}?`}>
        <Loaded query={dependents}>
          {(data) => (
            <Stack>
              {isUsed(data) ? (
                <>
                  <Alert color="orange" title={`The ${noun} is in use`}>
                    Delete or change its users first.
                  </Alert>
                  <Users dependents={data} />
                </>
              ) : (
                <Text size="sm">
                  <Name>{name}</Name> is deleted for good. Nothing uses it.
                </Text>
              )}
              <Problem error={remove.error} />
              <DialogButtons
                action="Delete"
                color="red"
                disabled={isUsed(data)}
                busy={remove.isPending}
                onCancel={close}
                onConfirm={() => remove.mutate()}
              />
            </Stack>
          )}
        </Loaded>
      </Modal>
    </>
  );
}
