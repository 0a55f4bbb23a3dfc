import { Anchor, Button, Modal, Stack } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { type ReactNode, useState } from 'react';
import { DialogButtons } from '../parts/buttons.tsx';
import { count } from '../parts/format.ts';
import { Problem } from '../parts/parts.tsx';
import { Name } from '../parts/text.tsx';

/** Pieces that the pages of this folder share. */

interface ConfirmProps {
  title: string;
  /** Text of the button that does it. */
  action: string;
  onConfirm(): void;
  onClose(): void;
  busy: boolean;
  error: unknown;
  /** Says what happens then. */
  children: ReactNode;
}

/** Asks before something that cannot be undone, or that others notice. */
export function Confirm(props: ConfirmProps): ReactNode {
  const { title, action, onConfirm, onClose, busy, error, children } = props;
  return (
    <Modal opened onClose={onClose} title={title}>
      <Stack>
        {children}
        <Problem error={error} />
        <DialogButtons color="red" {...{ action, busy, onConfirm }} onCancel={onClose} />
      </Stack>
    </Modal>
  );
}

const pages = { pl: '/pipelines/$id', ct: '/tables/$id', cp: '/connections/$id' } as const;

/** A link to the page of an object, found by its id. Other ids are shown as text. */
export function ObjectLink({ id, children, inText = false }: ObjectLinkProps): ReactNode {
  const prefix = id.split('_')[0] as keyof typeof pages;
  const text = <Name>{children ?? id}</Name>;
  if (!id.includes('_') || !Object.hasOwn(pages, prefix)) return text;
  return (
    <Anchor
      component={Link}
      to={pages[prefix] as string}
      params={{ id } as never}
      inherit
      underline={inText ? 'always' : 'hover'}
    >
      {text}
    </Anchor>
  );
}

interface ObjectLinkProps {
  id: string;
  /** Its name; the id if left out. */
  children?: string;
  /** Whether it is part of a sentence, where its color alone would not tell it. */
  inText?: boolean;
}

const step = 100;

/** The first rows of a long list, and a button for more. */
export function useFirst<T>(all: readonly T[]): { first: readonly T[]; more: ReactNode } {
  const [shown, setShown] = useState(step);
  const more =
    all.length > shown ? (
      <Button variant="subtle" size="compact-sm" onClick={() => setShown(shown + step)}>
        Show more ({count(all.length - shown)} left)
      </Button>
    ) : null;
  return { first: all.slice(0, shown), more };
}
