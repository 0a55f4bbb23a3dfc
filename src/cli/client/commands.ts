/** The commands that speak to a running Penstock over HTTP. This file is loaded with every start; the rest is not. */

export const clientCommands = {
  plan: 'show what apply would do, and the hash of that plan',
  apply: 'make profiles, tables and pipelines as a bundle says, all or nothing',
  export: 'print profiles, tables and pipelines as a bundle',
  test: 'test a connection profile or table, step by step',
  tail: 'show the messages of a source table as they arrive',
  get: 'list objects, or show one',
  delete: 'delete an object',
} as const;
export type ClientCommand = keyof typeof clientCommands;

export const isClientCommand = (name: string | undefined): name is ClientCommand =>
  name !== undefined && Object.hasOwn(clientCommands, name);

/** What scripts may decide on. */
export const exitCodes = { fine: 0, failed: 1, usage: 2, changes: 3, unreachable: 4 } as const;

export const clientUsage = `Usage: penstock plan   -f <file | -> [--exit-code]
       penstock apply  -f <file | -> [--plan <hash>]
       penstock export [-l <selector>] [--format yaml | json]
       penstock test   [profile | table] <name> [--no-publish]
       penstock test   -f <file | -> [--no-publish]
       penstock tail   <table> [--seconds <n>] [--rows <n>]
       penstock get    profiles | tables | pipelines [<name>] [-l <selector>]
       penstock delete profile | table | pipeline <name> [--dry-run]

  -f, --file      a bundle, as YAML or JSON; - reads it from the standard input
  -l, --selector  only objects with these labels, such as app=overheating
  --output        table (the default) or json
  --server        where Penstock is, if not at PENSTOCK_SERVER (default http://127.0.0.1:5115)

An API key is taken from PENSTOCK_KEY.
Exit codes: 0 fine; 1 failed, such as a test or a refused bundle; 2 usage; 3 the plan has changes (plan --exit-code);
4 the server cannot be reached.
`;
