/** The pages that this folder gives to the router. */

export { ConnectionPage } from './connection.tsx';
export { ConnectionsPage } from './list.tsx';
export { NewConnectionPage } from './new.tsx';
