import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import type { S3Client } from '@aws-sdk/client-s3';
import { asPenstockError, PenstockError } from '../../../errors.ts';
import type { Reachable, Targets } from '../../connector.ts';
import { openSocket } from '../../network/dial.ts';
import { isTlsReason, refusedPeer, socketError, tlsError } from '../../network/socket-errors.ts';
import { endpointOf, type S3Profile, s3Error, s3Errors } from '../config/profile.ts';

/** The client of an object store. It asks the targets for each connection, and never retries. */

type Created = (error: Error | null, socket?: Socket) => void;

/** Dials with our steps, within the targets. The socket comes later, by the callback. */
function dialling<A extends HttpAgent>(
  agent: A,
  tls: boolean,
  store: Reachable<S3Profile>,
  signal: AbortSignal,
): A {
  const createConnection = (options: { host?: string; port?: number | string }, created: Created): void => {
    const host = (options.host ?? '').replace(/^\[(.*)\]$/, '$1');
    const soon = AbortSignal.any([signal, AbortSignal.timeout(connectMs)]);
    openSocket({ host, port: Number(options.port), tls }, store, soon).then(
      (socket) => created(null, socket),
      (error: Error) => created(error),
    );
  };
  return Object.assign(agent, { createConnection: createConnection as never });
}

/** The machine's own credentials are for an operator to lend: whoever may write tables could otherwise act as the machine. */
function checkMachineCredentials(targets: Targets): void {
  const address = '169.254.169.254';
  try {
    targets.allowed(address, [{ address, family: 4 }]);
  } catch (cause) {
    const message = 'The profile has no access key, and the credentials of the machine must not be used';
    throw s3Error('s3_credentials_missing', message, {
      hint: `Set access_key_id and secret_access_key. To lend the credentials of the machine, an operator allows ${address} in PENSTOCK_TARGETS.`,
      cause,
    });
  }
}

const connectMs = 10_000;
const requestMs = 60_000;

export async function s3Client(store: Reachable<S3Profile>): Promise<S3Client> {
  const { profile, targets } = store;
  const { S3Client } = await import('@aws-sdk/client-s3');
  if (!profile.access_key_id) checkMachineCredentials(targets);
  const { access_key_id, secret_access_key = '', session_token } = profile;
  const own = profile.endpoint ? { endpoint: endpointOf(profile).href } : {};
  const credentials = access_key_id
    ? {
        credentials: {
          accessKeyId: access_key_id,
          secretAccessKey: secret_access_key,
          ...(session_token ? { sessionToken: session_token } : {}),
        },
      }
    : {};
  const closing = new AbortController();
  const pool = { keepAlive: true, maxSockets: 16 };
  const client = new S3Client({
    ...own,
    ...credentials,
    region: profile.region || 'us-east-1',
    forcePathStyle: profile.path_style ?? false,
    maxAttempts: 1,
    // Other stores do not know the checksums of newer versions of the SDK.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: {
      httpAgent: dialling(new HttpAgent(pool), false, store, closing.signal),
      httpsAgent: dialling(new HttpsAgent(pool), true, store, closing.signal),
      connectionTimeout: connectMs,
      requestTimeout: requestMs,
      throwOnRequestTimeout: true,
    },
  });
  const destroy = client.destroy.bind(client);
  return Object.assign(client, {
    destroy() {
      closing.abort();
      destroy();
    },
  });
}

interface ServiceError {
  name?: string;
  code?: string;
  message?: string;
  $metadata?: { httpStatusCode?: number };
}

type S3ErrorCode = keyof typeof s3Errors;

const named: Readonly<Record<string, S3ErrorCode>> = {
  AccessDenied: 's3_access_denied',
  InvalidAccessKeyId: 's3_access_denied',
  SignatureDoesNotMatch: 's3_access_denied',
  ExpiredToken: 's3_access_denied',
  InvalidToken: 's3_access_denied',
  RequestTimeTooSkewed: 's3_access_denied',
  AllAccessDisabled: 's3_access_denied',
  CredentialsProviderError: 's3_credentials_missing',
  NoSuchBucket: 's3_bucket_missing',
  PermanentRedirect: 's3_wrong_region',
  AuthorizationHeaderMalformed: 's3_wrong_region',
  // Somebody else aborted the upload, such as a rule of the bucket.
  NoSuchUpload: 's3_failed',
  // Two requests for one key at the same time: S3 says to try again.
  ConditionalRequestConflict: 's3_failed',
  OperationAborted: 's3_failed',
  RequestTimeout: 's3_failed',
  SlowDown: 's3_throttled',
  TooManyRequests: 's3_throttled',
};

/** Translates an error of a request. */
export function requestError(cause: unknown, profile: S3Profile): PenstockError {
  const { name = '', code, $metadata = {} } = cause as ServiceError;
  const url = endpointOf(profile);
  const host = url.hostname;
  const status = $metadata.httpStatusCode;
  if (name === 'TimeoutError')
    return s3Error('connection_timeout', `The object store at ${host} does not respond`, { cause });
  if (cause instanceof PenstockError && code === 'name_not_resolved')
    return s3Error(code, cause.message, {
      hint: 'Check the endpoint. Most stores other than AWS need path_style.',
      cause,
    });
  if (cause instanceof PenstockError) return cause;
  if (isTlsReason(cause as Error)) return tlsError(cause as Error, refusedPeer(host, profile));
  if (status === undefined && code !== undefined && named[name] === undefined)
    return socketError(cause as NodeJS.ErrnoException, { host, port: Number(url.port) || 443 });
  if (status === undefined && named[name] === undefined) return asPenstockError(cause);
  const own = named[name] ?? ofStatus(status ?? 0);
  const message = `The object store at ${host} responds with ${name}${status === undefined ? '' : ` (${status})`}`;
  const said =
    own === 's3_credentials_missing' ? 'The default chain of the AWS SDK finds no credentials' : message;
  return s3Error(own, said, { hint: s3Errors[own].todo, facts: { name, status }, cause });
}

function ofStatus(status: number): S3ErrorCode {
  if (status === 429 || status === 503) return 's3_throttled';
  if (status >= 500 || status < 400) return 's3_failed';
  if (status === 401 || status === 403) return 's3_access_denied';
  return status === 301 ? 's3_wrong_region' : 's3_refused';
}
