import { Environment } from '../../src/config.ts';

const begin = '<!-- settings: made from src/config.ts -->';
const end = '<!-- /settings -->';

interface Setting {
  default?: unknown;
  description: string;
}

/** README with its table of settings as the schema of the environment has it. */
export function withSettings(readme: string): string {
  const rows = Object.entries(Environment.properties).map(([name, setting]) => {
    const { default: value, description } = setting as unknown as Setting;
    return `| \`${name}\` | ${value === undefined ? 'none' : `\`${value}\``} | ${description} |`;
  });
  const table = ['| variable | default | |', '| --- | --- | --- |', ...rows].join('\n');
  const [before = '', rest = ''] = readme.split(begin);
  const [, after = ''] = rest.split(end);
  return `${before}${begin}\n\n${table}\n\n${end}${after}`;
}
