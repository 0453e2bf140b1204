import { launch } from './launch.mjs';

process.exitCode = await launch('runner');
