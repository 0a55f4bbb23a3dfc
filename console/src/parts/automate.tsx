import { Button } from '@mantine/core';
import { IconTerminal2 } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import type { CommandsProps } from './commands.tsx';
import { later } from './lazy.tsx';

export type { Call } from './commands.tsx';

const Commands = later(async () => (await import('./commands.tsx')).Commands, 0);

interface AutomateProps extends CommandsProps {
  /** Text of the button. Default `Automate`. */
  label?: string;
}

/** A button that opens the commands of this page. */
export function Automate({ label = 'Automate', ...commands }: AutomateProps): ReactNode {
  /** Undefined before it was opened for the first time. */
  const [opened, setOpened] = useState<boolean>();
  return (
    <>
      <Button variant="default" leftSection={<IconTerminal2 size={16} />} onClick={() => setOpened(true)}>
        {label}
      </Button>
      {opened !== undefined && <Commands {...commands} opened={opened} onClose={() => setOpened(false)} />}
    </>
  );
}
