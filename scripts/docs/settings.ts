import { Environment } from '../../src/config.ts';

interface Setting {
  default?: unknown;
  description: string;
}

/** Returns docs/settings.md, made from the schema of the environment. */
export function settingsPage(): string {
  const rows = Object.entries(Environment.properties).map(([name, setting]) => {
    const { default: value, description } = setting as unknown as Setting;
    return `| \`${name}\` | ${value === undefined || value === '' ? 'none' : `\`${value}\``} | ${description} |`;
  });
  return `# Settings

Settings come from the environment, or from a file \`.env\` in the working directory. The environment wins. All are optional, and
an empty or blank one counts as not set. An unknown name that begins with \`PENSTOCK_\` is refused, because it is most often misspelt.

Line breaks at the end of a value are removed, because \`echo\` and editors add one. That holds for settings, for \`PENSTOCK_SERVER\` and
\`PENSTOCK_KEY\`, and for the values of variables that \`{{ NAME }}\` reads; a test of the connection says when it happened. Other white space
at the ends of \`PENSTOCK_ADMIN_KEY\` and \`PENSTOCK_DATABASE_URL\` is refused.

A setting in quotes is refused: \`docker run --env-file\` and the secrets of Kubernetes keep quotes as part of the value. No setting is read from a
file of its own (\`PENSTOCK_ADMIN_KEY_FILE\`): let the start script export what the file holds.

Names that an orchestrator sets for a service called \`penstock\` or \`penstock-…\` are passed over when their values have the form of a service
link (\`PENSTOCK_PORT=tcp://10.96.0.12:5115\`, \`PENSTOCK_SERVICE_HOST=…\`). Such a \`PENSTOCK_PORT\` hides no setting of the file, and the log
has a warning. \`enableServiceLinks: false\` in the pod avoids them.

Made from \`src/config.ts\` (\`npm run openapi\`).

| variable | default | |
| --- | --- | --- |
${rows.join('\n')}

The commands for a running Penstock read \`PENSTOCK_SERVER\` (its address) and \`PENSTOCK_KEY\` (an API key): see
[automate.md](automate.md).
`;
}
