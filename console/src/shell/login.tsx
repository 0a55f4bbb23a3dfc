import { Button, Center, Paper, PasswordInput, Stack, Text, Title } from '@mantine/core';
import { type FormEvent, type ReactNode, useState } from 'react';
import { Problem } from '../parts/parts.tsx';

/** Asks for an API key. `refused` is the error of the key that was tried last. */
export function Login({ onKey, refused }: { onKey(key: string): void; refused: unknown }): ReactNode {
  const [key, setKey] = useState('');
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (key.trim()) onKey(key.trim());
  };
  return (
    <Center mih="100vh" p="md" component="main">
      <Paper withBorder p="xl" w="100%" maw={420}>
        <form onSubmit={submit}>
          <Stack>
            <Title order={1} size="h3">
              Penstock
            </Title>
            <PasswordInput
              label="API key"
              description="It is kept in this tab until you close it."
              value={key}
              onChange={({ currentTarget }) => setKey(currentTarget.value)}
              autoComplete="off"
              data-autofocus
              autoFocus
              required
            />
            <Problem error={refused} title="This key was refused" />
            <Button type="submit">Log in</Button>
            <Text size="sm" c="dimmed">
              An administrator makes keys on the page “API keys”, or with penstock keys create.
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
