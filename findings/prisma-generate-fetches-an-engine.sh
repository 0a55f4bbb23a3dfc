#!/usr/bin/env bash
# "prisma generate" downloads a schema engine that it does not use.
#
# Expected: With the engine-less "prisma-client" generator the command needs the schema file alone, so
#   it works offline.
# Seen: generate and validate ask for the schema-engine binary first and fail when they do not get it.
#   With PRISMA_SCHEMA_ENGINE_BINARY naming any program they work and never run it.
# Version: prisma 7.10.0. Source: documentation of Prisma, "Environment variables"
#   (PRISMA_ENGINES_MIRROR, PRISMA_SCHEMA_ENGINE_BINARY).
# Penstock: Sets that variable when it generates its clients (scripts/generate.ts), and applies
#   migrations without the command line.
# Needs: Node.js 20, npm, some 300 MB in the temporary folder. The mirror below is a server on
#   127.0.0.1 that has nothing.
set -euo pipefail
work=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

cannot() {
  echo "Cannot run here: $1"
  exit 77
}
echo '{ "private": true }' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts prisma@7.10.0 @prisma/client@7.10.0 || cannot "npm install failed"
echo "Versions: prisma $(node -p 'require("./node_modules/prisma/package.json").version'), Node.js $(node --version)"
cat >schema.prisma <<'EOF'
generator client {
  provider = "prisma-client"
  output   = "./generated"
}
datasource db {
  provider = "sqlite"
}
model Job {
  id Int @id
}
EOF
cat >mirror.cjs <<'EOF'
const { appendFileSync, writeFileSync } = require('node:fs');
const server = require('node:http').createServer((request, response) => {
  appendFileSync('asked', `${request.url}\n`);
  response.writeHead(404).end();
});
server.listen(0, '127.0.0.1', () => writeFileSync('port', String(server.address().port)));
EOF
node mirror.cjs &
pids+=("$!")
for _ in $(seq 50); do [ -s port ] && break || sleep 0.1; done
# A home of its own, so that no cache has an engine and nothing is left behind.
export HOME=$work TMPDIR=$work PRISMA_ENGINES_MIRROR=http://127.0.0.1:$(cat port) CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=1
{ echo '#!/bin/sh'; echo "touch '$work/ran'"; } >engine
chmod +x engine

run() {
  rm -f asked
  touch asked
  if node node_modules/prisma/build/index.js "$@" --schema schema.prisma >log 2>&1; then outcome=works; else outcome=fails; fi
  echo "prisma $*: $outcome, asks for a schema engine: $(grep -q schema-engine asked && echo yes || echo no)"
}
{
  run validate
  run generate --no-hints
  export PRISMA_SCHEMA_ENGINE_BINARY=$work/engine
  echo "with PRISMA_SCHEMA_ENGINE_BINARY:"
  run validate
  run generate --no-hints
  echo "that program was run: $([ -e ran ] && echo yes || echo no)"
} | tee seen
cat >expected <<'EOF'
prisma validate: fails, asks for a schema engine: yes
prisma generate --no-hints: fails, asks for a schema engine: yes
with PRISMA_SCHEMA_ENGINE_BINARY:
prisma validate: works, asks for a schema engine: no
prisma generate --no-hints: works, asks for a schema engine: no
that program was run: no
EOF
if diff expected seen; then
  echo "Still so."
else
  echo "The behaviour has changed (< as described, > as seen)."
  exit 1
fi
