import Type, { type Static } from 'typebox';
import { type DescribedError, errorMaker, type FieldError } from '../../../errors.ts';
import { fileErrors } from '../../files/errors.ts';
import { checkTlsFiles, refuseTls, tlsFields, tlsSecrets } from '../../network/tls-options.ts';

/** The S3-compatible store of a filesystem table. Local folders need no profile. */

const text = (title: string, description: string, maxLength = 99) =>
  Type.Optional(Type.String({ title, description, maxLength }));

export const S3Profile = Type.Object(
  {
    endpoint: Type.Optional(
      Type.String({
        title: 'Endpoint',
        description: 'URL of the store, such as http://minio:9000; by default AWS, by the region',
        format: 'var-str',
      }),
    ),
    region: text('Region', 'Region of the bucket; us-east-1 by default'),
    path_style: Type.Optional(
      Type.Boolean({
        title: 'Path Style',
        description:
          'Whether the bucket is in the path of URLs, not in their host name, as most stores other than AWS need',
        default: false,
      }),
    ),
    access_key_id: Type.Optional(
      Type.String({
        title: 'Access Key ID',
        description: 'Without it, the default chain of the AWS SDK finds credentials',
        format: 'var-str',
      }),
    ),
    secret_access_key: Type.Optional(
      Type.String({ title: 'Secret Access Key', description: 'Secret of the access key', format: 'var-str' }),
    ),
    session_token: Type.Optional(
      Type.String({ title: 'Session Token', description: 'Of temporary credentials', format: 'var-str' }),
    ),
    ...tlsFields,
  },
  {
    title: 'FilesystemProfile',
    additionalProperties: false,
    sensitive: ['secret_access_key', 'session_token', ...tlsSecrets],
  },
);
export type S3Profile = Static<typeof S3Profile>;

export function endpointOf({ endpoint, region }: S3Profile): URL {
  return new URL(endpoint ? endpoint : `https://s3.${region || 'us-east-1'}.amazonaws.com`);
}

export function validateProfile(profile: S3Profile): FieldError[] {
  const { endpoint = '', region = '', access_key_id: id = '', secret_access_key: secret = '' } = profile;
  const url = URL.parse(endpoint);
  const errors: FieldError[] = [];
  const isVariable = endpoint.includes('{{');
  if (endpoint !== '' && !isVariable && !(url && /^https?:$/.test(url.protocol)))
    errors.push({ path: '/endpoint', message: 'must be a URL with http:// or https://' });
  else if (url && (url.username || url.password || url.search || url.hash))
    errors.push({ path: '/endpoint', message: 'must have no login, query or fragment' });
  const refuse = (path: string, message: string) => void errors.push({ path, message });
  if (url?.protocol === 'http:') refuseTls(profile, 'https://', refuse);
  checkTlsFiles(profile.tls, refuse);
  if (!/^[a-z0-9-]*$/.test(region))
    errors.push({ path: '/region', message: 'may have small letters, digits and hyphens only' });
  if ((id === '') !== (secret === ''))
    errors.push({
      path: id === '' ? '/access_key_id' : '/secret_access_key',
      message: 'is required: an access key has an id and a secret',
    });
  if ((profile.session_token ?? '') !== '' && id === '')
    errors.push({ path: '/session_token', message: 'needs access_key_id and secret_access_key' });
  return errors;
}

export const s3Errors = {
  s3_access_denied: {
    title: 'The object store refuses the credentials or the action',
    passing: false,
    means:
      'The access key is unknown, its secret is wrong, the clock is wrong, or a policy does not allow the action.',
    todo: 'Correct the credentials of the profile. A sink needs s3:PutObject, s3:AbortMultipartUpload and s3:ListBucketMultipartUploads, a source s3:ListBucket and s3:GetObject. With s3:DeleteObject, s3:ListBucket and s3:GetObject a sink also removes what a crash has left.',
  },
  s3_credentials_missing: {
    title: 'There are no credentials for the object store',
    passing: false,
    means: 'The profile has no access key, and the machine has none either, or must not lend it.',
    todo: 'Set access_key_id and secret_access_key in the connection profile. docs/connectors/filesystem.md says how an operator lends the credentials of the machine.',
  },
  s3_bucket_missing: {
    title: 'The bucket does not exist',
    passing: false,
    means: 'The store has no bucket of this name, or the name needs path_style.',
    todo: 'Correct the path of the table, create the bucket, or set path_style in the profile.',
  },
  s3_wrong_region: {
    title: 'The bucket is in another region',
    passing: false,
    means: 'The store says that the bucket belongs to another region or endpoint.',
    todo: 'Correct region or endpoint in the profile.',
  },
  s3_throttled: {
    title: 'The object store asks to slow down',
    passing: true,
    means: 'The store refuses requests for the moment.',
    todo: 'Nothing: the job tries again. If it stays, write larger files or fewer partitions.',
  },
  s3_failed: {
    title: 'The object store fails',
    passing: true,
    means: 'The store responds with an error of its own, or not as S3 does.',
    todo: 'See the status and the name of the error. The job tries again.',
  },
  s3_refused: {
    title: 'The object store refuses a request',
    passing: false,
    means: 'The store does not accept the request, such as for a name or a feature that it does not have.',
    todo: 'See the name of the error and the documentation of the store.',
  },
} as const satisfies Record<string, DescribedError>;

export const filesystemErrors = { ...fileErrors, ...s3Errors };

export const s3Error = errorMaker(s3Errors);
