import { coreErrors, type ErrorKind } from '../errors.ts';
import { allConnectors } from './registry.ts';

/** The connectors and their errors, for the main thread. */

export const connectors = allConnectors();

/** Every error code there is: those of the core, then those of the connectors. */
export const errorCatalog: Readonly<Record<string, ErrorKind>> = Object.assign(
  {},
  coreErrors,
  ...connectors.map(({ errors }) => errors),
);
