import { describe, expect, test } from 'vitest';
import { readCreateTable } from '../../../sql/create-table.ts';
import { Findings } from '../../../sql/diagnostic.ts';
import { TokenReader } from '../../../sql/token-reader.ts';
import { tokenise } from '../../../sql/tokens.ts';
import { RedisTable } from './table.ts';

/** The table that the options of `WITH (…)` make. */
function tableOf(options: string): unknown {
  const sql = `CREATE TABLE t WITH (${options})`;
  const findings = new Findings(sql);
  const end = { from: sql.length, to: sql.length };
  return readCreateTable(new TokenReader(tokenise(sql, findings), end, findings)).options.takeObject(
    RedisTable,
  );
}

describe('SQL options', () => {
  test.each([
    ["type = 'sink', target = 'list', target.key_prefix = 'k'", { target: { listPrefix: 'k' } }],
    ["target = 'string', target.key_prefix = 'k'", { target: { keyPrefix: 'k' } }],
    [
      "type = 'sink', target.key_prefix = 'k', target.field_column = 'f'",
      { target: { hashKeyPrefix: 'k', hashFieldColumn: 'f' } },
    ],
    ["stream = 's', consumer_group = 'g'", { stream: 's', consumerGroup: 'g' }],
  ])('make a table: %s', (options, connectorType) => {
    expect(tableOf(options)).toEqual({ connectorType });
  });

  test.each([
    [
      "type = 'sink', target.key_prefix = 'k', target.ttl_secs = 5",
      'The option target is missing: it must be one of string, list, hash, stream',
    ],
    ["target.key_prefix = 'k'", 'The option type is missing: it must be one of sink, source'],
  ])('that leave the type of the keys open are refused: %s', (options, message) => {
    expect(() => tableOf(options)).toThrow(message);
  });
});
