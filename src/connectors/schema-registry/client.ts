import { PenstockError } from '../../errors.ts';
import type { RegisteredSchema, SchemaType, WrittenSchema } from '../../formats/registered.ts';
import { badData } from '../../formats/values/bad.ts';
import type { Reachable } from '../connector.ts';
import { NotRegistry, RegistryApi, shown } from './api.ts';
import { Kept, keyOf, registryKey } from './kept.ts';
import type { SchemaRegistry } from './profile.ts';

/** The API of Confluent's schema registry, which others offer too. */

/** Bounds of what one schema refers to, directly or not. */
const maxReferences = 100;
const maxReferencedLength = 4 * 1024 * 1024;
/** How long the place of a schema that others refer to is not looked up again. */
const placeMs = 600_000;

interface Reference {
  name: string;
  subject: string;
  version: number;
}

/** A schema as the registry returns it. */
interface StoredSchema {
  type: string;
  schema: string;
  references: readonly Reference[];
}

/** Schemas that others refer to; a version of a subject never changes its meaning. */
const keptVersions = new Kept<StoredSchema>(10_000, 32 * 1024 * 1024);

export interface SubjectVersion {
  id: number;
  version: number;
}

/** A schema to look up or register, with the places of those that it refers to. */
interface SchemaBody {
  schema: string;
  schemaType: SchemaType;
  references: readonly Reference[];
}

/** How to find the place of a schema in its subject. */
interface Placing {
  type: SchemaType;
  /** Whether to register it, and what it refers to, if it is not there. */
  register: boolean;
  /** The places of what it refers to, as far as they are known; undefined for one that is not there. */
  places: Map<string, SubjectVersion | undefined>;
}

export class RegistryClient {
  readonly #api: RegistryApi;
  readonly #places: Kept<SubjectVersion> | undefined;
  /** Tells the registry and the login apart from others. */
  readonly key: string;

  /**
   * Connects on demand. `signal` ends everything. `places` keeps the places of what schemas refer to, so that they are not looked up
   * again.
   */
  constructor(registry: Reachable<SchemaRegistry>, signal: AbortSignal, places?: Kept<SubjectVersion>) {
    this.#api = new RegistryApi(registry, signal);
    this.#places = places;
    this.key = registryKey(registry.profile);
  }

  /** Name of the registry for people. */
  get address(): string {
    return this.#api.address;
  }

  /** The languages of schemas that the registry knows. Throws if it is none, or refuses the login. */
  async types(): Promise<readonly string[]> {
    let types: unknown;
    try {
      types = await this.#api.ask('GET', 'schemas/types');
    } catch (error) {
      throw error instanceof NotRegistry ? error.lasting() : error;
    }
    if (Array.isArray(types)) return types.map(String);
    throw this.#api.notRegistry().lasting();
  }

  /** Undefined if there is no schema of that id. Throws `bad_data` for one that cannot be used. */
  async schema(id: number): Promise<RegisteredSchema | undefined> {
    const found = this.#stored(await this.#api.ask('GET', `schemas/ids/${id}`));
    return found && this.#complete(found);
  }

  /** The newest schema of a subject; undefined if there is no such subject. Throws `bad_data` for one that cannot be used. */
  async latest(subject: string): Promise<(RegisteredSchema & SubjectVersion) | undefined> {
    const response = await this.#api.ask('GET', `subjects/${encodeURIComponent(subject)}/versions/latest`);
    const found = this.#stored(response);
    return found && { ...this.#versionIn(response), ...(await this.#complete(found)) };
  }

  /** The place of a schema in a subject; undefined if the subject does not have it. Looks up what it refers to as well. */
  find(type: SchemaType, subject: string, written: WrittenSchema): Promise<SubjectVersion | undefined> {
    return this.#place({ type, register: false, places: new Map() }, subject, written);
  }

  /** Returns the id of a schema in a subject, and registers it, and what it refers to, if it is not there. */
  async register(type: SchemaType, subject: string, written: WrittenSchema): Promise<SubjectVersion> {
    const placed = await this.#place({ type, register: true, places: new Map() }, subject, written);
    if (!placed) throw this.#api.notRegistry();
    return placed;
  }

  /** Whether the subject allows the schema as its next one; undefined if there is no such subject. */
  async allows(type: SchemaType, subject: string, written: WrittenSchema): Promise<boolean | undefined> {
    const references = await this.#references({ type, register: false, places: new Map() }, written);
    // References are registered with the schema, and before that nothing can be said.
    if (!references) return undefined;
    const path = `compatibility/subjects/${encodeURIComponent(subject)}/versions/latest`;
    const body = { schema: written.schema, schemaType: type, references };
    const found = (await this.#api.ask('POST', path, body)) as { is_compatible?: unknown } | undefined;
    return found && found.is_compatible === true;
  }

  close(): Promise<void> {
    return this.#api.close();
  }

  async #place(
    placing: Placing,
    subject: string,
    written: WrittenSchema,
  ): Promise<SubjectVersion | undefined> {
    const references = await this.#references(placing, written);
    if (!references) return undefined;
    const body = { schema: written.schema, schemaType: placing.type, references };
    const known = await this.#lookUp(subject, body);
    if (known || !placing.register) return known;
    const path = `subjects/${encodeURIComponent(subject)}/versions`;
    const { id } = ((await this.#api.ask('POST', path, body)) ?? {}) as { id?: unknown };
    if (typeof id !== 'number') throw this.#api.notRegistry();
    // The response to a registration does not name the version.
    return { id, version: (await this.#lookUp(subject, body))?.version ?? -1 };
  }

  /** Each is in a subject of its own name, as Confluent's serializers do it. Undefined if one is not there. */
  async #references(placing: Placing, written: WrittenSchema): Promise<Reference[] | undefined> {
    const { places } = placing;
    const placed: Reference[] = [];
    for (const reference of written.references) {
      const { name } = reference;
      if (!places.has(name)) {
        if (places.size === maxReferences) throw tooMany();
        places.set(name, undefined);
        places.set(name, await this.#placeOnce(placing, reference));
      }
      const found = places.get(name);
      if (!found) return undefined;
      placed.push({ name, subject: name, version: found.version });
    }
    return placed;
  }

  /** An attempt that fails half-way goes on from there the next time. */
  async #placeOnce(placing: Placing, reference: WrittenSchema): Promise<SubjectVersion | undefined> {
    const { name, schema } = reference;
    const references = await this.#references(placing, reference);
    if (!references) return undefined;
    const key = keyOf(this.key, placing.type, name, schema, references);
    const kept = this.#places?.get(key, placeMs);
    if (kept) return kept;
    const found = await this.#place(placing, name, reference);
    if (found && found.version > 0) this.#places?.put(key, found);
    return found;
  }

  async #lookUp(subject: string, body: SchemaBody): Promise<SubjectVersion | undefined> {
    const found = await this.#api.ask('POST', `subjects/${encodeURIComponent(subject)}`, body);
    return found === undefined ? undefined : this.#versionIn(found);
  }

  /** Adds the texts that a schema refers to. */
  async #complete({ type, schema, references }: StoredSchema): Promise<RegisteredSchema> {
    if (type !== 'AVRO' && type !== 'JSON' && type !== 'PROTOBUF')
      throw badData('', `has a schema in ${shown(type)}, which is not supported`);
    const texts = new Map<string, string>();
    const begun = new Set<string>();
    let length = 0;
    const add = async ({ name, subject, version }: Reference): Promise<void> => {
      if (begun.has(name)) return;
      begun.add(name);
      if (begun.size > maxReferences)
        throw badData('', `has a schema that refers to more than ${maxReferences} others`);
      const found = await this.#version(subject, version);
      if (!found)
        throw badData('', `has a schema that refers to ${shown(name)}, which the registry does not have`);
      length += found.schema.length;
      if (length > maxReferencedLength)
        throw badData(
          '',
          `has a schema that refers to more than ${maxReferencedLength} characters of others`,
        );
      for (const inner of found.references) await add(inner);
      texts.set(name, found.schema);
    };
    for (const reference of references) await add(reference);
    return { type, schema, references: Object.fromEntries(texts) };
  }

  async #version(subject: string, version: number): Promise<StoredSchema | undefined> {
    const key = keyOf(this.key, subject, version);
    const kept = keptVersions.get(key);
    if (kept) return kept;
    const path = `subjects/${encodeURIComponent(subject)}/versions/${version}?deleted=true`;
    const found = this.#stored(await this.#api.ask('GET', path));
    if (found) keptVersions.put(key, found, found.schema.length);
    return found;
  }

  #stored(response: unknown): StoredSchema | undefined {
    if (response === undefined) return undefined;
    const { schema, schemaType = 'AVRO', references } = Object(response) as Record<string, unknown>;
    const list: unknown[] = Array.isArray(references) ? references : [];
    if (typeof schema !== 'string' || typeof schemaType !== 'string' || !list.every(isReference))
      throw this.#api.notRegistry();
    return { type: schemaType, schema, references: list };
  }

  #versionIn(response: unknown): SubjectVersion {
    const { id, version } = Object(response) as Record<string, unknown>;
    if (typeof id !== 'number' || typeof version !== 'number') throw this.#api.notRegistry();
    return { id, version };
  }
}

const tooMany = () =>
  new PenstockError('invalid_schema', `The schema of the sink refers to more than ${maxReferences} others`);

function isReference(value: unknown): value is Reference {
  const { name, subject, version } = Object(value) as Record<string, unknown>;
  return typeof name === 'string' && typeof subject === 'string' && typeof version === 'number';
}
