import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

type Environment = Record<string, string | undefined>;

/** What of `process` this needs. */
type Program = Pick<
  NodeJS.Process,
  'argv' | 'connected' | 'env' | 'execArgv' | 'execPath' | 'execve' | 'platform'
>;

/**
 * A young generation that fits what is in flight, and a limit to how far the old one grows before it is collected. See
 * "Where the memory goes" in bench/README.md before you change them.
 */
const heapFlags = ['--max-semi-space-size=8', '--heap-growing-percent=60'];

/**
 * Starts the program again in this process, with what V8 and Node.js read only at their start: sizes of the heap, and
 * where compiled code is kept. Whoever gives V8 sizes of their own keeps them; so does who watches us over IPC, which
 * would break, and Windows, which cannot do it.
 */
export function reexec(program: Program, environment: Environment): void {
  const { argv, connected, env, execArgv, execPath, platform } = program;
  const given = `${execArgv.join(' ')} ${env.NODE_OPTIONS ?? ''}`;
  if (/semi-space-size|heap-growing-percent/.test(given) || connected) return;
  if (platform === 'win32' || program.execve === undefined) return;
  const args = [execPath, ...heapFlags, ...execArgv, ...argv.slice(1)];
  program.execve(execPath, args, { ...env, ...compileCache(environment) });
}

/**
 * Kept code needs not be stripped of its types and compiled at the next start, here and in each thread. It lies in the
 * data folder, as what is in it is run; at the very first start there is none yet.
 */
function compileCache(environment: Environment): NodeJS.ProcessEnv {
  const { NODE_COMPILE_CACHE: given, PENSTOCK_DATA_DIR: dataDir = './data' } = environment;
  if (given || !existsSync(dataDir)) return {};
  return { NODE_COMPILE_CACHE: resolve(join(dataDir, 'compile-cache')) };
}
