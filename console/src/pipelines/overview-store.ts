import { useMemo, useSyncExternalStore } from 'react';
import type { OverviewEntry, OverviewEvent } from '../api/client.ts';

/** All pipelines as the overview stream tells them. A row listens to its own pipeline, so an update renders what changed. */

type Told = () => void;

interface Held {
  entry: OverviewEntry;
  /** Text that a search looks through. */
  text: string;
  labels: readonly string[];
}

const labelsOf = ({ labels }: OverviewEntry): string[] =>
  Object.entries(labels).map(([name, value]) => `${name}=${value}`);

function heldOf(entry: OverviewEntry): Held {
  const labels = labelsOf(entry);
  const errors = [entry.failure?.code ?? '', entry.last_error?.code ?? ''];
  const text = [entry.name, entry.id, ...labels, ...entry.workers, ...errors].join('\n').toLowerCase();
  return { entry, text, labels };
}

const collator = new Intl.Collator('en', { numeric: true });

export class OverviewStore {
  readonly #held = new Map<string, Held>();
  readonly #rows = new Map<string, Set<Told>>();
  readonly #all = new Set<Told>();
  /** Ids that the whole has named so far, while it is sent. */
  #named: Set<string> | undefined;
  #ranks: Map<string, number> | undefined;
  #version = 0;
  #at: number | undefined;

  /** A new stream begins: it sends the whole first. Former values stay until then. */
  readonly begin = (): void => {
    this.#named = new Set();
  };

  readonly apply = ({ name, at, more, pipelines, deleted }: OverviewEvent): void => {
    const gone = [...deleted];
    for (const entry of pipelines) {
      if (this.#held.get(entry.id)?.entry.name !== entry.name) this.#ranks = undefined;
      this.#held.set(entry.id, heldOf(entry));
      this.#named?.add(entry.id);
    }
    if (name === 'all' && !more) {
      for (const id of this.#held.keys()) if (this.#named && !this.#named.has(id)) gone.push(id);
      this.#named = undefined;
    }
    for (const id of gone) if (this.#held.delete(id)) this.#ranks = undefined;
    if (!more) this.#at = at;
    this.#version++;
    for (const id of [...pipelines.map((entry) => entry.id), ...gone])
      for (const told of this.#rows.get(id) ?? []) told();
    for (const told of this.#all) told();
  };

  get version(): number {
    return this.#version;
  }

  /** Time of the newest values (Unix microseconds). Undefined until the whole has come once. */
  get at(): number | undefined {
    return this.#at;
  }

  readonly entry = (id: string): OverviewEntry | undefined => this.#held.get(id)?.entry;

  get held(): Iterable<Held> {
    return this.#held.values();
  }

  get size(): number {
    return this.#held.size;
  }

  /** Place of each pipeline in the order of names. */
  get ranks(): ReadonlyMap<string, number> {
    this.#ranks ??= new Map(
      [...this.#held.values()]
        .sort((a, b) => collator.compare(a.entry.name, b.entry.name))
        .map(({ entry }, rank) => [entry.id, rank]),
    );
    return this.#ranks;
  }

  readonly subscribe = (told: Told): Told => {
    this.#all.add(told);
    return () => this.#all.delete(told);
  };

  subscribeRow(id: string, told: Told): Told {
    const listeners = this.#rows.get(id) ?? new Set();
    this.#rows.set(id, listeners.add(told));
    return () => {
      listeners.delete(told);
      if (listeners.size === 0 && this.#rows.get(id) === listeners) this.#rows.delete(id);
    };
  }
}

export type Column =
  | 'name'
  | 'state'
  | 'messages_in'
  | 'messages_out'
  | 'lag'
  | 'latency'
  | 'errors'
  | 'dead_letters';

export interface Filter {
  search: string;
  /** Any of these; all if empty. */
  states: readonly string[];
  /** All of these, each as `name=value`. */
  labels: readonly string[];
  column: Column;
  descending: boolean;
}

/** States by how much they ask for attention. */
const urgency = ['Failed', 'Failing', 'Recovering', 'Restarting', 'Scheduling', 'Stopping', 'Finishing'];
const recentMicros = 5 * 60_000_000;
const calm = ['Running', 'Created', 'Stopped', 'Finished'];

function urgencyOf({ state, last_error: error }: OverviewEntry, at: number): number {
  const rank = urgency.indexOf(state);
  if (rank >= 0) return rank;
  if (state === 'Running' && error && at - error.at < recentMicros) return urgency.length;
  return urgency.length + 1 + calm.indexOf(state);
}

const keys: Record<Exclude<Column, 'name' | 'state'>, (entry: OverviewEntry) => number> = {
  messages_in: (entry) => entry.messages_in_per_second,
  messages_out: (entry) => entry.messages_out_per_second,
  lag: (entry) => entry.lag_ms ?? -1,
  latency: (entry) => entry.latency_p99_ms ?? -1,
  errors: (entry) => entry.bad + entry.reconnects,
  dead_letters: (entry) => entry.dead_letters,
};

export interface View {
  /** Ids of the rows in their order. */
  ids: readonly string[];
  /** Number of pipelines in each state, of those that match the search and the labels. */
  states: Readonly<Record<string, number>>;
  /** Number of these. */
  found: number;
}

const nothing: View = { ids: [], states: {}, found: 0 };

function viewOf(store: OverviewStore, filter: Filter): View {
  const words = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  const states: Record<string, number> = {};
  const shown: { id: string; key: number; rank: number }[] = [];
  const { ranks, at = 0 } = store;
  const { column } = filter;
  let found = 0;
  for (const { entry, text, labels } of store.held) {
    if (!words.every((word) => text.includes(word))) continue;
    if (!filter.labels.every((label) => labels.includes(label))) continue;
    found++;
    states[entry.state] = (states[entry.state] ?? 0) + 1;
    if (filter.states.length > 0 && !filter.states.includes(entry.state)) continue;
    const rank = ranks.get(entry.id) ?? 0;
    const key = column === 'name' ? rank : column === 'state' ? urgencyOf(entry, at) : keys[column](entry);
    shown.push({ id: entry.id, key, rank });
  }
  const sign = filter.descending ? -1 : 1;
  shown.sort((a, b) => sign * (a.key - b.key) || a.rank - b.rank);
  return { ids: shown.map(({ id }) => id), states, found };
}

const sameList = (one: readonly string[], other: readonly string[]): boolean =>
  one.length === other.length && one.every((id, at) => id === other[at]);

function sameView(one: View, other: View): boolean {
  return sameList(one.ids, other.ids) && JSON.stringify(one.states) === JSON.stringify(other.states);
}

/** Selects by a filter. The result stays the same object while it is equal. */
export function useView(store: OverviewStore, filter: Filter): View {
  const read = useMemo(() => {
    let version: number | undefined;
    let last = nothing;
    return (): View => {
      if (version === store.version) return last;
      version = store.version;
      const next = viewOf(store, filter);
      if (!sameView(last, next)) last = next;
      return last;
    };
  }, [store, filter]);
  return useSyncExternalStore(store.subscribe, read);
}

export function useEntry(store: OverviewStore, id: string): OverviewEntry | undefined {
  const subscribe = useMemo(() => (told: Told) => store.subscribeRow(id, told), [store, id]);
  return useSyncExternalStore(subscribe, () => store.entry(id));
}

const maxLabels = 200;

/** Labels of all pipelines, as `name=value`. */
export function useLabels(store: OverviewStore): readonly string[] {
  const read = useMemo(() => {
    let version: number | undefined;
    let last: readonly string[] = [];
    return (): readonly string[] => {
      if (version === store.version) return last;
      version = store.version;
      const all = new Set<string>();
      for (const { labels } of store.held)
        for (const label of labels) if (all.size < maxLabels) all.add(label);
      const next = [...all].sort(collator.compare);
      if (!sameList(last, next)) last = next;
      return last;
    };
  }, [store]);
  return useSyncExternalStore(store.subscribe, read);
}

export const useSize = (store: OverviewStore): number =>
  useSyncExternalStore(store.subscribe, () => store.size);
export const useAt = (store: OverviewStore): number | undefined =>
  useSyncExternalStore(store.subscribe, () => store.at);
