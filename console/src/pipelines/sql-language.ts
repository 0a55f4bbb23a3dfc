import {
  autocompletion,
  type Completion,
  type CompletionContext,
  type CompletionResult,
  type CompletionSource,
  closeBrackets,
  closeBracketsKeymap,
} from '@codemirror/autocomplete';
import {
  keywordCompletionSource,
  SQLDialect,
  type SQLNamespace,
  schemaCompletionSource,
} from '@codemirror/lang-sql';
import { bracketMatching, HighlightStyle, syntaxHighlighting, syntaxTree } from '@codemirror/language';
import type { Extension } from '@codemirror/state';
import { EditorView, keymap } from '@codemirror/view';
import { tags } from '@lezer/highlight';
import type { ConnectionTable, Field, SqlFunction } from '../api/client.ts';
import { visible } from '../parts/text.tsx';

/** The SQL of queries for CodeMirror: colours, and completion of what a query can name. */

export interface Vocabulary {
  tables: readonly ConnectionTable[];
  functions: readonly SqlFunction[];
  /** Metadata of messages, for `METADATA FROM '…'`. */
  metadata: readonly { name: string; type: string; description: string }[];
}

type Read = () => Vocabulary;

/** Makes a function that computes again only for another vocabulary. */
function derived<T>(make: (vocabulary: Vocabulary) => T): (vocabulary: Vocabulary) => T {
  let last: { of: Vocabulary; made: T } | undefined;
  return (vocabulary) => {
    if (last?.of !== vocabulary) last = { of: vocabulary, made: make(vocabulary) };
    return last.made;
  };
}

const keywords =
  'all and as asc at between by case cast create cross current_date current_timestamp desc distinct else end ' +
  'event_time_field except exclude exists false filter first following for from full generated always group having ' +
  'if ignore in inner insert intersect interval into is join key last left like ilike metadata not null nulls on or ' +
  'order outer over partition preceding primary range respect right row rows select set similar stored table ' +
  'temporary then to true try_cast unbounded union unnest updating_ttl max_state_bytes using values view virtual ' +
  'watermark when when_state_full where window with within';
const types =
  'bigint blob boolean bytea date decimal double float int integer json real smallint struct text timestamp ' +
  'timestamptz tinyint ubigint uinteger unsigned varchar array';

const dialect = SQLDialect.define({
  keywords,
  types,
  builtin: '',
  operatorChars: '*+-%<>!=&|~^/?:',
  specialVar: '',
  identifierQuotes: '"',
  caseInsensitiveIdentifiers: true,
});

const reserved = new Set(keywords.split(' '));

/** A name as a query writes it. */
const quoted = (name: string): string =>
  /^[a-z_]\w*$/i.test(name) && !reserved.has(name.toLowerCase()) ? name : `"${name.replaceAll('"', '""')}"`;

const columnOf = (field: Field, table?: string): Completion => ({
  label: visible(field.name),
  apply: quoted(field.name),
  type: 'property',
  detail: [
    field.sql_name ?? field.type,
    field.metadata_key ? `from metadata ${field.metadata_key}` : undefined,
    table === undefined ? undefined : visible(table),
  ]
    .filter(Boolean)
    .join(' · '),
});

const tableOf = ({ name, table_type, connector }: ConnectionTable): Completion => ({
  label: visible(name),
  apply: quoted(name),
  type: table_type === 'source' ? 'class' : 'interface',
  detail: `${connector} ${table_type}`,
});

const functionOf = ({ name, kind, signatures, description }: SqlFunction): Completion => ({
  label: name,
  apply: `${name}(`,
  type: 'function',
  detail: kind === 'scalar' ? 'function' : `${kind} function`,
  info: [...signatures.slice(0, 8), description].filter(Boolean).join('\n'),
});

/** Columns and members of structs, for the names behind a dot. */
const namespaceOf = (fields: readonly Field[]): SQLNamespace =>
  Object.fromEntries(
    fields.map((field) => [
      field.name.replaceAll('.', '\\.'),
      { self: columnOf(field), children: namespaceOf(field.fields ?? []) },
    ]),
  );

const maxColumns = 2000;

/** Whether a text names a table: as a word, or in quotes. */
const names = (text: string, name: string): boolean => {
  const at = text.toLowerCase().indexOf(name.toLowerCase());
  return at >= 0 && !/\w/.test(`${text[at - 1] ?? ''}${text[at + name.length] ?? ''}`);
};

/** Views and tables that the query itself creates. */
const createdIn = (text: string): Completion[] =>
  [...text.matchAll(/\bcreate\s+(?:temporary\s+)?(table|view)\s+(?:if\s+not\s+exists\s+)?("[^"]+"|\w+)/gi)]
    .slice(0, 100)
    .map(([, kind, name]) => ({
      label: (name as string).replaceAll('"', ''),
      apply: name as string,
      type: 'class',
      detail: `${kind?.toLowerCase()} of this query`,
    }));

/** Tables, columns and functions for a word that follows no dot. */
function words(read: Read): (context: CompletionContext) => CompletionResult | null {
  const callsOf = derived(({ functions }) => functions.map(functionOf));
  return (context) => {
    const { tables } = read();
    const calls = callsOf(read());
    const word = context.matchBefore(/"?\w*$/);
    if (!word || (word.from === word.to && !context.explicit && !isAfterClause(context, word.from)))
      return null;
    if (context.state.sliceDoc(word.from - 1, word.from) === '.' || isInText(context)) return null;
    const before = context.state.sliceDoc(Math.max(0, word.from - 2000), word.from);
    const result = (options: Completion[]): CompletionResult => ({
      from: word.from,
      options,
      validFor: /^"?\w*$/,
    });
    if (/\binto\s+$/i.test(before))
      return result(tables.filter(({ table_type }) => table_type === 'sink').map(tableOf));
    const sources = tables.filter(({ table_type }) => table_type === 'source');
    const readable = [...sources.map(tableOf), ...createdIn(context.state.doc.toString())];
    if (/\b(?:from|join)\s+$/i.test(before)) return result(readable);
    return result([...columnsFor(context, sources), ...readable, ...calls]);
  };
}

const isAfterClause = (context: CompletionContext, at: number): boolean =>
  /\b(?:into|from|join)\s$/i.test(context.state.sliceDoc(Math.max(0, at - 8), at));

const isInText = ({ state, pos }: CompletionContext): boolean =>
  /String|Comment/.test(syntaxTree(state).resolveInner(pos, -1).name);

/** The columns of the sources that the statement names; those of all sources if it names none yet. */
function columnsFor({ state, pos }: CompletionContext, sources: readonly ConnectionTable[]): Completion[] {
  const text = state.doc.toString();
  const statement = text.slice(text.lastIndexOf(';', pos - 1) + 1).split(';', 1)[0] ?? '';
  const named = sources.filter(({ name }) => names(statement, name));
  const inQuery = named.length > 0 ? named : sources.filter(({ name }) => names(text, name));
  const chosen = inQuery.length > 0 ? inQuery : sources;
  return chosen
    .flatMap(({ name, schema }) =>
      (schema.fields ?? []).map((field) => ({ ...columnOf(field, name), boost: 50 })),
    )
    .slice(0, maxColumns);
}

/** Columns behind a table's name or its alias, and members of structs. */
function members(read: Read): CompletionSource {
  const sourceOf = derived(({ tables }) => {
    const schema = Object.fromEntries(
      tables.map((table) => [
        table.name.replaceAll('.', '\\.'),
        { self: tableOf(table), children: namespaceOf(table.schema.fields ?? []) },
      ]),
    );
    return schemaCompletionSource({ dialect, schema });
  });
  return (context) => (context.matchBefore(/\.\s*"?\w*$/) ? sourceOf(read())(context) : null);
}

/** Keys of metadata inside `METADATA FROM '…'`. */
function metadataKeys(read: Read): CompletionSource {
  const optionsOf = ({ metadata }: Vocabulary): Completion[] =>
    metadata.map(({ name, type, description }) => ({
      label: name,
      type: 'constant',
      detail: type,
      info: description,
    }));
  return (context) => {
    const found = context.matchBefore(/\bmetadata\s+from\s+'[\w.]*$/i);
    if (!found) return null;
    const from = found.from + found.text.indexOf("'") + 1;
    return { from, options: optionsOf(read()), validFor: /^[\w.]*$/ };
  };
}

const keywordsOnly = (): CompletionSource => {
  const source = keywordCompletionSource(dialect, true, (label, type) => ({ label, type, boost: -20 }));
  return (context) =>
    isInText(context) ||
    context.matchBefore(/\.\w*$/) ||
    isAfterClause(context, context.matchBefore(/\w*$/)?.from ?? 0)
      ? null
      : source(context);
};

const colors = HighlightStyle.define([
  { tag: tags.keyword, color: 'light-dark(#7b1fa2, #d8b4fe)', fontWeight: '600' },
  { tag: [tags.typeName, tags.standard(tags.name)], color: 'light-dark(#00658a, #7dd3fc)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'light-dark(#1b6e20, #a5d6a7)' },
  { tag: [tags.number, tags.bool, tags.null], color: 'light-dark(#a3410a, #ffcc99)' },
  { tag: tags.comment, color: 'light-dark(#5f6770, #a8b0b8)', fontStyle: 'italic' },
]);

const looks = EditorView.theme({
  '.cm-placeholder': { color: 'var(--mantine-color-dimmed)' },
  '.cm-completionInfo': { whiteSpace: 'pre-wrap', maxWidth: '28rem' },
  '.cm-completionDetail': { fontStyle: 'normal', opacity: '0.8' },
  '.cm-content': { minHeight: 'inherit' },
  '.cm-scroller': { minHeight: 'inherit' },
});

/** Colours, brackets and completion. `read` returns the names as they are known now: the sources stay the same. */
export function queryLanguage(read: Read): Extension {
  const sources = [words(read), members(read), metadataKeys(read), keywordsOnly()];
  return [
    dialect.extension,
    sources.map((autocomplete) => dialect.language.data.of({ autocomplete })),
    syntaxHighlighting(colors),
    bracketMatching(),
    closeBrackets(),
    keymap.of(closeBracketsKeymap),
    autocompletion({ maxRenderedOptions: 60 }),
    looks,
  ];
}
