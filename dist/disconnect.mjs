import { launch, warning } from './launch.mjs';

// What is left on the runner at the end of a job is no reason to fail the job.
if ((await launch('disconnect', warning)) !== 0) {
  warning('remote-buildkit could not remove all that it wrote on this runner');
}
