import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import serveFiles from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';

/**
 * Serves the web console: its page at `/`, and its files below `/assets/`. `npm run build` makes them. The page asks the API
 * as any client does, so nothing here needs a key.
 */

/** Beside `src/` in a checkout, and beside `dist/` in the package. */
const built = new URL('../../console/dist/', import.meta.url);

/** The page has a nonce for the style sheets that its components make. Nothing comes from other hosts. */
const policy = (nonce: string): string =>
  `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; img-src 'self' data:; font-src 'self'; ` +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The text that Vite leaves for the nonce: see console/vite.config.ts. */
const placeholder = 'NONCE';

/** `otherwise` is a relative address for `/` when the console is off or not built. */
export async function serveConsole(app: FastifyInstance, on: boolean, otherwise: string): Promise<void> {
  const page = on ? await readPage(app) : undefined;
  app.get('/', { schema: { hide: true } }, async (_request, reply) =>
    page === undefined ? reply.redirect(otherwise) : sendPage(reply, page),
  );
  if (page === undefined) return;
  await app.register(serveFiles, {
    root: fileURLToPath(new URL('assets/', built)),
    prefix: '/assets/',
    schemaHide: true,
    preCompressed: true,
    decorateReply: false,
    // Their names hold a hash of their content, but for the licenses.
    ...{ immutable: true, maxAge: '365d' },
    setHeaders: (reply, path) => {
      if (!path.includes('licenses.md')) return;
      reply.header('cache-control', 'no-cache');
      reply.header('content-type', 'text/plain; charset=utf-8');
    },
  });
}

async function readPage(app: FastifyInstance): Promise<string | undefined> {
  try {
    return await readFile(new URL('index.html', built), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    app.log.warn('the web console is not built; npm run build makes it');
    return undefined;
  }
}

function sendPage(reply: FastifyReply, page: string): FastifyReply {
  const nonce = randomBytes(16).toString('base64');
  return reply
    .type('text/html; charset=utf-8')
    .header('content-security-policy', policy(nonce))
    .send(page.replaceAll(placeholder, nonce));
}
