// Writes what is made from the code: openapi/openapi.json, the types of the typed client, docs/errors.md and README's table of
// settings. Tests fail when they differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { clientTypes } from './docs/client-types.ts';
import { openApiDocument } from './docs/document.ts';
import { errorPage } from './docs/error-page.ts';
import { withSettings } from './docs/settings.ts';

const document = await openApiDocument();
writeFileSync(new URL('../openapi/openapi.json', import.meta.url), document);
writeFileSync(
  new URL('../examples/typed-client/types.ts', import.meta.url),
  clientTypes(JSON.parse(document)),
);
writeFileSync(new URL('../docs/errors.md', import.meta.url), errorPage());
const readme = new URL('../README.md', import.meta.url);
writeFileSync(readme, withSettings(readFileSync(readme, 'utf8')));
