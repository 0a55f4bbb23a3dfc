import { expect, test } from 'vitest';
import { exampleCatalog, storedTable } from '../../test/support/example-catalog.ts';
import { diagnose } from './compile.ts';
import { connectEngine, engineError } from './engine/connection.ts';
import { documented, grammarFunctions, windowFunctions } from './function-docs.ts';
import { listFunctions } from './function-list.ts';

const catalog = exampleCatalog(
  storedTable('src', 'source', [{ name: 'n', type: 'int64' }]),
  storedTable('snk', 'sink', [{ name: 'v', type: 'string' }]),
);
const refused = /does not exist|not available|different value/;

const messagesOf = async (query: string): Promise<string[]> => {
  const result = await diagnose(query, catalog);
  return 'plan' in result ? [] : result.diagnostics.map(({ message }) => message);
};

const namesIn = (texts: object): Set<string> => new Set(Object.keys(texts).map(nameOf));
const inGrammar = namesIn(grammarFunctions);
const needOver = namesIn(windowFunctions);

test('DuckDB knows every function', async () => {
  const all = await listFunctions();
  expect(all.length).toBeGreaterThan(500);
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  const connection = await connectEngine();
  const unknown: string[] = [];
  for (const { name, signatures } of all) {
    expect(signatures.length, name).toBeGreaterThan(0);
    for (const signature of signatures) expect(signature).toMatch(new RegExp(`^${name}\\(.*\\)$`));
    // Quotes make a call of each name, also of a word of the grammar, which is then unknown.
    const call = inGrammar.has(name) ? `${name}(n${name === 'ifnull' ? ', n' : ''})` : `"${name}"(n)`;
    try {
      const over = needOver.has(name) ? ' OVER ()' : '';
      (await connection.prepare(`SELECT ${call}${over} FROM (SELECT 1 AS n)`)).destroySync();
    } catch (error) {
      const { message } = engineError(error);
      if (/does not exist|syntax/.test(message)) unknown.push(`${name}: ${message}`);
    }
  }
  connection.closeSync();
  expect(unknown).toEqual([]);
});

test('the checker refuses none of them as such, and refuses others', async () => {
  const all = await listFunctions();
  const scalars = all.filter(({ kind, name }) => kind === 'scalar' && !inGrammar.has(name));
  // Some lack a literal size, so that the checker reports all that it finds in all of them.
  const calls = scalars.map(({ name }) => `"${name}"(n) AS ${name}_`).join(', ');
  const messages = await messagesOf(`INSERT INTO snk SELECT ${calls} FROM src`);
  expect(messages).toContain('The size given to range must be a literal number of at most 1000');
  expect(messages.filter((message) => refused.test(message))).toEqual([]);
  const listed = new Set(all.map(({ name }) => name));
  for (const name of ['random', 'uuid', 'current_setting', 'getenv', 'pg_sleep', 'sleep_ms', 'nextval']) {
    expect(listed.has(name), name).toBe(false);
    const found = await messagesOf(`INSERT INTO snk SELECT CAST(${name}(n) AS TEXT) FROM src`);
    expect(
      found.some((message) => refused.test(message)),
      `${name}: ${found}`,
    ).toBe(true);
  }
});

test('every function with a description of ours is listed with it', async () => {
  const byName = new Map((await listFunctions()).map((one) => [one.name, one]));
  for (const [signature, description] of Object.entries({
    ...documented,
    ...grammarFunctions,
    ...windowFunctions,
  }))
    expect(byName.get(nameOf(signature))).toMatchObject({ signatures: [signature], description });
});

function nameOf(signature: string): string {
  return signature.slice(0, signature.indexOf('('));
}
