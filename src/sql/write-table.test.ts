import { expect, test } from 'vitest';
import { Findings } from './diagnostic.ts';
import { type JsonSchema, TableOptions } from './table-options.ts';
import { TokenReader } from './token-reader.ts';
import { tokenise } from './tokens.ts';
import { writeTable } from './write-table.ts';

const text = { type: 'string' };
const configSchema: JsonSchema = {
  properties: {
    login: {
      optionGroup: 'auth',
      oneOf: [
        { title: 'None', properties: {} },
        { title: 'SASL', properties: { protocol: text, userName: text }, required: ['protocol', 'userName'] },
      ],
    },
  },
};

function read(sql: string): object {
  const findings = new Findings(sql);
  const tokens = tokenise(sql, findings);
  const start = tokens.findIndex((token) => token.text.toLowerCase() === 'with') + 1;
  const options = new TableOptions(findings);
  options.read(new TokenReader(tokens.slice(start), { from: sql.length, to: sql.length }, findings));
  options.take('connector');
  const config = options.takeObject(configSchema);
  options.refuseRest();
  findings.settle();
  return config;
}

test.each([
  [{}, []],
  [
    { protocol: 'SASL_SSL', userName: "o'neil" },
    ["auth.protocol = 'SASL_SSL'", "auth.user_name = 'o''neil'"],
  ],
])('the options of a group are written as they are read: %j', (login, expected) => {
  const { sql, notes } = writeTable({
    ...{ name: 'a', connector: 'kafka', profileName: undefined, schema: {}, hasFixedColumns: true },
    config: { login },
    configSchema,
  });
  expect(notes).toEqual([]);
  for (const option of expected) expect(sql).toContain(option);
  expect(read(sql)).toEqual({ login });
});
