import { PenstockError } from '../../src/errors.ts';
import { expandSchema } from '../../src/formats/codec.ts';
import type { Field } from '../../src/formats/schema/schema.ts';
import type { Catalog, InlineTable, TableDefinition } from '../../src/sql/plan.ts';

/** For tests: a catalog with a connector with `url`, `topic`, `qos` and `type`, and the given stored tables. */
export function exampleCatalog(...stored: TableDefinition[]): Catalog & { connected: InlineTable[] } {
  const connected: InlineTable[] = [];
  return {
    connected,
    async table(name, exact) {
      const same = stored.find((table) => table.name === name);
      return same ?? stored.find((table) => !exact && table.name.toLowerCase() === name.toLowerCase());
    },
    async tableNames() {
      return stored.map((table) => table.name);
    },
    async inline(table) {
      if (table.connector !== 'mqtt') {
        throw new PenstockError('unknown_connector', `There is no connector ${table.connector}`);
      }
      connected.push(table);
      const { options } = table;
      const [url, topic, qos] = [options.take('url'), options.take('topic'), options.takeInteger('qos')];
      const direction = options.take('type') === 'sink' ? 'sink' : 'source';
      const config = { topic, ...(qos === undefined ? {} : { qos }) };
      const metadata = [{ name: 'topic', type: 'string' } as const];
      return { direction, profile: { url, name: table.profileName }, config, metadata };
    },
  };
}

/** For tests: a stored table. */
export function storedTable(name: string, direction: 'source' | 'sink', fields: Field[]): TableDefinition {
  const schema = expandSchema({ format: { type: 'json' }, fields });
  return {
    name,
    connector: 'mqtt',
    direction,
    schema,
    stored: { tableId: `ct_${name}` },
    profile: {},
    config: {},
  };
}
