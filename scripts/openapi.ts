// Writes the generated documents: openapi/openapi.json, the types of the typed client, docs/errors.md and docs/settings.md. Tests
// fail when they are stale.
import { writeFileSync } from 'node:fs';
import { clientTypes } from './docs/client-types.ts';
import { openApiDocument } from './docs/document.ts';
import { errorPage } from './docs/error-page.ts';
import { settingsPage } from './docs/settings.ts';

const document = await openApiDocument();
writeFileSync(new URL('../openapi/openapi.json', import.meta.url), document);
writeFileSync(
  new URL('../examples/typed-client/types.ts', import.meta.url),
  clientTypes(JSON.parse(document)),
);
writeFileSync(new URL('../docs/errors.md', import.meta.url), errorPage());
writeFileSync(new URL('../docs/settings.md', import.meta.url), settingsPage());
