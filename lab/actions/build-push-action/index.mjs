import {appendFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

// The lab sets NODE_MODULES to the directory of the library, because NODE_PATH does not apply to ES modules.
const root = path.join(process.env.NODE_MODULES, '@docker/actions-toolkit');
const load = name => import(pathToFileURL(createRequire(`${root}/x.js`).resolve(`${root}/lib/${name}.js`)).href);
const {Toolkit} = await load('toolkit');
const {Buildx} = await load('buildx/buildx');
const {Build} = await load('buildx/build');
const {Exec} = await load('exec');

const toolkit = new Toolkit();
const builder = await toolkit.builder.inspect();
console.log(`builder ${builder.name} ${builder.driver} ${builder.nodes.map(n => n.status)}`);
const build = new Build({buildx: new Buildx()});
const args = ['build', '--metadata-file', build.getMetadataFilePath(), '--builder', builder.name];
for (const tag of (process.env.INPUT_TAGS ?? '').split('\n').filter(Boolean)) args.push('--tag', tag);
for (const arg of (process.env['INPUT_BUILD-ARGS'] ?? '').split('\n').filter(Boolean)) args.push('--build-arg', arg);
if (process.env.INPUT_PLATFORMS) args.push('--platform', process.env.INPUT_PLATFORMS);
if (process.env.INPUT_PUSH === 'true') args.push('--push');
args.push(process.env.INPUT_CONTEXT || '.');
const command = await toolkit.buildx.getCommand(args);
await Exec.exec(command.command, command.args);
appendFileSync(process.env.GITHUB_OUTPUT, `digest=${build.resolveDigest(build.resolveMetadata())}\n`);
