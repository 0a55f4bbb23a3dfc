/** The pages that this folder gives to the router. */
export { BundlesPage } from './bundles.tsx';
export { WorkersPage } from './workers.tsx';
export { AuditPage } from './audit.tsx';
export { KeysPage } from './keys.tsx';
export { AboutPage } from './about.tsx';
