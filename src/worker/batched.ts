import { asPenstockError, isDatabaseFailure } from '../errors.ts';

/** SQLite allows no more than 1,000 conditions in a statement. */
const maxTogether = 200;

interface Call<K, V> {
  key: K;
  resolve(value: V): void;
  reject(error: unknown): void;
}

/**
 * Returns a function that does for several callers at once what they ask for in the same turn of the event loop, or while an
 * earlier call is under way. `work` returns the value of each key. If it fails for a reason that may concern one of them only,
 * it is called again for each.
 */
export function batched<K, V>(work: (keys: readonly K[]) => Promise<(key: K) => V>): (key: K) => Promise<V> {
  const waiting: Call<K, V>[] = [];
  let busy = false;
  const settle = async (calls: readonly Call<K, V>[]): Promise<void> => {
    try {
      const read = await work(calls.map(({ key }) => key));
      for (const { key, resolve } of calls) resolve(read(key));
    } catch (error) {
      if (calls.length > 1 && !isDatabaseFailure(asPenstockError(error)))
        for (const call of calls) await settle([call]);
      else for (const { reject } of calls) reject(error);
    }
  };
  const run = async (): Promise<void> => {
    while (waiting.length > 0) await settle(waiting.splice(0, maxTogether));
    busy = false;
  };
  return (key) => {
    const { promise, resolve, reject } = Promise.withResolvers<V>();
    waiting.push({ key, resolve, reject });
    if (!busy) {
      busy = true;
      setImmediate(() => void run());
    }
    return promise;
  };
}

/** The same, one for each `owner` such as a database. */
export function batchedBy<O extends object, K, V>(
  work: (owner: O, keys: readonly K[]) => Promise<(key: K) => V>,
): (owner: O, key: K) => Promise<V> {
  const known = new WeakMap<O, (key: K) => Promise<V>>();
  return (owner, key) => {
    const call = known.get(owner) ?? batched((keys: readonly K[]) => work(owner, keys));
    known.set(owner, call);
    return call(key);
  };
}

/** Changes of the columns of one row. */
export interface RowChange {
  id: string;
  epoch: number;
  data: Record<string, unknown>;
}

/**
 * Puts changes together that differ in their `times` only. Each then has those of the last one. `rows` finds those rows of them whose
 * epoch is still the same.
 */
export function alike(changes: readonly RowChange[], times: readonly string[]) {
  const key = ({ epoch, data }: RowChange): string =>
    JSON.stringify(
      [
        ['epoch', epoch],
        ...Object.entries(data)
          .map(([name, value]) => (times.includes(name) ? [name] : [name, value]))
          .sort(),
      ],
      (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value),
    );
  return [...Map.groupBy(changes, key).values()].map((same) => ({
    // A list of ids, because Prisma would keep a plan for each number of conditions in an OR.
    rows: { epoch: same[0]?.epoch ?? 0, id: { in: same.map(({ id }) => id) } },
    data: same.at(-1)?.data ?? {},
  }));
}
