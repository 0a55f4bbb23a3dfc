import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

type Environment = Record<string, string | undefined>;

/** The parts of `process` that are used. */
type Program = Pick<
  NodeJS.Process,
  'argv' | 'connected' | 'env' | 'execArgv' | 'execPath' | 'execve' | 'platform'
>;

/** Sizes of the heap, measured: see "Where the memory goes" in bench/README.md before you change them. */
const heapFlags = ['--max-semi-space-size=8', '--heap-growing-percent=60'];

/**
 * Replaces this process by the same program with options that V8 and Node.js read only at start: heap sizes and the
 * folder of compiled code. Does nothing when heap sizes are given already, under IPC (which would break), and on Windows.
 */
export function reexec(program: Program, environment: Environment): void {
  const { argv, connected, env, execArgv, execPath, platform } = program;
  const given = `${execArgv.join(' ')} ${env.NODE_OPTIONS ?? ''}`;
  if (/semi-space-size|heap-growing-percent/.test(given) || connected) return;
  if (platform === 'win32' || program.execve === undefined) return;
  const args = [execPath, ...heapFlags, ...execArgv, ...argv.slice(1)];
  program.execve(execPath, args, { ...env, ...compileCache(environment) });
}

/** Compiled code is kept in the data folder, which only the operator may write: it is executed at the next start. */
function compileCache(environment: Environment): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: given, PENSTOCK_DATA_DIR: dataDir = './data' } = environment;
  if (given || !existsSync(dataDir)) return {};
  return { NODE_COMPILE_CACHE: resolve(join(dataDir, 'compile-cache')) };
}
