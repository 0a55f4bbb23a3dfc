import { access, constants, open, rm, stat } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { CheckContext } from '../../connector.ts';
import { decodeStep } from '../../files/decode-step.ts';
import { systemError } from '../../files/errors.ts';
import { existingFolder, type LocalPath, localPath } from '../../files/paths.ts';
import { CheckSteps, type Finding } from '../../network/check-steps.ts';
import { connectTcp, type Dialable, resolveHost, startTls } from '../../network/dial.ts';
import { type Location, validLocation } from '../config/location.ts';
import { endpointOf, type S3Profile } from '../config/profile.ts';
import { type FilesystemTable, isSink } from '../config/table.ts';
import { readable } from '../connection/readable.ts';
import { requestError, s3Client } from '../connection/s3-client.ts';

type Context = CheckContext<S3Profile, FilesystemTable>;

const probeName = '.penstock-check.tmp';

/**
 * Tests a folder (`folder → write`) or a store (`resolve → tcp → tls → bucket → write`), then reads the first records of a
 * source (`decode`). The probe file is removed again.
 */
export async function check(context: Context): Promise<void> {
  const steps = new CheckSteps(context);
  const table = context.table?.table_type;
  const location = table && validLocation(table.path);
  if (location && 'local' in location) await checkFolder(context, steps, location.local);
  else await checkStore(context, steps, location);
  if (table && !isSink(table))
    await decodeStep(steps, context.schema, (schema, signal) =>
      readable(context, { table_type: table }, schema, signal),
    );
}

async function checkFolder(
  { targets, table, probe }: Context,
  steps: CheckSteps,
  path: string,
): Promise<void> {
  const sink = table !== undefined && isSink(table.table_type);
  const place = await steps.run('folder', async () => folderFinding(await localPath(path, targets), sink));
  if (!sink) return;
  if (probe === 'none') return steps.skip('write', 'Skipped because nothing is to be written');
  await steps.run('write', async () => {
    const { real, shown } = place as LocalPath;
    await writeProbe(await existingFolder(real), shown);
    return { value: true, message: `A file can be written to ${shown} and made durable` };
  });
}

async function folderFinding(place: LocalPath, sink: boolean): Promise<Finding<LocalPath>> {
  const { real, shown } = place;
  try {
    const facts = await stat(real);
    if (!facts.isDirectory() && sink) throw Object.assign(new Error('not a folder'), { code: 'ENOTDIR' });
    await access(real, sink ? constants.W_OK | constants.X_OK : constants.R_OK);
    return { value: place, message: `The ${facts.isDirectory() ? 'folder' : 'file'} ${shown} exists` };
  } catch (error) {
    if (sink && (error as NodeJS.ErrnoException).code === 'ENOENT')
      return { value: place, message: `The folder ${shown} does not exist yet: the job will create it` };
    throw systemError(error, shown);
  }
}

async function writeProbe(folder: string, shown: string): Promise<void> {
  const path = join(folder, probeName);
  try {
    const file = await open(path, 'w');
    try {
      await file.write('penstock');
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw systemError(error, shown);
  } finally {
    await rm(path, { force: true }).catch(() => {});
  }
}

async function checkStore(
  context: Context,
  steps: CheckSteps,
  location: Location | undefined,
): Promise<void> {
  const place = location && 'bucket' in location ? location : undefined;
  if (!place && !context.profile.endpoint)
    return steps.skip('store', 'The profile has no endpoint: test a table with a bucket');
  await checkConnection(context, steps, place?.bucket);
  if (!place) return checkLogin(context, steps);
  const { bucket, prefix } = place;
  const base = prefix === '' ? '' : `${prefix}/`;
  const { ListObjectsV2Command, PutObjectCommand, DeleteObjectCommand } = await import('@aws-sdk/client-s3');
  const client = await s3Client(context);
  const send = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw requestError(error, context.profile);
    });
  try {
    await steps.run('bucket', async (abortSignal) => {
      const command = new ListObjectsV2Command({ Bucket: bucket, Prefix: base, MaxKeys: 1 });
      await send(client.send(command, { abortSignal }));
      return { value: true, message: `The bucket ${bucket} can be listed` };
    });
    if (context.table === undefined || !isSink(context.table.table_type)) return;
    if (context.probe === 'none') return steps.skip('write', 'Skipped because nothing is to be written');
    await steps.run('write', async (signal) => {
      const object = { Bucket: bucket, Key: `${base}${probeName}` };
      // Not cut off by the signal: the object must not stay.
      const options = { abortSignal: AbortSignal.timeout(context.stepTimeoutMs) };
      try {
        await send(client.send(new PutObjectCommand({ ...object, Body: 'penstock' }), options));
      } finally {
        await send(client.send(new DeleteObjectCommand(object), options));
      }
      signal.throwIfAborted();
      return { value: true, message: `An object can be written to ${bucket} and removed` };
    });
  } finally {
    client.destroy();
  }
}

async function checkConnection(
  context: Context,
  steps: CheckSteps,
  bucket: string | undefined,
): Promise<void> {
  const { profile, targets } = context;
  const url = endpointOf(profile);
  const bare = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const isOfBucket = bucket !== undefined && !profile.path_style && !/^[\d.]+$|:/.test(bare);
  const host = isOfBucket ? `${bucket}.${bare}` : bare;
  const tls = url.protocol === 'https:';
  const endpoint = { host, port: Number(url.port) || (tls ? 443 : 80), tls };
  const addresses = await steps.run('resolve', async (signal) => {
    const found = await resolveHost(host, targets, signal);
    const list = found.map(({ address }) => address);
    return {
      value: found,
      message: `${host} resolves to ${list.join(', ')}`,
      details: { host, addresses: list },
    };
  });
  let socket: Socket | undefined;
  try {
    await steps.run('tcp', async (signal) => {
      socket = await connectTcp(endpoint, addresses as Dialable[], signal);
      const { remoteAddress: address, remotePort: port } = socket;
      return { value: true, message: `Connected to ${address} port ${port}`, details: { address, port } };
    });
    if (!tls) return;
    await steps.run('tls', async (signal) => {
      const secure = await startTls(socket as Socket, endpoint, profile, signal);
      socket = secure;
      return { value: true, message: `${secure.getProtocol()} with a trusted certificate` };
    });
  } finally {
    socket?.destroy();
  }
}

async function checkLogin(context: Context, steps: CheckSteps): Promise<void> {
  const { ListBucketsCommand } = await import('@aws-sdk/client-s3');
  const client = await s3Client(context);
  try {
    await steps.run(
      'login',
      async (abortSignal) => {
        const { Buckets = [] } = await client
          .send(new ListBucketsCommand({}), { abortSignal })
          .catch((error: unknown) => {
            throw requestError(error, context.profile);
          });
        return { value: true, message: `The store lists ${Buckets.length} buckets` };
      },
      // Keys are often limited to one bucket.
      { tolerate: ['s3_access_denied'] },
    );
  } finally {
    client.destroy();
  }
}
