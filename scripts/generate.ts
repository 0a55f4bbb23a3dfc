// npm run generate: the Prisma clients of both providers into src/generated/, without touching the network.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Provider, providers, root, schemaFor } from './schema.ts';

const generated = join(root, 'src', 'generated');

/** Makes the client beside the old one, and replaces that in one step. */
async function generate(provider: Provider): Promise<void> {
  const made = await mkdtemp(join(generated, `.${provider}-`));
  const schema = join(made, `${provider}.prisma`);
  await writeFile(schema, await schemaFor(provider));
  const prisma = fileURLToPath(import.meta.resolve('prisma/build/index.js'));
  await run([prisma, 'generate', '--no-hints', '--schema', schema]);
  await replace(join(generated, provider), join(made, provider));
  await rename(schema, join(generated, `${provider}.prisma`));
  await rm(made, { recursive: true, force: true });
}

/**
 * Replaces each file of the folder `old` that differs. A process that starts meanwhile always finds a whole file in its
 * place, and a client that has not changed is not touched. Files that are gone are deleted last.
 */
async function replace(old: string, made: string): Promise<void> {
  const files = await filesIn(made);
  for (const file of files) {
    const [from, to] = [join(made, file), join(old, file)];
    if (await sameText(from, to)) continue;
    await mkdir(dirname(to), { recursive: true });
    await rename(from, to);
  }
  for (const file of await filesIn(old)) if (!files.includes(file)) await rm(join(old, file));
}

async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

const sameText = async (one: string, other: string): Promise<boolean> =>
  (await readFile(one, 'utf8')) === (await readFile(other, 'utf8').catch(() => undefined));

/** Runs Node with `args`; its output appears only when it fails. */
async function run(args: string[]): Promise<void> {
  const env = {
    ...process.env,
    // Prisma looks for its schema engine even if it does not use it, and would download one.
    PRISMA_SCHEMA_ENGINE_BINARY: process.execPath,
    CHECKPOINT_DISABLE: '1',
    PRISMA_HIDE_UPDATE_MESSAGE: '1',
  };
  const child = spawn(process.execPath, args, { cwd: root, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`prisma generate failed with ${code}:\n${output}`);
}

await mkdir(generated, { recursive: true });
await Promise.all(providers.map(generate));
