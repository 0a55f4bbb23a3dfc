// Writes openapi/openapi.json from what the service serves. A test fails when the two differ.
import { writeFileSync } from 'node:fs';
import { openApiDocument } from '../test/support/document.ts';

writeFileSync(new URL('../openapi/openapi.json', import.meta.url), await openApiDocument());
