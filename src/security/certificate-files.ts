import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mapStrings } from './config-secrets.ts';

/**
 * Certificates and keys that a configuration names by their path. They are read each time a connection is made, so a
 * renewed certificate is used from then on. Only files below the operator's folder are read, wherever links lead.
 */

/** Reads a file by its path, absolute or relative to the operator's folder; throws a sentence about why it cannot. */
export type CertificateFiles = (path: string) => string;

const largestFile = 256 * 1024;

/** The files below `folder`; without a folder none can be read. */
export function certificatesIn(folder: string | undefined): CertificateFiles {
  return (path) => {
    if (folder === undefined) throw new Error('names a file, and PENSTOCK_CERT_DIR is not set');
    const root = realpathOf(folder);
    if (root === undefined) throw new Error('names a file, and the folder PENSTOCK_CERT_DIR is not there');
    const found = isBelow(resolve(folder, path), resolve(folder))
      ? realpathOf(resolve(folder, path))
      : undefined;
    // What lies outside is not told apart from what is not there.
    if (found === undefined || !isBelow(found, root))
      throw new Error('names no file below PENSTOCK_CERT_DIR');
    return readSmall(found);
  };
}

const isBelow = (path: string, folder: string): boolean =>
  path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

function realpathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    // Not there, or not to be looked into: the caller says the same of both.
    return undefined;
  }
}

function readSmall(path: string): string {
  // Not followed and not waited for: a link or a pipe put in its place meanwhile is not read.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let file: number;
  try {
    file = openSync(path, flags);
  } catch {
    throw new Error('names a file that Penstock may not read');
  }
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw new Error('names something that is not a file');
    if (facts.size > largestFile) throw new Error(`names a file of more than ${largestFile / 1024} KiB`);
    return readFileSync(file, 'utf8');
  } finally {
    closeSync(file);
  }
}

/**
 * Answers a copy of `config` in which each string of a property with `file: true` that is a path has become what the
 * file holds. Throws `certificate_unreadable` with the place of each that cannot be read; a path is not repeated, as it
 * might be a key that was pasted without its first line.
 */
export function readCertificates(config: JsonObject, schema: TSchema, files: CertificateFiles): JsonObject {
  const errors: { path: string; message: string }[] = [];
  const read = mapStrings(config, schema, (value, property, path) => {
    if (property.file !== true || value === '' || value.trimStart().startsWith('-----BEGIN')) return value;
    try {
      const text = files(value);
      if (!text.includes('-----BEGIN')) throw new Error('names a file that is not in PEM form');
      return text;
    } catch (error) {
      errors.push({ path, message: (error as Error).message });
      return value;
    }
  });
  if (errors.length === 0) return read;
  const sentences = errors.map(({ path, message }) => `${path} ${message}`).join('; ');
  throw new PenstockError('certificate_unreadable', `A certificate or key cannot be read: ${sentences}`, {
    hint: 'Put the file into the folder that PENSTOCK_CERT_DIR names, or give its PEM text instead.',
    errors,
  });
}
