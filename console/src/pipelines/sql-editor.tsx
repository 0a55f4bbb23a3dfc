import { startCompletion } from '@codemirror/autocomplete';
import { type Diagnostic, lintGutter, lintKeymap, setDiagnostics } from '@codemirror/lint';
import type { Extension, Text } from '@codemirror/state';
import { type EditorView, keymap, placeholder, ViewPlugin } from '@codemirror/view';
import { type ReactNode, type RefObject, useEffect, useImperativeHandle, useMemo, useRef } from 'react';
import type { Operations } from '../api/client.ts';
import { Editor } from '../parts/editor.tsx';
import { visible } from '../parts/text.tsx';
import { queryLanguage, type Vocabulary } from './sql-language.ts';

/** An editor for a query. Load this file lazily. */

export type Finding = Operations['validateQuery']['answer']['errors'][number];

export interface EditorHandle {
  /** Puts the cursor at the place of a finding. */
  goTo(finding: Finding): void;
}

export interface SqlEditorProps {
  value: string;
  onChange?: ((value: string) => void) | undefined;
  readOnly?: boolean | undefined;
  vocabulary: Vocabulary;
  /** Findings of the API; the editor moves their marks while the text changes. */
  errors: readonly Finding[];
  warnings: readonly Finding[];
  handle: RefObject<EditorHandle | null>;
}

/** Offset of a place whose line and column count from 1, columns in characters. */
function offsetOf(doc: Text, { line, column }: { line: number; column: number }): number {
  if (line > doc.lines) return doc.length;
  const { from, text } = doc.line(Math.max(1, line));
  return from + [...text].slice(0, column - 1).join('').length;
}

/** The part of the query that a finding is about; all of it if it has no place. */
export function rangeOf(doc: Text, { span }: Finding): { from: number; to: number } {
  if (!span) return { from: 0, to: doc.length };
  const from = offsetOf(doc, span.start);
  return { from, to: Math.max(from, offsetOf(doc, span.end)) };
}

const marksOf = (doc: Text, found: readonly Finding[], severity: 'error' | 'warning'): Diagnostic[] =>
  found.map((finding) => ({ ...rangeOf(doc, finding), severity, message: visible(finding.message) }));

const hint = placeholder('INSERT INTO sink SELECT … FROM source');

export function SqlEditor(props: SqlEditorProps): ReactNode {
  const { value, onChange, readOnly = false, vocabulary, errors, warnings, handle } = props;
  const view = useRef<EditorView | null>(null);
  const latest = useRef(vocabulary);
  latest.current = vocabulary;
  const extensions = useMemo<Extension[]>(
    () => [
      queryLanguage(() => latest.current),
      lintGutter(),
      keymap.of(lintKeymap),
      hint,
      ViewPlugin.define((made) => {
        view.current = made;
        return {};
      }),
    ],
    [],
  );
  // biome-ignore lint/correctness/useExhaustiveDependencies: names that come while a word is typed are offered
  useEffect(() => {
    const { current } = view;
    if (!current?.hasFocus) return;
    const { head } = current.state.selection.main;
    if (/\w/.test(current.state.sliceDoc(head - 1, head))) startCompletion(current);
  }, [vocabulary]);
  useImperativeHandle(handle, () => ({
    goTo(finding) {
      const { current } = view;
      if (!current) return;
      const { from } = rangeOf(current.state.doc, finding);
      current.dispatch({ selection: { anchor: from }, scrollIntoView: true });
      current.focus();
    },
  }));
  useEffect(() => {
    const { current } = view;
    if (!current) return;
    const { doc } = current.state;
    const marks = [...marksOf(doc, errors, 'error'), ...marksOf(doc, warnings, 'warning')];
    current.dispatch(setDiagnostics(current.state, marks));
  }, [errors, warnings]);
  return (
    <Editor
      value={value}
      {...(onChange && { onChange })}
      label="Query"
      readOnly={readOnly}
      extensions={extensions}
      minHeight="16rem"
    />
  );
}
