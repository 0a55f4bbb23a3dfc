/** The pages that this folder gives to the router. */
export { PipelinesPage } from './overview.tsx';
export { NewPipelinePage } from './new.tsx';
export { PipelinePage } from './pipeline.tsx';
