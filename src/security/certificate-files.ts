import { X509Certificate } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { TSchema } from 'typebox';
import { PenstockError } from '../errors.ts';
import { type JsonObject, mapStrings } from './config-secrets.ts';

/**
 * Certificates and keys that a configuration names by path. They are read for each connection, so a renewed certificate
 * takes effect with the next one. Only files below the operator's folder are read, symbolic links included.
 */

/** Reads a file by its path, absolute or relative to the operator's folder. Throws an `Error` that says why it cannot. */
export type CertificateFiles = (path: string) => string;

const largestFile = 256 * 1024;

/** Returns a reader for the files below `folder`; without a folder it refuses all. */
export function certificatesIn(folder: string | undefined): CertificateFiles {
  return (path) => {
    if (folder === undefined) throw new Error('names a file, but PENSTOCK_CERT_DIR is not set');
    const root = realpathOf(folder);
    if (root === undefined)
      throw new Error('names a file, but the folder of PENSTOCK_CERT_DIR does not exist');
    const found = isBelow(resolve(folder, path), resolve(folder))
      ? realpathOf(resolve(folder, path))
      : undefined;
    // One message for outside and missing, so that callers cannot probe for files.
    if (found === undefined || !isBelow(found, root))
      throw new Error('does not name a file below PENSTOCK_CERT_DIR');
    return readSmall(found);
  };
}

const isBelow = (path: string, folder: string): boolean =>
  path.startsWith(folder.endsWith(sep) ? folder : folder + sep);

function realpathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    // Missing or unreadable: the caller reports both alike.
    return undefined;
  }
}

function readSmall(path: string): string {
  // A link or pipe that replaces the file in between is neither followed nor waited for.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  let file: number;
  try {
    file = openSync(path, flags);
  } catch {
    throw new Error('names a file that Penstock has no permission to read');
  }
  try {
    const facts = fstatSync(file);
    if (!facts.isFile()) throw new Error('names something that is not a file');
    if (facts.size > largestFile) throw new Error(`names a file larger than ${largestFile / 1024} KiB`);
    return textOf(readFileSync(file));
  } finally {
    closeSync(file);
  }
}

/** Text with any byte order mark. Throws an `Error` that says how to convert what is not PEM. */
function textOf(bytes: Buffer): string {
  const text = decoded(bytes);
  if (text.includes('-----BEGIN')) return text;
  throw new Error(`names ${kindOf(bytes, text)}`);
}

function decoded(bytes: Buffer): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  return new TextDecoder(bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : encoding).decode(bytes);
}

const pkcs12Version = Buffer.from([2, 1, 3]);
const pkcs7SignedData = Buffer.from('2a864886f70d010702', 'hex');
const javaKeyStore = Buffer.from([0xfe, 0xed, 0xfe, 0xed]);

/** Names the form of a file without a PEM block, and how to make PEM of it. */
function kindOf(bytes: Buffer, text: string): string {
  if (bytes.length === 0) return 'an empty file';
  if (bytes.subarray(0, 4).equals(javaKeyStore))
    return 'a Java key store: convert it with keytool -importkeystore and openssl pkcs12';
  if (bytes[0] === 0x30 && bytes.subarray(2, 8).includes(pkcs12Version))
    return 'a PKCS#12 file (.p12, .pfx): convert it with openssl pkcs12 -in FILE -out FILE.pem';
  if (bytes[0] === 0x30 && bytes.subarray(0, 20).includes(pkcs7SignedData))
    return 'a PKCS#7 file (.p7b): convert it with openssl pkcs7 -inform DER -print_certs -in FILE -out FILE.pem';
  if (bytes[0] === 0x30 && isCertificate(bytes))
    return 'a certificate in DER format: convert it with openssl x509 -inform DER -in FILE -out FILE.pem';
  if (bytes[0] === 0x30)
    return 'a file in DER format, without a PEM block: if it is a key, convert it with openssl pkey -inform DER -in FILE -out FILE.pem';
  if (/^[A-Za-z0-9+/=\s]{64,}$/.test(text))
    return 'a file with base64 without its lines -----BEGIN and -----END';
  return 'a file without a PEM block (-----BEGIN …)';
}

function isCertificate(der: Buffer): boolean {
  try {
    return new X509Certificate(der).raw.length > 0;
  } catch {
    // Another kind of file: the caller says so.
    return false;
  }
}

/** No path has several lines or this length. Such text is PEM, or the connector says why it is not. */
const isText = (value: string): boolean =>
  value.includes('-----BEGIN') || /[\n\r]/.test(value.trim()) || value.length > 1_024;

/**
 * Returns a copy of `config` with each path in a property with `file: true` replaced by the file's content. Throws
 * `certificate_unreadable` with the place of each problem, but never the path: it might be a key pasted without its
 * first line.
 */
export function readCertificates(config: JsonObject, schema: TSchema, files: CertificateFiles): JsonObject {
  const errors: { path: string; message: string }[] = [];
  const read = mapStrings(config, schema, (value, property, path) => {
    if (property.file !== true || value === '' || isText(value)) return value;
    try {
      return files(value);
    } catch (error) {
      errors.push({ path, message: (error as Error).message });
      return value;
    }
  });
  if (errors.length === 0) return read;
  const sentences = errors.map(({ path, message }) => `${path} ${message}`).join('; ');
  throw new PenstockError('certificate_unreadable', `A certificate or key cannot be read: ${sentences}`, {
    hint: 'Put the file into the folder of PENSTOCK_CERT_DIR, or send its PEM text instead.',
    errors,
  });
}
