import { MultiSelect } from '@mantine/core';
import type { ReactNode } from 'react';

interface LabelSelectProps {
  known: string[];
  labels: string[];
  onLabels(labels: string[]): void;
}

export function LabelSelect({ known, labels, onLabels }: LabelSelectProps): ReactNode {
  return (
    <MultiSelect
      aria-label="Labels"
      placeholder={labels.length === 0 ? 'Labels' : ''}
      data={known}
      value={labels}
      onChange={onLabels}
      searchable
      clearable
      limit={50}
      w={{ base: '100%', sm: 260 }}
    />
  );
}
