import { Badge, Button, Stack, Table, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type ReactNode, useState } from 'react';
import { useCaller } from '../api/caller.tsx';
import { call, type Operations } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { Automate } from '../parts/automate.tsx';
import { Empty, Loaded, Page, Time } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';
import { CreateKey } from './create-key.tsx';
import { Confirm, useFirst } from './pieces.tsx';

/** The API keys: who may do what, and until when. */

type ApiKey = Operations['listApiKeys']['answer']['data'][number];

export function KeysPage(): ReactNode {
  const [creating, setCreating] = useState(false);
  const query = useQuery({ queryKey: ['api-keys'], queryFn: () => call('listApiKeys', {}) });
  return (
    <Page
      title="API keys"
      actions={
        <>
          <Automate
            calls={[
              { title: 'List the keys', method: 'GET', path: '/api/v1/api_keys' },
              {
                title: 'Create a key',
                method: 'POST',
                path: '/api/v1/api_keys',
                body: { name: 'terraform', role: 'operator' },
              },
            ]}
          />
          {query.data && <Button onClick={() => setCreating(true)}>Create a key</Button>}
        </>
      }
    >
      <Loaded query={query}>{({ data }) => <Keys keys={data} />}</Loaded>
      {creating && <CreateKey onClose={() => setCreating(false)} />}
    </Page>
  );
}

const colors = { viewer: 'gray', operator: 'blue', admin: 'orange' } as const;

function Keys({ keys }: { keys: readonly ApiKey[] }): ReactNode {
  const { keysRequired } = useCaller();
  const [revoking, setRevoking] = useState<ApiKey>();
  const { first, more } = useFirst(keys);
  if (keys.length === 0)
    return (
      <Empty>
        {keysRequired
          ? 'No key is stored: PENSTOCK_ADMIN_KEY is the only one. Create a key for each person and program.'
          : 'No key is needed on this machine yet. After the first key is created, every call needs one.'}
      </Empty>
    );
  return (
    <>
      <Table.ScrollContainer minWidth={720}>
        <Table verticalSpacing="xs" aria-label="API keys">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Name</Table.Th>
              <Table.Th>Role</Table.Th>
              <Table.Th>Created</Table.Th>
              <Table.Th>Last used</Table.Th>
              <Table.Th>Expires</Table.Th>
              <Table.Th aria-label="Actions" />
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {first.map((key) => (
              <KeyRow key={key.id} apiKey={key} onRevoke={() => setRevoking(key)} />
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      {more}
      {revoking && <Revoke apiKey={revoking} keys={keys} onClose={() => setRevoking(undefined)} />}
    </>
  );
}

function KeyRow({ apiKey, onRevoke }: { apiKey: ApiKey; onRevoke(): void }): ReactNode {
  const { name, role, created_at, last_used_at, expires_at } = apiKey;
  return (
    <Table.Tr>
      <Table.Td fw={600}>
        <Name>{name}</Name>
      </Table.Td>
      <Table.Td>
        <Badge color={colors[role]} variant="light" tt="none">
          {role}
        </Badge>
      </Table.Td>
      <Table.Td>
        <Time micros={created_at} />
      </Table.Td>
      <Table.Td>{last_used_at === null ? 'never' : <Time micros={last_used_at} />}</Table.Td>
      <Table.Td>
        {expires_at === null ? 'never' : <Time micros={expires_at} />}
        {isExpired(apiKey) && (
          <Badge color="red" variant="light" ml="xs">
            expired
          </Badge>
        )}
      </Table.Td>
      <Table.Td ta="right">
        <Button variant="default" size="compact-sm" onClick={onRevoke} aria-label={`Revoke ${name}`}>
          Revoke
        </Button>
      </Table.Td>
    </Table.Tr>
  );
}

const isExpired = ({ expires_at }: ApiKey): boolean => expires_at !== null && expires_at <= nowMicros();
const isLastingAdmin = ({ role, expires_at }: ApiKey): boolean => role === 'admin' && expires_at === null;

function Revoke({ apiKey, keys, onClose }: RevokeProps): ReactNode {
  const { id, name } = apiKey;
  const caller = useCaller();
  const client = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => call('deleteApiKey', { params: { id } }),
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['api-keys'] });
      onClose();
      await client.invalidateQueries({ queryKey: ['caller'] });
    },
  });
  const last = isLastingAdmin(apiKey) && keys.filter(isLastingAdmin).length === 1;
  return (
    <Confirm
      title="Revoke the key"
      action="Revoke"
      onConfirm={() => revoke.mutate()}
      onClose={onClose}
      busy={revoke.isPending}
      error={revoke.error}
    >
      <Stack gap="xs">
        <Text size="sm">
          Calls with the key <Name>{name}</Name> are refused, at the latest 2 seconds from then. This cannot
          be undone.
        </Text>
        {caller.name === name && (
          <Text size="sm" fw={600}>
            It is the key of this tab, so you will have to log in with another one.
          </Text>
        )}
        {last && (
          <Text size="sm" fw={600}>
            It is the last admin key that does not expire. Penstock refuses to revoke it unless
            PENSTOCK_ADMIN_KEY is set.
          </Text>
        )}
      </Stack>
    </Confirm>
  );
}
interface RevokeProps {
  apiKey: ApiKey;
  keys: readonly ApiKey[];
  onClose(): void;
}
