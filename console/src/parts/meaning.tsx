import { Anchor, Code, Modal, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { createElement, Fragment, type ReactNode } from 'react';
import { unchanging } from '../api/client.ts';
import { Loaded } from './parts.tsx';
import { visible } from './text.tsx';

/** An error code that opens its section of docs/errors.md. */
export function ErrorCode({ code }: { code: string }): ReactNode {
  const [open, { open: show, close }] = useDisclosure(false);
  return (
    <>
      <Anchor component="button" type="button" onClick={show} fz="inherit" ff="monospace" ta="left">
        {visible(code)}
      </Anchor>
      <Modal opened={open} onClose={close} title={<Code fz="md">{visible(code)}</Code>} size="lg">
        <Meaning code={code} />
      </Modal>
    </>
  );
}

function Meaning({ code }: { code: string }): ReactNode {
  const query = useQuery({
    queryKey: ['errors.md'],
    queryFn: async () => (await import('../../../docs/errors.md?raw')).default,
    ...unchanging,
  });
  return (
    <Loaded query={query}>
      {(text) => {
        const paragraphs = paragraphsOf(text, code);
        if (paragraphs.length === 0)
          return (
            <Text>This version of the console does not know the code. It may come from a newer one.</Text>
          );
        return (
          <Stack gap="sm">
            {paragraphs.map((paragraph) => (
              <Text key={paragraph}>{withCode(paragraph)}</Text>
            ))}
          </Stack>
        );
      }}
    </Loaded>
  );
}

function paragraphsOf(text: string, code: string): string[] {
  const [, ...sections] = text.split(/^## /m);
  const section = sections.find((one) => one.slice(0, one.indexOf('\n')).trim() === code);
  return (
    section
      ?.split(/\n\s*\n/)
      .slice(1)
      .filter((paragraph) => paragraph.trim() !== '') ?? []
  );
}

/** A paragraph whose words in backticks are shown as code. */
const withCode = (paragraph: string): ReactNode =>
  createElement(
    Fragment,
    {},
    ...paragraph.split('`').map((piece, at) => (at % 2 === 0 ? piece : createElement(Code, {}, piece))),
  );
