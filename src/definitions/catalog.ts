import type { TSchema } from 'typebox';
import type { ConnectorDefinition, Reachable, Targets, Usable } from '../connectors/connector.ts';
import { connectorFor } from '../connectors/registry.ts';
import { PenstockError } from '../errors.ts';
import { expandSchema } from '../formats/codec.ts';
import { parseExactly } from '../formats/json/text.ts';
import type { ConnectionSchema } from '../formats/schema/schema.ts';
import { type CertificateFiles, certificatesIn, readCertificates } from '../security/certificate-files.ts';
import { type JsonObject, openConfig, sealConfig } from '../security/config-secrets.ts';
import type { SealedBytes, SecretBox } from '../security/secret-box.ts';
import { oddEnds, resolveVariables, type Variables } from '../security/variables.ts';
import type { Catalog, InlineConnection, InlineTable, InsertPlan, TableDefinition } from '../sql/plan.ts';
import { storedTimes } from '../sql/table-time.ts';
import type { Db } from '../store/db.ts';
import {
  checkProfileConfig,
  checkTableConfig,
  checkTableSchema,
  refuseRenamedOptions,
  withDefaultSchema,
} from './config-checks.ts';
import { openQuery, sealQuery } from './query-secrets.ts';

/** Stored profiles, tables and queries for the rest of the program: JSON parsed and secrets opened. Main thread only. */

export const profileOwner = (id: string): string => `connection_profile/${id}`;
export const tableOwner = (id: string): string => `connection_table/${id}`;
/** Owner of the seal of the control of a state, and of one part of a segment. */
export const stateOwner = ({ jobId, operatorId }: { jobId: string; operatorId: string }): string =>
  `state/${jobId}/${operatorId}`;
export const statePartOwner = (row: StatePartPlace): string =>
  `${stateOwner(row)}/${row.segment}/${row.part}`;
export const taskOwner = (id: string): string => `task/${id}`;
/** Owner that a session's sealed secrets are bound to. The prefix is stored data: it never changes. */
export const sessionOwner = (id: string): string => `leftover/${id}`;

interface StatePartPlace {
  jobId: string;
  operatorId: string;
  segment: number;
  part: number;
}

interface CatalogProfile {
  id: string;
  name: string;
  connector: string;
  config: string;
}

interface CatalogTable {
  id: string;
  name: string;
  connector: string;
  tableType: string;
  config: string;
  schema: string | null;
  connectionProfile: CatalogProfile | null;
}

export interface Definitions {
  tableNamed(name: string): Promise<CatalogTable | null>;
  tableNames(): Promise<readonly string[]>;
  profileNamed(name: string): Promise<CatalogProfile | null>;
}

const storedIn = (db: Db): Definitions => ({
  tableNamed: (name) =>
    db.connectionTable.findUnique({ where: { name }, include: { connectionProfile: true } }),
  async tableNames() {
    const rows = await db.connectionTable.findMany({ select: { name: true } });
    return rows.map(({ name }) => name);
  },
  profileNamed: (name) => db.connectionProfile.findUnique({ where: { name } }),
});

interface SessionRow {
  id: string;
  connector: string;
  profile: string;
  tables: string;
  insert: string | null;
}

/** How to reach a session with a broker, and where its messages went. */
export interface StoredSession {
  profile: JsonObject;
  /** Table configurations whose topics it may be subscribed to, newest first. */
  tables: unknown[];
  /** The INSERT that its messages belong to; undefined when they are to be discarded. */
  insert: InsertPlan | undefined;
}

export class StoredCatalog implements Catalog {
  readonly #db: Db;
  readonly #secrets: SecretBox;
  readonly #variables: Variables;
  readonly #targets: Targets;
  readonly #files: CertificateFiles;
  readonly #definitions: Definitions;

  constructor(
    db: Db,
    secrets: SecretBox,
    variables: Variables,
    targets: Targets,
    files: CertificateFiles = certificatesIn(undefined),
    definitions: Definitions = storedIn(db),
  ) {
    this.#db = db;
    this.#secrets = secrets;
    this.#variables = variables;
    this.#targets = targets;
    this.#files = files;
    this.#definitions = definitions;
  }

  /** Returns a catalog over other definitions, such as staged ones that are not saved yet. */
  over(definitions: Definitions): StoredCatalog {
    return new StoredCatalog(
      this.#db,
      this.#secrets,
      this.#variables,
      this.#targets,
      this.#files,
      definitions,
    );
  }

  async table(name: string, exact: boolean): Promise<TableDefinition | undefined> {
    const named = await this.#definitions.tableNamed(name);
    const row = named ?? (exact ? null : await this.#alike(name));
    if (!row) return undefined;
    const config = this.tableConfig(row);
    const schema = expandSchema(JSON.parse(row.schema ?? '{}') as ConnectionSchema);
    const direction = row.tableType as 'source' | 'sink';
    return {
      name: row.name,
      connector: row.connector,
      direction,
      schema,
      ...writing(connectorFor(row.connector), direction, config, schema),
      stored: { tableId: row.id },
      profile: row.connectionProfile ? this.profile(row.connectionProfile) : {},
      config,
      uses: connectorFor(row.connector).columnsOf?.(config) ?? [],
      ...storedTimes(schema),
    };
  }

  async #alike(name: string) {
    const wanted = name.toLowerCase();
    const alike = (await this.tableNames()).filter((other) => other.toLowerCase() === wanted);
    // Names that differ only in case must be quoted in the query.
    if (alike.length !== 1) return null;
    const [only] = alike;
    return this.#definitions.tableNamed(only as string);
  }

  tableNames(): Promise<readonly string[]> {
    return this.#definitions.tableNames();
  }

  async inline({ connector: id, profileName, options, schema }: InlineTable): Promise<InlineConnection> {
    const connector = connectorFor(id);
    const stored = profileName === undefined ? undefined : await this.#profileNamed(profileName, id);
    refuseRenamedOptions(connector, options);
    const profile = stored ?? options.takeObject(connector.profile);
    const config = options.takeObject(connector.table);
    if (!stored) checkProfileConfig(id, profile, '');
    checkTableConfig(id, config, profile, '');
    const direction = connector.direction(config);
    const complete = withDefaultSchema(id, schema);
    return {
      direction,
      schema: complete,
      ...writing(connector, direction, config, complete ?? schema),
      profile,
      config,
      uses: connector.columnsOf?.(config) ?? [],
      metadata: connector.metadata,
      checkSchema: (whole) => checkTableSchema(id, config, profile, whole),
    };
  }

  async #profileNamed(name: string, connector: string): Promise<JsonObject> {
    const row = await this.#definitions.profileNamed(name);
    if (row?.connector === connector) return this.profile(row);
    const what = row ? `is for ${row.connector}, not ${connector}` : 'does not exist';
    throw new PenstockError(
      'not_found',
      `The connection profile "${name}" ${what}; create it or name another`,
    );
  }

  profile(row: CatalogProfile): JsonObject {
    const { profile } = connectorFor(row.connector);
    return openConfig(JSON.parse(row.config) as JsonObject, profile, this.#secrets, profileOwner(row.id));
  }

  sealProfile(id: string, connector: string, config: JsonObject): string {
    return JSON.stringify(
      sealConfig(config, connectorFor(connector).profile, this.#secrets, profileOwner(id)),
    );
  }

  /** Returns the config of a table with its secrets. */
  tableConfig({ id, connector, config }: Pick<CatalogTable, 'id' | 'connector' | 'config'>): JsonObject {
    const { table } = connectorFor(connector);
    return openConfig(JSON.parse(config) as JsonObject, table, this.#secrets, tableOwner(id));
  }

  sealTable(id: string, connector: string, config: JsonObject): string {
    return JSON.stringify(sealConfig(config, connectorFor(connector).table, this.#secrets, tableOwner(id)));
  }

  sealQuery(pipelineId: string, query: string): string {
    return sealQuery(this.#secrets, pipelineId, query);
  }

  query({ id, query }: { id: string; query: string }): string {
    return openQuery(this.#secrets, id, query);
  }

  /**
   * Replaces `{{ NAME }}` and certificate paths in a config, immediately before a connector gets it. Throws
   * `variable_not_allowed` and `certificate_unreadable`.
   */
  resolve(connector: ConnectorDefinition, config: unknown): Reachable<JsonObject> {
    return { profile: this.#filled(config, connector.profile), targets: this.#targets };
  }

  /** The same for the config of a table. */
  resolveTable({ table }: ConnectorDefinition, config: unknown): JsonObject {
    return this.#filled(config, table);
  }

  #filled(config: unknown, schema: TSchema): JsonObject {
    const filled = resolveVariables(config as JsonObject, schema, this.#variables);
    return readCertificates(filled, schema, this.#files);
  }

  /** Oddities of the secrets of configs that `resolve` takes, in sentences for the one who tests them. */
  oddities({ profile, table }: ConnectorDefinition, config: unknown, tableConfig: unknown = {}): string[] {
    return [
      ...oddEnds(config as JsonObject, profile, this.#variables),
      ...oddEnds(tableConfig as JsonObject, table, this.#variables),
    ];
  }

  /** Returns a table of a plan, ready to be opened by its connector. */
  usable(table: Pick<TableDefinition, 'connector' | 'profile' | 'config'>): Usable {
    const connector = connectorFor(table.connector);
    return {
      connector,
      ...this.resolve(connector, table.profile),
      config: this.resolveTable(connector, table.config),
    };
  }

  /** Returns what a session's row needs to reach the session after its table or pipeline is gone. */
  sealSession(id: string, insert: InsertPlan): { connector: string; profile: string; insert: string } {
    const { profile, ...source } = insert.source;
    const { connector } = source;
    const { profile: schema } = connectorFor(connector);
    const sealed = sealConfig(profile as JsonObject, schema, this.#secrets, sessionOwner(id));
    const rest = this.#secrets.seal(JSON.stringify({ ...insert, source }), sessionOwner(id));
    return { connector, profile: JSON.stringify(sealed), insert: rest };
  }

  /** Seals what a task is to do, as JSON text: it holds secrets. */
  sealWork(taskId: string, text: string): string {
    return this.#secrets.seal(text, taskOwner(taskId));
  }

  /** Throws `secret_unreadable`. */
  openWork(taskId: string, sealed: string): string {
    return this.#secrets.open(sealed, taskOwner(taskId));
  }

  /** Seals a part of the state of a job; `owner` says which. */
  sealState(owner: string, data: Uint8Array): SealedBytes {
    return this.#secrets.sealBytes(data, owner);
  }

  /** Throws `secret_unreadable`. */
  openState(owner: string, sealed: SealedBytes): Uint8Array<ArrayBuffer> {
    return this.#secrets.openBytes(sealed, owner);
  }

  /** Throws `secret_unreadable`. */
  openSession({ id, connector, profile, tables, insert }: SessionRow): StoredSession {
    const { profile: schema } = connectorFor(connector);
    const owner = sessionOwner(id);
    const opened = openConfig(JSON.parse(profile) as JsonObject, schema, this.#secrets, owner);
    const rest =
      insert === null ? undefined : (parseExactly(this.#secrets.open(insert, owner)) as InsertPlan);
    return {
      profile: opened,
      tables: JSON.parse(tables),
      insert: rest && { ...rest, source: { ...rest.source, profile: opened } },
    };
  }
}

const writing = (
  connector: ConnectorDefinition,
  direction: 'source' | 'sink',
  config: unknown,
  schema: ConnectionSchema,
): Pick<InlineConnection, 'takesRows' | 'deletesBy' | 'transactional'> => {
  if (direction !== 'sink') return {};
  const transactional = connector.transactional?.(config);
  const shared = transactional === undefined ? {} : { transactional };
  if (!connector.takesRows?.(config, schema)) return shared;
  const deletesBy = connector.deletesBy?.(config);
  return { ...shared, takesRows: true, ...(deletesBy && { deletesBy }) };
};
