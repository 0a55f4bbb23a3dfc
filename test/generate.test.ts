import { execFile } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { temporaryFolder } from './support/at-end.ts';
import { onlyInSoak, skipping } from './support/skipping.ts';

const root = join(import.meta.dirname, '..');
const folder = temporaryFolder('generate');
const client = join(folder, 'src/generated/sqlite/client.ts');
const node = (...args: string[]) => promisify(execFile)(process.execPath, args, { cwd: folder });

test.skipIf(onlyInSoak !== undefined)(
  skipping('processes that start while the client is generated find a whole one', onlyInSoak),
  async () => {
    for (const part of ['scripts', 'prisma', 'package.json'])
      cpSync(join(root, part), join(folder, part), { recursive: true });
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
    const generate = () => node('scripts/generate.ts');
    await generate();
    const before = statSync(client).ino;
    // Nothing has changed, so nothing is touched.
    await generate();
    expect(statSync(client).ino).toBe(before);
    const stale = join(folder, 'src/generated/sqlite/models/Stale.ts');
    writeFileSync(stale, '');
    const schema = join(folder, 'prisma/schema.prisma');
    let loaded = 0;
    for (let round = 0; round < 3; round++) {
      const model = `model Extra${round} {\n  id String @id\n}\n`;
      writeFileSync(schema, `${readFileSync(schema, 'utf8')}\n${model}`);
      let over = false;
      const generating = generate().finally(() => {
        over = true;
      });
      while (!over) {
        const text = `const { PrismaClient } = await import(${JSON.stringify(client)}); console.log(typeof PrismaClient)`;
        const { stdout } = await node('--input-type=module', '-e', text);
        expect(stdout).toBe('function\n');
        loaded += 1;
      }
      await generating;
      expect(readFileSync(join(folder, 'src/generated/sqlite/internal/class.ts'), 'utf8')).toContain(
        `Extra${round}`,
      );
    }
    expect(loaded).toBeGreaterThan(3);
    expect(existsSync(stale)).toBe(false);
    expect(readdirSync(join(folder, 'src/generated')).sort()).toEqual([
      'postgresql',
      'postgresql.prisma',
      'sqlite',
      'sqlite.prisma',
    ]);
  },
  300_000,
);
