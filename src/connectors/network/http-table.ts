import Type, { type Static, type TSchema } from 'typebox';
import { type FieldError, PenstockError } from '../../errors.ts';
import type { Reachable, Targets } from '../connector.ts';
import { parseHeaders } from './http.ts';
import type { TlsProfile } from './tls.ts';
import { checkTlsFiles, refuseTls, tlsFields, tlsSecrets } from './tls-options.ts';

/** The fields that the tables of all HTTP connectors have. `endpoint` and `headers` are Arroyo's; the others are additions. */

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);

export const httpFields = {
  endpoint: Type.String({
    title: 'Endpoint',
    description: 'URL to send requests to: http:// or https://. A part such as a token may be a {{ NAME }}',
    format: 'var-str',
    examples: ['https://example.com/api/readings'],
    minLength: 1,
    maxLength: 8_192,
  }),
  headers: optional(
    Type.String({
      title: 'Headers',
      description:
        'Headers of every request, "Name: value", separated by commas or line breaks. They are kept secret',
      format: 'var-str',
      examples: ['Authorization: Bearer {{ TOKEN }},X-Site: north'],
      maxLength: 16_384,
    }),
  ),
  timeout_ms: optional(
    Type.Integer({
      title: 'Timeout (ms)',
      description: 'Time for one request with its response, in milliseconds',
      default: 10_000,
      minimum: 100,
      maximum: 300_000,
    }),
  ),
  ...tlsFields,
};

/** The secrets among them. */
export const httpSecrets = ['headers', ...tlsSecrets];

const HttpTable = Type.Object(httpFields);
export type HttpTable = Static<typeof HttpTable>;

/** That of an endpoint; with TLS it has an s at its end. */
type Scheme = 'http' | 'ws';

const schemeOf = ({ endpoint }: HttpTable): Scheme => (/^wss?:/i.test(endpoint) ? 'ws' : 'http');

const hasVariable = (text: string): boolean => text.includes('{{');

/** Checks the endpoint, the headers and TLS. Variables are checked when they have their values. */
export function validateHttpTable(table: HttpTable, scheme: Scheme = 'http'): FieldError[] {
  const { endpoint, headers = '' } = table;
  const errors: FieldError[] = [];
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  const url = parseEndpoint(endpoint, scheme);
  if (typeof url === 'string' && !hasVariable(endpoint)) refuse('/endpoint', url);
  if (typeof url === 'object' && url.protocol === `${scheme}:`) refuseTls(table, `${scheme}s://`, refuse);
  const parsed = parseHeaders(headers);
  if (typeof parsed === 'string' && !hasVariable(headers)) refuse('/headers', parsed);
  checkTlsFiles(table.tls, refuse);
  return errors;
}

/** Parses an endpoint. Returns a predicate that shows no part of it if it is invalid. */
function parseEndpoint(text: string, scheme: Scheme): URL | string {
  if (!URL.canParse(text)) return `must be a URL, such as ${scheme}s://example.com/api`;
  const url = new URL(text);
  if (![`${scheme}:`, `${scheme}s:`].includes(url.protocol))
    return `must begin with ${scheme}:// or ${scheme}s://`;
  if (url.username !== '' || url.password !== '')
    return 'must not contain credentials: use the header Authorization';
  url.hash = '';
  return url;
}

/** Where requests go, with which headers. Throws `invalid_config` for variables with unusable values. */
export function requestOf(
  table: HttpTable,
  scheme: Scheme = schemeOf(table),
): {
  url: URL;
  headers: Record<string, string>;
  timeoutMs: number;
} {
  const url = parseEndpoint(table.endpoint, scheme);
  if (typeof url === 'string') throw unusable('endpoint', url);
  const headers = parseHeaders(table.headers ?? '');
  if (typeof headers === 'string') throw unusable('headers', headers);
  return {
    url,
    headers: { 'user-agent': 'penstock', ...headers },
    timeoutMs: table.timeout_ms ?? 10_000,
  };
}

const unusable = (name: string, predicate: string): PenstockError =>
  new PenstockError('invalid_config', `The ${name}, with its variables replaced, ${predicate}`, {
    errors: [{ path: `/config/${name}`, message: predicate }],
  });

/** The server of a table, as the dialling takes it. */
export const httpServer = ({
  table,
  targets,
}: {
  table: HttpTable;
  targets: Targets;
}): Reachable<TlsProfile> => ({
  profile: { tls: table.tls, insecureSkipVerify: table.insecureSkipVerify },
  targets,
});
