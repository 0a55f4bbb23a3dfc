import { Button, Group, SegmentedControl, Stack, Text, TextInput } from '@mantine/core';
import { IconDownload } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { type FormEvent, type ReactNode, useState } from 'react';
import { callText } from '../api/client.ts';
import { Automate } from '../parts/automate.tsx';
import { Problem } from '../parts/parts.tsx';
import { download, LongText, pretty } from '../parts/text.tsx';

type Format = 'yaml' | 'json';

/** Exports stored objects as a bundle: to read, and to keep as a file. */
export function ExportBundle(): ReactNode {
  const [selector, setSelector] = useState('');
  const [format, setFormat] = useState<Format>('yaml');
  const query = { format, ...(selector.trim() && { label_selector: selector.trim() }) };
  const exported = useMutation({
    mutationFn: async () => {
      const text = await callText('export', { query }, `application/${format}`);
      return { text: format === 'json' ? pretty(text) : text, format };
    },
  });
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    exported.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Group align="flex-end">
          <TextInput
            label="Label selector"
            description="As in app=overheating,site!=test. Empty exports everything."
            placeholder="app=overheating"
            value={selector}
            onChange={({ currentTarget }) => setSelector(currentTarget.value)}
            maxLength={1000}
            w={440}
            maw="100%"
          />
          <SegmentedControl
            aria-label="Format"
            value={format}
            onChange={(value) => setFormat(value as Format)}
            data={[
              { value: 'yaml', label: 'YAML' },
              { value: 'json', label: 'JSON' },
            ]}
          />
          <Button type="submit" loading={exported.isPending}>
            Export
          </Button>
          <Automate
            calls={[
              {
                title: 'Export a bundle',
                method: 'GET',
                path: `/api/v1/export?${new URLSearchParams(query)}`,
              },
            ]}
          />
        </Group>
        <Text size="sm" c="dimmed">
          Secrets are masked as ********. Where they are stored, the mask keeps them. Elsewhere, write them
          anew, or use variables.
        </Text>
        <Problem error={exported.error} />
        {exported.data && <Result {...exported.data} />}
      </Stack>
    </form>
  );
}

function Result({ text, format }: { text: string; format: Format }): ReactNode {
  const name = `penstock.${format}`;
  return (
    <div>
      <Button variant="default" leftSection={<IconDownload size={16} />} onClick={() => download(name, text)}>
        Download {name}
      </Button>
      <LongText text={text} label="Exported bundle" />
    </div>
  );
}
