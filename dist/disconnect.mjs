import { launch, warning } from './launch.mjs';

// Files left on the runner at the end of a job do not fail the job.
if ((await launch('disconnect', warning)) !== 0) {
  warning('remote-buildkit could not remove all of its files from this runner');
}
