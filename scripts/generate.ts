// npm run generate: the Prisma clients of both providers into src/generated/, without touching the network.
import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Provider, providers, root, schemaFor } from './schema.ts';

const generated = join(root, 'src', 'generated');

async function generate(provider: Provider): Promise<void> {
  const schema = join(generated, `${provider}.prisma`);
  await rm(join(generated, provider), { recursive: true, force: true });
  await writeFile(schema, await schemaFor(provider));
  const prisma = fileURLToPath(import.meta.resolve('prisma/build/index.js'));
  await run([prisma, 'generate', '--no-hints', '--schema', schema]);
}

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
