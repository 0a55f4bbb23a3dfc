/** The pages that this folder gives to the router. */
export { ConnectionsPage } from './list.tsx';
export { NewConnectionPage } from './new.tsx';
export { ConnectionPage } from './connection.tsx';
