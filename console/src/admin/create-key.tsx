import { Alert, Button, Code, Group, Modal, Radio, Select, Stack, Text, TextInput } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { makesKey, type Role, useCaller } from '../api/caller.tsx';
import { call, keepKey, type Operations } from '../api/client.ts';
import { nowMicros } from '../api/clock.ts';
import { Problem } from '../parts/parts.tsx';
import { Copy, Name } from '../parts/text.tsx';

/** Makes an API key, and shows it once. */

type NewKey = Operations['createApiKey']['answer'];

const roles: [Role, string][] = [
  ['viewer', 'Reads everything except keys and the audit log. Secrets are masked.'],
  ['operator', 'Also tests, creates, changes and deletes, and starts and stops pipelines.'],
  ['admin', 'Also makes and revokes keys, and reads the audit log.'],
];

const dayMicros = 86_400_000_000;
const days = {
  '1': '1 day',
  '30': '30 days',
  '90': '90 days',
  '365': '1 year',
  never: 'Never',
  date: 'On a date',
};

export function CreateKey({ onClose }: { onClose(): void }): ReactNode {
  const [made, setMade] = useState<NewKey>();
  return (
    <Modal
      opened
      onClose={onClose}
      title={made === undefined ? 'Create a key' : 'The new key'}
      closeOnClickOutside={false}
      closeOnEscape={made === undefined}
      withCloseButton={made === undefined}
    >
      {made === undefined ? <Form onMade={setMade} /> : <Made made={made} onClose={onClose} />}
    </Modal>
  );
}

function Form({ onMade }: { onMade(made: NewKey): void }): ReactNode {
  const { keysRequired } = useCaller();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>(keysRequired ? 'viewer' : 'admin');
  const [expiry, setExpiry] = useState(keysRequired ? '365' : 'never');
  const [date, setDate] = useState('');
  const create = useCreate(onMade);
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    const expires_at =
      expiry === 'never'
        ? null
        : expiry === 'date'
          ? new Date(date).getTime() * 1000
          : nowMicros() + Number(expiry) * dayMicros;
    create.mutate({ name: name.trim(), role, expires_at });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        {!keysRequired && (
          <Alert variant="light" title="This is the first key">
            It must be an admin key that does not expire. As soon as it exists, every call needs a key. This
            tab uses it at once.
          </Alert>
        )}
        <TextInput
          label="Name"
          description="Who or what uses it. The audit log names it."
          value={name}
          onChange={({ currentTarget }) => setName(currentTarget.value)}
          maxLength={100}
          required
          data-autofocus
        />
        <Radio.Group label="Role" value={role} onChange={(value) => setRole(value as Role)}>
          <Stack gap="xs" mt="xs">
            {roles.map(([value, description]) => (
              <Radio key={value} value={value} label={value} description={description} />
            ))}
          </Stack>
        </Radio.Group>
        <Select
          label="Expires"
          data={Object.entries(days).map(([value, label]) => ({ value, label }))}
          value={expiry}
          onChange={(value) => value !== null && setExpiry(value)}
          allowDeselect={false}
        />
        {expiry === 'date' && (
          <TextInput
            type="datetime-local"
            label="Date and local time"
            value={date}
            onChange={({ currentTarget }) => setDate(currentTarget.value)}
            required
          />
        )}
        <Problem error={create.error} />
        <Group justify="flex-end">
          <Button type="submit" loading={create.isPending}>
            Create the key
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

function useCreate(onMade: (made: NewKey) => void) {
  const { keysRequired } = useCaller();
  const client = useQueryClient();
  return useMutation({
    mutationKey: makesKey,
    mutationFn: async (body: Operations['createApiKey']['body']) => {
      await client.cancelQueries({ queryKey: ['caller'] });
      return call('createApiKey', { body });
    },
    // The result would stay in memory otherwise.
    gcTime: 0,
    onSuccess: (made) => {
      // From now on every call needs a key, also those of this tab.
      if (!keysRequired) keepKey(made.key);
      onMade(made);
      void client.invalidateQueries({ queryKey: ['api-keys'] });
      void client.invalidateQueries({ queryKey: ['caller'] });
    },
  });
}

function Made({ made: { key, name, role }, onClose }: { made: NewKey; onClose(): void }): ReactNode {
  return (
    <Stack>
      <Text size="sm">
        Copy the key of <Name>{name}</Name> ({role}) now. Penstock stores only its hash and cannot show it
        again.
      </Text>
      <Group wrap="nowrap" gap="xs">
        <Code block aria-label="Key" style={{ overflowWrap: 'anywhere', whiteSpace: 'pre-wrap' }}>
          {key}
        </Code>
        <Copy value={key} label="Copy the key" />
      </Group>
      <Group justify="flex-end">
        <Button onClick={onClose}>I have copied it</Button>
      </Group>
    </Stack>
  );
}
