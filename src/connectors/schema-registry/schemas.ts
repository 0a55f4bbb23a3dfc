import { PenstockError } from '../../errors.ts';
import { usesRegistry } from '../../formats/confluent.ts';
import { lengthOf, type RegisteredSchema, type RegisteredSchemas } from '../../formats/registered.ts';
import type { ConnectionSchema } from '../../formats/schema/schema.ts';
import { badData } from '../../formats/values/bad.ts';
import { type ConnectorDefinition, noProfile, type Reachable } from '../connector.ts';
import { RegistryClient, type SubjectVersion } from './client.ts';
import { Kept } from './kept.ts';

/** Schemas by registry and id, which never changes its meaning, for all tables and attempts of a thread. */
const keptSchemas = new Kept<RegisteredSchema>(10_000, 64 * 1024 * 1024);
/** Ids of messages that were decoded without being loaded, by registry. */
const keptMissed = new Kept<Set<number>>(1000);
const maxMissed = 1000;
/** How long a schema that was missing is not asked for again, and how many of them. */
const missingMs = 10_000;
const maxMissing = 1000;
/** Number of requests at a time. */
const parallel = 4;
/** Number of batches whose schemas are there whatever is dropped: messages that run and dead letters share them. */
const maxBatches = 8;

type Found = RegisteredSchema | PenstockError;

/** The schemas of a registry by their ids. */
export class CachedSchemas implements RegisteredSchemas {
  readonly #client: RegistryClient;
  readonly #kept: Kept<RegisteredSchema>;
  /** Why messages of an id are bad. A schema may be registered later. */
  readonly #missing = new Kept<PenstockError>(maxMissing);
  readonly #missed: Set<number>;
  readonly #loading = new Map<number, Promise<Found>>();
  /** The schemas of the messages of the last batches, the newest first. */
  #batches: readonly Map<number, Found>[] = [];

  constructor(client: RegistryClient, kept = keptSchemas) {
    this.#client = client;
    this.#kept = kept;
    this.#missed = keptMissed.get(client.key) ?? new Set();
    keptMissed.put(client.key, this.#missed);
  }

  get(id: number): Found | undefined {
    const found = this.#known(id) ?? this.#batches.find((batch) => batch.has(id))?.get(id);
    // So that the next attempt does not end the same way.
    if (!found && this.#missed.size < maxMissed) this.#missed.add(id);
    return found;
  }

  load(ids: ReadonlySet<number>): Promise<void> | undefined {
    if (ids.size === 0 && this.#missed.size === 0) return undefined;
    const batch = new Map<number, Found>();
    const unknown: number[] = [];
    for (const id of new Set([...ids, ...this.#missed])) {
      const found = this.#known(id, missingMs);
      if (found) batch.set(id, found);
      else unknown.push(id);
    }
    this.#batches = [batch, ...this.#batches.slice(0, maxBatches - 1)];
    this.#missed.clear();
    return unknown.length === 0 ? undefined : this.#loadAll(unknown, batch);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #known(id: number, maxAgeMs = Infinity): Found | undefined {
    return this.#kept.get(this.#keyOf(id)) ?? this.#missing.get(String(id), maxAgeMs);
  }

  #keyOf = (id: number): string => `${this.#client.key} ${id}`;

  async #loadAll(ids: readonly number[], batch: Map<number, Found>): Promise<void> {
    const left = ids.values();
    let failed = false;
    const work = async (): Promise<void> => {
      for (const id of left) {
        if (failed) return;
        batch.set(id, await this.#loadOnce(id));
      }
    };
    const works = Array.from({ length: Math.min(parallel, ids.length) }, work);
    try {
      await Promise.all(works);
    } finally {
      failed = true;
    }
  }

  #loadOnce(id: number): Promise<Found> {
    const loading = this.#loading.get(id) ?? this.#load(id).finally(() => this.#loading.delete(id));
    this.#loading.set(id, loading);
    return loading;
  }

  async #load(id: number): Promise<Found> {
    const missing = (error: PenstockError): PenstockError => {
      this.#missing.put(String(id), error);
      return error;
    };
    try {
      const found = await this.#client.schema(id);
      if (!found) return missing(badData('', `has the schema id ${id}, which the registry does not have`));
      this.#kept.put(this.#keyOf(id), found, lengthOf(found));
      return found;
    } catch (error) {
      if (!(error instanceof PenstockError)) throw error;
      if (error.code === 'bad_data') return missing(error);
      if (error.code !== 'http_too_large') throw error;
      return missing(badData('', `has the schema id ${id}, whose schema is too large`));
    }
  }
}

/** A connector with a profile and a table, their secrets opened and variables replaced. */
export interface Connected extends Reachable<unknown> {
  connector: ConnectorDefinition;
  /** The `config` of the table; undefined for a profile alone. */
  config: unknown;
}

/** Where the registry of a connector is set. */
export const registryPlace = ({
  profile,
}: ConnectorDefinition): 'connection profile' | 'config of the table' =>
  profile === noProfile ? 'config of the table' : 'connection profile';

/** Throws `invalid_config` if no registry is named. `places`: see `RegistryClient`. */
export function registryClient(
  { connector, profile, config, targets }: Connected,
  signal: AbortSignal,
  places?: Kept<SubjectVersion>,
): RegistryClient {
  const registry = connector.registryOf?.(profile, config);
  if (registry) return new RegistryClient({ profile: registry, targets }, signal, places);
  const place = registryPlace(connector);
  throw new PenstockError('invalid_config', `The ${place} has no schema registry`, {
    hint: `Set the schema registry in the ${place}, or remove confluent_schema_registry from the format.`,
  });
}

/** Opens what the messages of a table are read with beside its schema. Undefined if they need nothing. */
export const openSchemas = (
  connected: Connected,
  schema: ConnectionSchema | undefined,
  signal: AbortSignal,
): CachedSchemas | undefined =>
  usesRegistry(schema?.format) ? new CachedSchemas(registryClient(connected, signal)) : undefined;
