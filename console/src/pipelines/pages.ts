/** The pages that this folder gives to the router. */

export { NewPipelinePage } from './new.tsx';
export { PipelinesPage } from './overview.tsx';
export { PipelinePage } from './pipeline.tsx';
