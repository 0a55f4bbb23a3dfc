#!/usr/bin/env bash
# Prisma keeps a compiled plan for each number of conditions in an OR.
#
# Expected: Statements of one shape share a plan, as those with a list of ids do. A process that updates 1 to 200
#   rows at a time, found by an OR, takes no more memory than one that always updates the same number.
# Seen: Each number of conditions is a plan of its own, and holds an object for each value. Plans for 1 to 200
#   conditions of two columns take 14 to 24 MB. Up to 1,000 plans are kept, so a process whose batches differ
#   in size grows for hours.
# Version: @prisma/client 7.10.0 with @prisma/adapter-libsql 7.10.0, SQLite. Source: the option
#   queryPlanCacheMaxSize, "Optional maximum size for the query plan cache".
# Penstock: Finds rows by lists of ids, and keeps at most 200 plans.
# Needs: Node.js 22.18 or newer, npm.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
node -e 'const [a, b] = process.versions.node.split("."); process.exit(Number(a) > 22 || (Number(a) === 22 && Number(b) >= 18) ? 0 : 1)' ||
  cannot "Node.js $(node --version) runs no TypeScript"
echo '{ "private": true, "type": "module" }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts prisma@7.10.0 @prisma/client@7.10.0 \
  @prisma/adapter-libsql@7.10.0 || cannot "npm install failed"
cat >schema.prisma <<'END'
generator client {
  provider = "prisma-client"
  output   = "./client"
  importFileExtension = "ts"
}
datasource db {
  provider = "sqlite"
}
model Note {
  id     String @id
  owner  String
  level  String
  code   String?
  text   String
  number Int
}
END
PRISMA_SCHEMA_ENGINE_BINARY=$(command -v node) CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=1 \
  node node_modules/prisma/build/index.js generate --no-hints --schema schema.prisma >generate.log 2>&1 ||
  { cat generate.log; cannot "prisma generate failed"; }
echo "Versions: @prisma/client $(node -p 'JSON.parse(require("fs").readFileSync("node_modules/@prisma/client/package.json")).version'), Node.js $(node --version)"
cat >main.ts <<'END'
import { PrismaLibSql } from '@prisma/adapter-libsql';
import { PrismaClient } from './client/client.ts';

const prisma = new PrismaClient({ adapter: new PrismaLibSql({ url: 'file:notes.db' }) });
await prisma.$executeRawUnsafe(
  'CREATE TABLE "Note" ("id" TEXT PRIMARY KEY, "owner" TEXT, "level" TEXT, "code" TEXT, "text" TEXT, "number" INTEGER)',
);
const collect = globalThis.gc as () => void;
const used = (): number => {
  collect();
  collect();
  return process.memoryUsage().heapUsed / 1e6;
};
const ids = (count: number) => Array.from({ length: count }, (_, index) => `n${index}`);
const grown = async (name: string, write: (count: number) => Promise<unknown>): Promise<number> => {
  await write(200);
  const before = used();
  for (let count = 1; count <= 200; count++) await write(count);
  const megabytes = used() - before;
  console.log(`${name}: ${megabytes.toFixed(1)} MB`);
  return megabytes;
};
const data = { level: 'm' };
const list = await grown('1 to 200 ids in a list', (count) =>
  prisma.note.updateMany({ where: { id: { in: ids(count) } }, data }),
);
const either = await grown('1 to 200 conditions in an OR', (count) =>
  prisma.note.updateMany({ where: { OR: ids(count).map((id) => ({ id, number: 1 })) }, data }),
);
await prisma.$disconnect();
const still = list < 3 && either > 7;
console.log(still ? 'As described.' : 'It has changed.');
process.exitCode = still ? 0 : 1;
END
node --expose-gc --disable-warning=ExperimentalWarning main.ts
