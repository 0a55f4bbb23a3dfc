import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { MergeView } from '@codemirror/merge';
import { Compartment, EditorState, type Extension } from '@codemirror/state';
import { EditorView, keymap, lineNumbers } from '@codemirror/view';
import { useComputedColorScheme } from '@mantine/core';
import { type ReactNode, useEffect, useMemo, useRef } from 'react';

/** CodeMirror: an editor for one text, and two texts side by side. Load this file lazily. */

export const nonce = (): string =>
  document.querySelector<HTMLMetaElement>('meta[property="csp-nonce"]')?.nonce ?? '';

const looks = (dark: boolean): Extension =>
  EditorView.theme({ '&': { fontSize: '13px' }, '.cm-scroller': { fontFamily: 'monospace' } }, { dark });

const common = (label: string): Extension[] => [
  EditorView.cspNonce.of(nonce()),
  EditorView.contentAttributes.of({ 'aria-label': label }),
  EditorView.lineWrapping,
  lineNumbers(),
];

export interface EditorProps {
  value: string;
  onChange?(value: string): void;
  /** Name for screen readers. */
  label: string;
  /** Keep the same array while they are the same. */
  extensions?: readonly Extension[];
  readOnly?: boolean;
  minHeight?: string;
}

const none: readonly Extension[] = [];
const maxReported = 100;

/** The text is the editor's own after the first; a new `value` that differs replaces it. */
export function Editor(props: EditorProps): ReactNode {
  const { value, onChange, label, extensions = none, readOnly = false, minHeight = '12rem' } = props;
  const host = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(null);
  const changed = useRef(onChange);
  changed.current = onChange;
  // Texts that were reported and have not come back: the user may type on before one does.
  const reported = useRef<string[]>([]);
  const fromOutside = useRef(false);
  const report = (text: string): void => {
    if (fromOutside.current) return;
    reported.current = [...reported.current, text].slice(-maxReported);
    changed.current?.(text);
  };
  const dark = useComputedColorScheme('light') === 'dark';
  const [theme, more] = useMemo(() => [new Compartment(), new Compartment()], []);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the view is made once; what may change follows below
  useEffect(() => {
    const made = new EditorView({
      parent: host.current as HTMLElement,
      state: EditorState.create({
        doc: value,
        extensions: [
          ...common(label),
          history(),
          keymap.of([...defaultKeymap, ...historyKeymap]),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) report(update.state.doc.toString());
          }),
          theme.of(looks(dark)),
          more.of([...extensions, EditorState.readOnly.of(readOnly)]),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
  }, []);
  useEffect(() => {
    const now = [...extensions, EditorState.readOnly.of(readOnly)];
    view.current?.dispatch({ effects: [theme.reconfigure(looks(dark)), more.reconfigure(now)] });
  }, [theme, more, dark, extensions, readOnly]);
  useEffect(() => {
    const current = view.current?.state.doc.toString();
    const back = reported.current.indexOf(value);
    reported.current.splice(0, current === value ? maxReported : back + 1);
    if (back >= 0 || !view.current || current === value) return;
    fromOutside.current = true;
    view.current.dispatch({ changes: { from: 0, to: current?.length ?? 0, insert: value } });
    fromOutside.current = false;
  }, [value]);
  return <div ref={host} className="editor" style={{ minHeight }} />;
}

/** Differences between two texts, side by side. */
export function Diff({ before, after, labels = ['Before', 'After'] }: DiffProps): ReactNode {
  const host = useRef<HTMLDivElement>(null);
  const dark = useComputedColorScheme('light') === 'dark';
  const [one, other] = labels;
  useEffect(() => {
    const side = (doc: string, label: string) => ({
      doc,
      extensions: [...common(label), looks(dark), EditorState.readOnly.of(true)],
    });
    const merge = new MergeView({
      a: side(before, one),
      b: side(after, other),
      parent: host.current as HTMLElement,
      collapseUnchanged: { margin: 3, minSize: 8 },
    });
    return () => merge.destroy();
  }, [before, after, dark, one, other]);
  return (
    <div>
      <div className="diff-labels">
        <span>{one}</span>
        <span>{other}</span>
      </div>
      <div ref={host} className="editor" />
    </div>
  );
}
interface DiffProps {
  before: string;
  after: string;
  labels?: [string, string];
}
