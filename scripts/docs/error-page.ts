import { statusOf } from '../../src/api/problem.ts';
import { type ErrorCode, errorCatalog } from '../../src/errors.ts';
import { errorHelp } from './error-help.ts';

const introduction = `# Errors

Everything that goes wrong has a code: in the answers of the API (\`code\`, RFC 9457), in the steps of a connection test, in the
messages of a job and in its failure. Programs decide on the code; it is never renamed. The status is the one of an API call that
fails with it; in a job or the steps of a test there is none. A job tries again after a passing error, and fails for good at any
other.

Made from \`src/errors.ts\` and \`scripts/docs/error-help.ts\` (\`npm run openapi\`).
`;

/** docs/errors.md: a section for each code. */
export function errorPage(): string {
  const sections = Object.entries(errorCatalog).map(([code, { title, passing }]) => {
    const { means, todo } = errorHelp[code as ErrorCode];
    const facts = `Status ${statusOf(code as ErrorCode)}, ${passing ? 'passing' : 'not passing'}.`;
    return `## ${code}\n\n${title}. ${facts}\n\n${means}\n\nWhat to do: ${todo}\n`;
  });
  return [introduction, ...sections].join('\n');
}
