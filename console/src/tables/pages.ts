/** The pages that this folder gives to the router. */
export { TablesPage } from './list.tsx';
export { NewTablePage } from './new.tsx';
export { TablePage } from './table.tsx';
