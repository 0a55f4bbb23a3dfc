import { Environment } from '../../src/config.ts';

interface Setting {
  default?: unknown;
  description: string;
}

/** Returns docs/settings.md, made from the schema of the environment. */
export function settingsPage(): string {
  const rows = Object.entries(Environment.properties).map(([name, setting]) => {
    const { default: value, description } = setting as unknown as Setting;
    return `| \`${name}\` | ${value === undefined ? 'none' : `\`${value}\``} | ${description} |`;
  });
  return `# Settings

Settings come from the environment, or from a file \`.env\` in the working directory. The environment wins. All are optional, and
an empty one counts as not set. An unknown name that begins with \`PENSTOCK_\` is refused, because it is most often misspelt.

Made from \`src/config.ts\` (\`npm run openapi\`).

| variable | default | |
| --- | --- | --- |
${rows.join('\n')}

The commands for a running Penstock read \`PENSTOCK_SERVER\` (its address) and \`PENSTOCK_KEY\` (an API key): see
[automate.md](automate.md).
`;
}
