/** The pages that this folder gives to the router. */

export { AboutPage } from './about.tsx';
export { AuditPage } from './audit.tsx';
export { BundlesPage } from './bundles.tsx';
export { KeysPage } from './keys.tsx';
export { WorkersPage } from './workers.tsx';
