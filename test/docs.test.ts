import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connectors } from '../src/connectors/catalog.ts';

const root = join(import.meta.dirname, '..');
const pages = globSync(['*.md', 'docs/**/*.md', 'bench/*.md', 'examples/**/*.md', 'findings/*.md'], {
  cwd: root,
});
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

describe('the documents', () => {
  test('name only existing files', () => {
    // CHANGELOG may name files of the past.
    const gone = pages
      .filter((page) => page !== 'CHANGELOG.md')
      .flatMap((page) =>
        [...textOf(page).matchAll(/`((?:src|test|scripts|bench|docs|examples|prisma|openapi)\/[\w./-]*\w)`/g)]
          .map(([, path]) => path as string)
          .filter((path) => !existsSync(join(root, path)))
          .map((path) => `${page}: ${path}`),
      );
    expect(gone).toEqual([]);
  });

  test('link only to existing pages', () => {
    const broken = pages.flatMap((page) =>
      [...textOf(page).matchAll(/\]\(([^)#:\s]+)(?:#[^)]*)?\)/g)]
        .map(([, link]) => link as string)
        .filter((link) => !existsSync(join(root, dirname(page), link)))
        .map((link) => `${page}: ${link}`),
    );
    expect(broken).toEqual([]);
  });

  test.each(connectors.map((connector) => [connector.id, connector] as const))(
    'describe every field and metadata column of %s',
    (id, { profile, table, metadata }) => {
      const text = textOf(`docs/connectors/${id}.md`);
      const names = [...fieldsOf(profile), ...fieldsOf(table), ...metadata.map(({ name }) => name)];
      expect(names.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
    },
  );

  test('have no placeholder left', () => {
    const left = pages.filter((page) => /FAULT_TABLE|TODO|TBD|XXX|_PATH$/m.test(textOf(page)));
    expect(left).toEqual([]);
  });

  /** The registry finds a connector by its id, so no file before names its parts. */
  const isOfConnector = (file: string): boolean => file.startsWith('src/connectors/');

  /** The numbered files behind a sentence of CONTRIBUTING. */
  function readingPath(sentence: string): string[] {
    const text = textOf('CONTRIBUTING.md');
    const list = text.slice(text.indexOf(sentence) + sentence.length).split(/\n\n(?!\d)/)[0] as string;
    return [...list.matchAll(/^\d+\. `([^`]+)`/gm)].map(([, path]) => path as string);
  }

  test.each(['To follow one request', 'To follow one message'])(
    '%s, each file leads to the next',
    (sentence) => {
      const path = readingPath(sentence);
      expect(path.length).toBeGreaterThan(4);
      const seen: string[] = [];
      for (const file of path) {
        expect(existsSync(join(root, file)), file).toBe(true);
        // One of the files before it imports it, or names it at the border of a thread.
        const name = file.split('/').at(-1) as string;
        if (seen.length > 0 && !isOfConnector(file))
          expect(
            seen.some((earlier) => textOf(earlier).includes(name)),
            file,
          ).toBe(true);
        seen.push(file);
      }
    },
  );
});

interface ObjectSchema {
  properties?: Record<string, ObjectSchema>;
  anyOf?: ObjectSchema[];
}

/** The names of all properties, nested ones included. */
function fieldsOf(schema: object): string[] {
  const { properties = {}, anyOf = [] } = schema as ObjectSchema;
  return [
    ...Object.entries(properties).flatMap(([name, inner]) => [name, ...fieldsOf(inner)]),
    ...anyOf.flatMap(fieldsOf),
  ];
}
