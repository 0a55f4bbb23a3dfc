import type { ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import { atEnd } from './at-end.ts';
import { freePort } from './free-port.ts';
import { Endpoint, type Received, type Reply } from './http-endpoint.ts';

interface Stored {
  id: number;
  subject: string;
  version: number;
  schemaType?: string;
  schema: string;
  references: unknown[];
}

const json = (status: number, body: unknown): Reply => ({
  status,
  headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
  text: JSON.stringify(body),
});
const missing = (code: number): Reply => json(404, { error_code: code, message: 'Not found' });

/**
 * A schema registry with the part of Confluent's API that Penstock uses. It replies as Apicurio Registry 2.6 does: without the
 * type of Avro schemas, and with its error codes. It can be taken down, and stops by itself: see `atEnd`.
 */
export class SchemaRegistry {
  readonly #endpoint: Endpoint;
  readonly #port: number;
  readonly #scheme: string;
  readonly #stored: Stored[] = [];
  /** Subjects to which no other schema can be added. */
  readonly closed = new Set<string>();
  /** `user:password` that requests must have. */
  login: string | undefined;
  /** Reply to send instead, if any. */
  instead: ((request: Received) => Reply) | undefined;

  private constructor(started: Endpoint, scheme: string) {
    this.#endpoint = started;
    this.#scheme = scheme;
    this.#port = (started.server.address() as AddressInfo).port;
    started.reply = (request) => this.instead?.(request) ?? this.#reply(request);
  }

  static async start(tls?: ServerOptions): Promise<SchemaRegistry> {
    return new SchemaRegistry(await new Endpoint(tls).start(await freePort()), tls ? 'https' : 'http');
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** Methods and paths of the requests so far. */
  get requests(): string[] {
    return this.#endpoint.received.map(({ method, url }) => `${method} ${url}`);
  }

  /** Refuses connections from now on. */
  async down(): Promise<void> {
    await this.#endpoint.stop();
  }

  async up(): Promise<void> {
    await new Promise<void>((resolve) => void this.#endpoint.server.listen(this.#port, '127.0.0.1', resolve));
    atEnd(() => this.#endpoint.stop());
  }

  /** Registers a schema, and returns its id. */
  add(subject: string, schema: string | object, schemaType?: string, references: unknown[] = []): number {
    const text = typeof schema === 'string' ? schema : JSON.stringify(schema);
    const known = this.#find(subject, text);
    if (known) return known.id;
    const same = this.#stored.find((one) => one.schema === text && one.schemaType === schemaType);
    const id = same?.id ?? Math.max(0, ...this.#stored.map((one) => one.id)) + 1;
    const version = this.#versions(subject).length + 1;
    this.#stored.push({
      id,
      subject,
      version,
      ...(schemaType ? { schemaType } : {}),
      schema: text,
      references,
    });
    return id;
  }

  /** The newest version of a subject. */
  latest(subject: string): Stored | undefined {
    return this.#versions(subject).at(-1);
  }

  subjects(): string[] {
    return [...new Set(this.#stored.map(({ subject }) => subject))];
  }

  #versions = (subject: string) => this.#stored.filter((one) => one.subject === subject);

  #find = (subject: string, schema: string) => this.#versions(subject).find((one) => one.schema === schema);

  #reply({ method, url, headers, body }: Received): Reply {
    const given = Buffer.from((headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
    if (this.login !== undefined && given !== this.login)
      return json(401, { error_code: 401, message: 'Unauthorized' });
    const [first, ...rest] = url.split('?')[0]?.slice(1).split('/').map(decodeURIComponent) ?? [];
    if (first === 'schemas' && rest[0] === 'types') return json(200, ['JSON', 'PROTOBUF', 'AVRO']);
    if (first === 'schemas' && rest[0] === 'ids') {
      const found = this.#stored.find(({ id }) => id === Number(rest[1]));
      if (!found) return missing(40403);
      const { schema, schemaType, references } = found;
      return json(200, { schema, schemaType, references });
    }
    const subject = (first === 'compatibility' ? rest[1] : rest[0]) ?? '';
    const versions = this.#versions(subject);
    const sent = body === '' ? undefined : (JSON.parse(body) as Omit<Stored, 'id'>);
    const isRegistering = method === 'POST' && rest[1] === 'versions' && first === 'subjects';
    if (versions.length === 0 && !isRegistering) return missing(40401);
    if (first === 'compatibility') return json(200, { is_compatible: !this.closed.has(subject) });
    if (method === 'GET') {
      const found = versions.find(({ version }) => rest[2] === 'latest' || version === Number(rest[2]));
      return found ? json(200, rest[2] === 'latest' ? versions.at(-1) : found) : missing(40402);
    }
    const known = this.#find(subject, sent?.schema ?? '');
    if (!isRegistering) return known ? json(200, known) : missing(40403);
    if (this.closed.has(subject) && !known)
      return json(409, { error_code: 409, message: 'Incompatible schema' });
    const { schema = '', schemaType, references } = sent ?? {};
    const type = schemaType === 'AVRO' ? undefined : schemaType;
    return json(200, { id: this.add(subject, schema, type, references) });
  }
}
