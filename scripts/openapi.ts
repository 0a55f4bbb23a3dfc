// Writes what is made from the code: openapi/openapi.json, docs/errors.md and README's table of settings. Tests fail when they differ.
import { readFileSync, writeFileSync } from 'node:fs';
import { openApiDocument } from '../test/support/document.ts';
import { errorPage } from '../test/support/error-page.ts';
import { withSettings } from '../test/support/settings.ts';

writeFileSync(new URL('../openapi/openapi.json', import.meta.url), await openApiDocument());
writeFileSync(new URL('../docs/errors.md', import.meta.url), errorPage());
const readme = new URL('../README.md', import.meta.url);
writeFileSync(readme, withSettings(readFileSync(readme, 'utf8')));
